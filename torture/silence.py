"""Random commands under the recorder: nobody but this machine is looked up or connected to."""

import random
from pathlib import Path

from torture import Outcomes, elsewhere, options, recorder
from torture.pictures import drawn
from torture.program import mnist, unpacked

COMMANDS = ("train", "predict", "predict", "evaluate", "runs", "info")  # all but `download`, whose purpose it is


def here(count: int, seed: int, folder: Path) -> Outcomes:
    """Run random commands, each in a copy of this process, which the recorder was loaded into."""
    data_dir = unpacked(folder)
    drawn("RGB").save(folder / "seven.png")
    for number in range(count):
        generator = random.Random(f"{seed}/{number}")
        name = generator.choice(COMMANDS)
        arguments = [*options.draw(name, generator), *options.files(name, generator)]
        data = ["--data-dir", str(data_dir)] if name in {"train", "evaluate"} else []
        yield mnist(folder, name, *arguments, *data).fault(0, 1, 2)


def networks(count: int, seed: int, folder: Path) -> Outcomes:
    """Run random commands; where one contacts somebody, that is told after it."""
    watched = recorder.build(folder)
    environment = {**watched.environment(), "HOME": str(folder)}
    for number, fault in enumerate(elsewhere.run("torture.silence:here", count, seed, folder, environment)):
        contacts = watched.contacts()
        watched.log.unlink(missing_ok=True)
        fault = fault or (f"it contacted {contacts}" if contacts else None)
        if (folder / ".cache/Microsoft").exists():
            fault = fault or "onnxruntime has given this device a number"
        yield fault and f"command {number} of seed {seed}: {fault}"
