"""Random commands under the recorder: they look up and connect to no other machine."""

import random
from pathlib import Path

from torture import Outcomes, elsewhere, options, recorder
from torture.pictures import drawn
from torture.program import mnist, unpacked

COMMANDS = ("train", "predict", "predict", "evaluate", "runs", "info")  # not `download`, which does


def here(count: int, seed: int, folder: Path) -> Outcomes:
    """Run random commands, each in a fork of this process, into which the recorder is loaded."""
    data_dir = unpacked(folder)
    drawn("RGB").save(folder / "seven.png")
    for number in range(count):
        generator = random.Random(f"{seed}/{number}")
        name = generator.choice(COMMANDS)
        arguments = [*options.draw(name, generator), *options.files(name, generator)]
        data = ["--data-dir", str(data_dir)] if name in {"train", "evaluate"} else []
        yield mnist(folder, name, *arguments, *data).fault(0, 1, 2)


def networks(count: int, seed: int, folder: Path) -> Outcomes:
    """Run random commands, and report the contacts of each."""
    watched = recorder.build(folder)
    environment = {**watched.environment(), "HOME": str(folder)}
    for number, fault in enumerate(elsewhere.run("torture.silence:here", count, seed, folder, environment)):
        contacts = watched.contacts()
        watched.log.unlink(missing_ok=True)
        fault = fault or (f"it contacted {contacts}" if contacts else None)
        if (folder / ".cache/Microsoft").exists():
            fault = fault or "onnxruntime has given this device a number"
        yield fault and f"command {number} of seed {seed}: {fault}"
