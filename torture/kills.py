"""SIGKILL at random moments: files with their final name are complete, and the next command resumes or repairs."""

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from mnist_cli.config import PRETRAINED, TrainConfig
from mnist_cli.datasets import dataset, labelled_pictures, mirrors, mnist_files
from mnist_cli.evaluation import metrics
from mnist_cli.models import architectures, checkpoints
from mnist_cli.pictures import decode
from mnist_cli.reporting import html_report
from mnist_cli.training import session
from mnist_cli.training.loop import Trainer
from torture import Outcomes
from torture.network import Server, archives, serve_slowly
from torture.pictures import drawn
from torture.program import TINY, Started, mnist, start, unpacked

EPOCHS = ("--epochs", "3", "--dropout", "0.1")


def kill(started: Started, generator: random.Random, whole: float) -> None:
    """Kill a process somewhere between its start and its usual end."""
    time.sleep(generator.uniform(0, whole))
    started.process.kill()
    started.process.join()


def timed(work: Callable[[], Started]) -> float:
    """Return the seconds that a command takes when it is not killed."""
    begin = time.perf_counter()
    if fault := work().fault(0):
        raise RuntimeError(fault)
    return time.perf_counter() - begin


def training(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill runs, resume them, and compare the final weights bit by bit."""
    generator = random.Random(seed)
    options = "train", *TINY, *EPOCHS, "--data-dir", unpacked(folder)
    whole = timed(lambda: mnist(folder, *options, "--name", "undisturbed"))
    expected = checkpoints.load(folder / "checkpoints/undisturbed/last.pt").model.state_dict()
    for number in range(count):
        name = f"killed-{number}"
        last = folder / "checkpoints" / name / "last.pt"
        kill(mnist(folder, *options, "--name", name), generator, whole)
        if not last.exists():  # it was in its first epoch, and its name is free
            fault = mnist(folder, *options, "--name", name).fault(0)
        elif len(checkpoints.load(last).metrics) < 3:
            fault = mnist(folder, "train", "--resume", last, "--data-dir", folder / "data").fault(0)
        else:
            fault = None
        if fault is None:
            reached = checkpoints.load(last).model.state_dict()
            same = all(torch.equal(reached[key], tensor) for key, tensor in expected.items())
            fault = None if same else "its final weights differ"
        yield fault and f"kill {number} of seed {seed}: {fault}"


def saving(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill a program that does nothing but save checkpoints."""
    generator = random.Random(seed)
    digits = dataset.load(unpacked(folder), "val")[:10]
    path = folder / "last.pt"
    trainer = Trainer(architectures.build("mlp"), digits, digits, TrainConfig())
    session.save(path, trainer)

    def save_forever() -> None:
        while True:
            session.save(path, trainer)

    for number in range(count):
        kill(start(save_forever, folder), generator, 0.2)
        try:
            checkpoints.load(path)
        except Exception as error:
            yield f"kill {number} of seed {seed}: {error}"
        else:
            yield None


def _torn(data_dir: Path, files: Sequence[mnist_files.IdxFile] = mnist_files.FILES) -> str | None:
    """Return which of the MNIST files exist and are incomplete."""
    torn = {file.name: why for file, why in mnist_files.find_faults(data_dir, files).items() if why != "is missing"}
    return f"torn files: {torn}" if torn else None


def downloads(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill downloads, and let the next one resume."""
    generator = random.Random(seed)
    files = archives(folder)
    with Server(serve_slowly) as server:

        def download(target: Path) -> Started:
            def work() -> None:
                missing, failures = mirrors.download(files, target, [server.url], lambda *_: None)
                if missing:
                    raise RuntimeError(failures)

            return start(work, folder)

        whole = timed(lambda: download(folder / "undisturbed"))
        for number in range(count):
            target = folder / f"data-{number}"
            kill(download(target), generator, whole)
            server.ranges.clear()
            begun = [path for path in (mnist_files.part_path(target, file) for file in files) if path.exists()]
            for path in target.rglob(".*.tmp"):
                os.utime(path, (0, 0))  # as if it were old, so that it is removed as abandoned
            sizes = {file.archive_size for file in files}
            is_begun = any(path.stat().st_size > 0 and path.stat().st_size not in sizes for path in begun)
            fault = _torn(target, files) or download(target).fault(0)
            if fault is None and is_begun and not any(server.ranges):
                fault = "it started from the beginning"
            if fault is None and (left := [path.name for path in target.rglob("*") if "." in path.name]):
                fault = f"it left {left}"
            yield fault and f"kill {number} of seed {seed}: {fault}"


def unpacking(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill `mnist download --offline`, and let the next one repair the files."""
    generator = random.Random(seed)

    def unpack(target: Path) -> Started:
        return mnist(folder, "download", "--offline", "--data-dir", target)

    whole = timed(lambda: unpack(folder / "undisturbed"))
    for number in range(count):
        target = folder / f"data-{number}"
        kill(unpack(target), generator, whole)
        fault = _torn(target) or unpack(target).fault(0)
        if fault is None and (left := mnist_files.find_faults(target)):
            fault = f"it left {left}"
        yield fault and f"kill {number} of seed {seed}: {fault}"


def corrections(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill a program that does nothing but add labelled pictures, and let the next one add another."""
    generator = random.Random(seed)
    picture = decode.to_array(drawn("L"))

    def add_forever(place: Path) -> None:
        table = labelled_pictures.Corrections(place)
        while True:
            table.add(picture, 7)

    for number in range(count):
        place = folder / f"pictures-{number}"
        kill(start(lambda place=place: add_forever(place), folder), generator, 0.2)  # type: ignore[misc]
        labelled_pictures.Corrections(place).add(picture, 7)
        rows, files = len(labelled_pictures.load(place)[1]), len(list(place.glob("[!.]*.png")))
        # The row of the last picture may be missing.
        yield None if rows in {files, files - 1} else f"kill {number} of seed {seed}: {files} pictures, {rows} rows"


def reports(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill the writing of a report, and let the next attempt complete it."""
    generator = random.Random(seed)
    digits = dataset.load(unpacked(folder), "val")[:300]
    model = checkpoints.load(PRETRAINED).model
    images, labels = digits.arrays()
    measured = [metrics.ModelEvaluation("model", metrics.predict(model, images, labels))]
    place = folder / "report"
    whole = timed(lambda: start(lambda: html_report.write(place, measured, images), folder))
    for number in range(count):
        kill(start(lambda: html_report.write(place, measured, images), folder), generator, whole)
        fault = None
        for path in place.glob("[!.]*"):
            try:
                if path.suffix == ".png":
                    with Image.open(path) as image:
                        image.load()
                elif path.suffix == ".html":
                    fault = fault or (None if path.read_text().rstrip().endswith("</html>") else "half a page")
                else:
                    fault = fault or (None if len(path.read_text().splitlines()) == 301 else "half a table")
            except OSError as error:
                fault = f"{path.name}: {error}"
        yield fault and f"kill {number} of seed {seed}: {fault}"
    yield start(lambda: html_report.write(place, measured, images), folder).fault(0)
