"""Measure time and memory of `mnist predict`: for one picture, for a folder of 28x28 PNGs, and for a very large folder.

    python benchmarks/prediction.py [--many 100000]

The model is the one that ships, on onnxruntime and on torch. The time for one picture is compared with that of
`import torch`, the rate for a folder with the rate at which Pillow decodes the same files.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from mnist_cli import cores
from mnist_cli.datasets import mnist_files
from mnist_cli.models import pretrained

PREDICT = [sys.executable, "-m", "mnist_cli", "predict", "--device", "cpu", "--checkpoint"]
MODELS = {"onnxruntime": "pretrained", "torch": str(pretrained.CHECKPOINT)}
FOLDER = 10_000  # files


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of `work` in seconds, after a first call to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def run(*command: str) -> float:
    """Run a program and return its peak memory in MB."""
    pid = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", 'exec "$@" > /dev/null 2>&1', "sh", *command)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return usage.ru_maxrss / 1_024


def decode_all(folder: Path) -> None:
    """Open and decode every picture of a folder with Pillow."""
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.load()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=100_000, help="files of the largest folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        mnist_files.repair(root / "data")
        val = mnist_files.load(root / "data", "val")[0][:, 0]
        folders = {count: root / str(count) for count in (1_000, FOLDER, arguments.many)}
        for count, folder in folders.items():
            folder.mkdir()
            for number in range(count):
                path = folder / f"{number:06}.png"
                if number < len(val):
                    Image.fromarray(val[number]).save(path)
                else:
                    os.link(folder / f"{number % len(val):06}.png", path)
        one = str(folders[1_000] / "000000.png")
        print(f"{platform.machine()}, {cores.available()} cores")
        torch_alone = seconds(lambda: run(sys.executable, "-c", "import torch"))
        pillow = FOLDER / seconds(lambda: decode_all(folders[FOLDER]), 3)
        for runtime, model in MODELS.items():
            predict = [*PREDICT, model]
            start = seconds(lambda command=predict: run(*command, one))
            print(f"{runtime}: one picture in {start:.2f} s, {start / torch_alone:.2f} of `import torch` alone")
            whole = seconds(lambda command=predict: run(*command, str(folders[FOLDER])), 3)
            ours = FOLDER / (whole - start)
            print(
                f"{FOLDER:,} 28x28 PNGs: {ours:,.0f} a second after that, {ours / pillow:.2f} of Pillow's {pillow:,.0f}"
            )
            few, many = run(*predict, str(folders[1_000])), run(*predict, str(folders[arguments.many]))
            print(f"peak memory: {few:,.0f} MB for 1,000 files, {many - few:+,.0f} MB for {arguments.many:,}")


if __name__ == "__main__":
    main()
