"""Signals, and several programs in the same folder at the same time."""

import random
import signal
import time
from pathlib import Path

from mnist_cli.datasets import mnist_files
from mnist_cli.models import checkpoints
from torture import Outcomes
from torture.pictures import drawn
from torture.program import TINY, mnist, unpacked


def signals(count: int, seed: int, folder: Path) -> Outcomes:
    """Interrupt and terminate runs: they are saved, print how to resume, and the exit status is 130 or 143."""
    generator = random.Random(seed)
    options = "train", *TINY, "--epochs", "500", "--data-dir", unpacked(folder)
    for trial in range(count):
        number = (signal.SIGINT, signal.SIGTERM)[trial % 2]
        name = f"run-{trial}"
        started = mnist(folder, *options, "--name", name)
        last = folder / "checkpoints" / name / "last.pt"
        while not last.exists() and started.process.is_alive():
            time.sleep(0.05)
        time.sleep(generator.uniform(0, 0.5))
        started.signal(number)
        fault = started.fault(128 + number)
        if fault is None and "Resume with" not in started.said.read_text():
            fault = "it does not print how to resume"
        checkpoints.load(last)
        yield fault and f"{number.name} {trial} of seed {seed}: {fault}"


def concurrent(count: int, seed: int, folder: Path) -> Outcomes:
    """Run two downloads, two named runs, two unnamed ones and a prediction at once in one folder."""
    drawn("L", (28, 28)).save(folder / "seven.png")
    for trial in range(count):
        place = folder / f"trial-{trial}"
        place.mkdir()
        train = "train", *TINY, "--epochs", "2"
        commands = [
            ("download", "--offline"),
            ("download", "--offline", "--force"),
            train,
            train,
            (*train, "--name", "one"),
            (*train, "--name", "one"),
            ("predict", folder / "seven.png"),
        ]
        started = [mnist(place, *command, said=place / f".said-{number}") for number, command in enumerate(commands)]
        faults = [one.fault(0, 2) if 4 <= number <= 5 else one.fault(0) for number, one in enumerate(started)]
        named = sorted(one.process.exitcode or 0 for one in started[4:6])
        faults.append(None if named == [0, 2] else f"of two runs of one name the statuses are {named}")
        for path in place.glob("checkpoints/*/last.pt"):
            epochs = len(checkpoints.load(path).metrics)
            faults.append(None if epochs == 2 else f"{path} has {epochs} epochs")
        faults.append(str(torn) if (torn := mnist_files.find_faults(place / "data")) else None)
        kept = len(list(place.glob("checkpoints/*/last.pt")))
        faults.append(None if kept == 3 else f"there are {kept} checkpoints, and not 3")
        yield next((f"trial {trial}: {fault}" for fault in faults if fault), None)
