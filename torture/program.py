"""Run the program in new processes, forked from this one so that everything is imported already."""

import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

import torch

from mnist_cli.cli import app
from mnist_cli.datasets import mnist_files

SECONDS = 600  # for one command, also on a machine that is busy with other work
TINY = ("--model", "mlp", "--hidden", "16", "--train-size", "2000", "--device", "cpu")  # a run that takes seconds


@dataclass
class Started:
    """A process and its output."""

    process: ForkProcess
    said: Path  # both streams

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid  # os.kill(0, ...) would signal our own process group
        os.kill(self.process.pid, number)

    def end(self) -> int:
        """Wait for the end and return the exit status; a negative one is of a signal."""
        self.process.join(SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            return 999
        return self.process.exitcode

    def fault(self, *expected: int) -> str | None:
        """Wait for the end and return what was wrong with it, or None."""
        status, text = self.end(), self.said.read_text(errors="replace")
        if status not in expected or "Traceback" in text:
            return f"exit status {status}, expected {' or '.join(map(str, expected))}: {text[-600:]!r}"
        return None


def start(work: Callable[[], object], folder: Path, said: Path | None = None) -> Started:
    """Run `work` in `folder` and in a process of its own."""
    said = said or folder / ".said"
    return Started(fork(_run, work, folder, said), said)


def fork(work: Callable[..., object], *arguments: object) -> ForkProcess:
    """Run `work` in a fork of this process, which has everything imported."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments, daemon=True)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # about threads, which are not copied
        process.start()
    return process


def mnist(folder: Path, *arguments: object, said: Path | None = None) -> Started:
    """Run `mnist` in `folder`."""
    return start(lambda: app([str(argument) for argument in arguments], prog_name="mnist"), folder, said)


def unpacked(folder: Path) -> Path:
    """Return a folder with the MNIST files."""
    mnist_files.repair(folder / "data")
    return folder / "data"


def _run(work: Callable[[], object], folder: Path, said: Path) -> None:
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # As Python opened them: with the encoding and the error handler of the environment.
    for number, name in ((1, "stdout"), (2, "stderr")):
        before = getattr(sys, f"__{name}__")
        setattr(sys, name, os.fdopen(number, "w", encoding=before.encoding, errors=before.errors, closefd=False))
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        work()
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(70) from None
