"""Kill a training run at random moments and show that it always goes on to the same weights.

    python benchmarks/kills.py [--kills 20]

Each time a run is started, killed with SIGKILL somewhere between its first step and its end, and resumed until it is
finished; then its weights are compared, bit by bit, with those of a run that nobody disturbed.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

OPTIONS = ["--epochs", "6", "--train-size", "20000", "--dropout", "0.1", "--device", "cpu"]


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start `mnist train` in `folder`."""
    command = [sys.executable, "-m", "mnist_cli", "train", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_training(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a run and wait until it is about to train."""
    process = start(folder, *OPTIONS, "--name", name)
    while not (folder / "runs" / name / "config.toml").exists():
        time.sleep(0.01)
    return process


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """Return the weights that a run ended with."""
    content = torch.load(folder / "checkpoints" / name / "last.pt", weights_only=True)
    return {**content["weights"], "epoch": torch.tensor(content["trainer"]["epoch"])}


def kill_and_resume(folder: Path, name: str, delay: float) -> int:
    """Kill a run after `delay` seconds of training, resume it, and return the number of its finished epochs by then."""
    last = folder / "checkpoints" / name / "last.pt"
    process = start_training(folder, name)
    time.sleep(delay)
    process.kill()
    process.wait()
    if not last.exists():  # killed in its first epoch: there is nothing to go on from
        start(folder, *OPTIONS, "--name", name, "--overwrite").wait()
        return 0
    epoch = int(weights(folder, name)["epoch"])
    start(folder, "--resume", str(last)).wait()  # which refuses when the run had got to its end
    return epoch


def main() -> None:
    """Print a line a kill, and the count of those that ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start(folder, "--epochs", "1", "--train-size", "100", "--name", "unpack").wait()
        undisturbed = start_training(folder, "undisturbed")
        began = time.perf_counter()
        undisturbed.wait()
        whole = time.perf_counter() - began
        expected = weights(folder, "undisturbed")
        different = 0
        for number in range(arguments.kills):
            delay = random.uniform(0, whole)
            epoch = kill_and_resume(folder, f"killed-{number}", delay)
            reached = weights(folder, f"killed-{number}")
            same = all(torch.equal(reached[name], tensor) for name, tensor in expected.items())
            different += not same
            print(f"killed after {delay:5.2f} s with {epoch} epochs: {'same' if same else 'OTHER'} weights", flush=True)
        print(f"{arguments.kills} kills, {different} ended with other weights")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
