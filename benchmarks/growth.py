"""Measure the growth of time and memory with the number of epochs, and the time that logging takes.

    python benchmarks/growth.py

Runs of 10, 20 and 100 epochs train on 6,000 of the 60,000 images, to keep the longest one short. The time of logging is
measured in a run on all images, as a fraction of the training time of an epoch.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from prediction import run

from mnist_cli import cores
from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.models import architectures
from mnist_cli.reporting.run import RunReport
from mnist_cli.training.loop import Trainer

TRAIN = [sys.executable, "-m", "mnist_cli", "train", "--device", "cpu", "--train-size", "6000"]


def main() -> None:
    """Print the figures."""
    print(f"{platform.machine()}, {cores.available()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        mnist_files.repair(root / "data")
        for epochs in (10, 20, 100):
            start = time.perf_counter()
            folder = ["--data-dir", str(root / "data"), "--name", f"growth-{os.getpid()}-{epochs}"]
            peak = run("env", "-C", str(root), *TRAIN, "--epochs", str(epochs), *folder)
            print(
                f"{epochs:4} epochs of 6,000 images: {time.perf_counter() - start:6.1f} s, peak {peak:.0f} MB",
                flush=True,
            )
        digits, val = dataset.load(root / "data", "train"), dataset.load(root / "data", "val")
        config = TrainConfig(epochs=4)
        trainer = Trainer(architectures.build_from(config), digits, val, config)
        training, logging = [], []
        with RunReport(root / "log", trainer) as report:
            for result in trainer.epochs(report.advance):
                start = time.perf_counter()
                report.epoch(result)
                logging.append(time.perf_counter() - start)
                training.append(result.seconds)
    fraction = statistics.median(logging) / statistics.median(training)
    print(f"logging takes {100 * fraction:.1f} % of an epoch's training ({1_000 * statistics.median(logging):.0f} ms)")


if __name__ == "__main__":
    main()
