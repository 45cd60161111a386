"""Two processes under torchrun, resumed again and again: each run exits with status 0, also on a busy machine."""

import os
import subprocess
import sys
from pathlib import Path

from torture import Outcomes
from torture.program import SECONDS, unpacked

COMMAND = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = (*COMMAND, "-m", "mnist_cli", "train", "--device", "cpu")
NEW = ("--name", "shared", "--model", "linear", "--train-size", "500")


def resumed(count: int, seed: int, folder: Path) -> Outcomes:
    """Start a run, and resume it for one more epoch in each trial."""
    environment = {**os.environ, "MNIST_DATA_DIR": str(unpacked(folder))}
    options = [*NEW, "--seed", str(seed)]
    for epochs in range(1, count + 1):
        command = [*TRAIN, *options, "--epochs", str(epochs)]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        fault = done.returncode or "Traceback" in done.stderr or done.stdout != "checkpoints/shared/last.pt\n"
        yield f"epoch {epochs}: exit status {done.returncode}: {done.stderr[-1_000:]!r}" if fault else None
        options = ["--resume", "shared"]
