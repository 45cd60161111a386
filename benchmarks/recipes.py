"""Measure the accuracy and the time of the recipes in docs/benchmarks.md, by `mnist train` with several seeds.

    python benchmarks/recipes.py [RECIPE...] [--seeds N]

Accuracies are means over the seeds. Times are those of the whole process, also as a ratio to the time of ten epochs of the
training loop in the PyTorch course notes that this program follows, which is measured first.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from epoch import notes

from mnist_cli.datasets import mnist_files

RECIPES = {
    "default": [],
    "default, --augment none": ["--augment", "none"],
    "--epochs 40": ["--epochs", "40"],
    "--model linear": ["--model", "linear"],
    "--epochs 40, taught": ["--epochs", "40", "--teacher", "pretrained"],
    "--preset original": ["--preset", "original"],
    "--preset fast": ["--preset", "fast"],
    "--preset balanced": ["--preset", "balanced"],
    "--preset small": ["--preset", "small"],
    "--preset best": ["--preset", "best"],
}
LONG = {"--epochs 40, taught", "--preset best"}  # minutes for each seed, so they are measured only when they are named


def run(*arguments: str, folder: Path) -> str:
    """Run the program in `folder` and return what it prints on stdout."""
    command = [sys.executable, "-m", "mnist_cli", *arguments]
    return subprocess.run(command, cwd=folder, check=True, text=True, capture_output=True).stdout.strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=[name for name in RECIPES if name not in LONG], metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mnist_files.repair(folder / "data")
        epoch = notes(folder / "data")
        start = time.perf_counter()
        epoch()
        ten_epochs = 10 * (time.perf_counter() - start)
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.seeds} seeds")
        print(f"{'recipe':28}{'val accuracy':>14}{'least':>9}{'most':>9}{'seconds':>9}{'of the notes':>14}")
        print(f"{'the notes, 10 epochs':28}{'':14}{'':9}{'':9}{ten_epochs:9.1f}{1:14.2f}", flush=True)
        for name in arguments.recipes:
            accuracies, seconds, paths = [], [], []
            for seed in range(arguments.seeds):
                start = time.perf_counter()
                paths.append(run("train", *RECIPES[name], "--seed", str(seed), folder=folder))
                seconds.append(time.perf_counter() - start)
                accuracies.append(100 * json.loads(run("evaluate", paths[-1], "--json", folder=folder))["accuracy"])
            mean, least, most = statistics.mean(accuracies), min(accuracies), max(accuracies)
            time_taken = statistics.median(seconds)
            ratio = time_taken / ten_epochs
            print(f"{name:28}{mean:12.2f} %{least:9.2f}{most:9.2f}{time_taken:9.1f}{ratio:14.2f}", flush=True)
            if "best" in name:
                for options in ([], ["--tta"]):
                    together = json.loads(run("evaluate", *paths, "--ensemble", *options, "--json", folder=folder))
                    title = " ".join(["  as an ensemble", *options])
                    print(f"{title:28}{100 * together['accuracy']:12.2f} %", flush=True)


if __name__ == "__main__":
    main()
