"""What a search costs beside its training, and what a second process gains: the figures of `mnist tune` in docs/benchmarks.md.

    python benchmarks/search.py [--model linear|mlp|cnn] [--trials N]

The seconds for a trial of one epoch in a search, with one process and with two, beside those of the same training on its own
and of `mnist_cli.train` with the same configuration, which also saves, draws and writes for TensorBoard. Imports and the
start of processes are not counted. Run it on a machine that has nothing else to do.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import mnist_cli as mnist
from mnist_cli import config
from mnist_cli.tuning import trials
from mnist_cli.tuning.pools import LocalPool
from mnist_cli.tuning.space import Range
from mnist_cli.tuning.trials import Part
from mnist_cli.tuning.tuner import Plan, Tuner

SPACE = {"label_smoothing": Range(0.01, 0.2)}  # of which the time of a trial does not depend


def resolve(model: str, values: Mapping[str, Any]) -> config.TrainConfig:
    """Return the configuration of a trial."""
    return config.resolve("default", None, {"model": model, "epochs": 1, **values})


def search(model: str, count: int, processes: int, folder: Path) -> float:
    """Return the seconds for each trial of a search, after one for each process to begin with."""
    pool = LocalPool(processes)
    try:
        for number in (processes, processes + count):
            plan = Plan("study", partial(resolve, model), SPACE, str(folder / f"{processes}.log"), number)
            start = time.perf_counter()
            Tuner(plan, pool).search(lambda study: None)
            seconds = time.perf_counter() - start
    finally:
        pool.stop()
    return seconds / count


def alone(settings: config.TrainConfig, count: int) -> tuple[float, float]:
    """Return the median seconds of the training of a trial, and of `mnist_cli.train`, in this process."""
    bare, whole = [], []
    for number in range(count + 1):
        start = time.perf_counter()
        trials.train(Part(settings, 1, "cpu"))
        middle = time.perf_counter()
        mnist.train(config=settings, name=f"run-{number}", device="cpu")
        bare.append(middle - start)
        whole.append(time.perf_counter() - middle)
    return median(bare[1:]), median(whole[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("linear", "mlp", "cnn"), default="mlp")
    parser.add_argument("--trials", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        settings = Plan("", partial(resolve, arguments.model), SPACE, "").base
        bare, whole = alone(settings, arguments.trials)
        one, two = (search(arguments.model, arguments.trials, number, Path(temporary)) for number in (1, 2))
    print(f"{arguments.model}, one epoch on {60_000 - settings.holdout:,} images, {arguments.trials} trials")
    print(f"mnist_cli.train              {whole:8.2f} s")
    print(f"the training of a trial      {bare:8.2f} s")
    print(
        f"a trial, one process         {one:8.2f} s, {100 * (one / bare - 1):+.1f} % over its training, "
        f"{100 * (one / whole - 1):+.1f} % over mnist_cli.train"
    )
    print(f"a trial, two processes       {two:8.2f} s, {one / two:.2f} times the trials an hour")


if __name__ == "__main__":
    main()
