"""Programs with all the processes that they start, and a Dask cluster of such programs: to kill some of them.

They are not forked, as those in program.py are: a fork cannot have processes of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_cli.models import pretrained
from torture import Skipped

SOURCE = str(Path(pretrained.__file__).parents[2])  # from where every process runs the program, whatever is installed
SECONDS = 600  # for one command, also on a machine that is busy with other work
WORKERS = 2  # of a cluster


@dataclass
class Family:
    """A program and the processes that it starts."""

    process: subprocess.Popen[bytes]
    said: Path  # what it writes to stderr

    def members(self) -> list[int]:
        """Return the ids of the program and of all its processes."""
        return [self.process.pid, *_children(self.process.pid)]

    def workers(self) -> list[int]:
        """Return the ids of its processes that do its work, without Python's resource tracker: on its end Python writes tracebacks."""
        return [pid for pid in self.members()[1:] if b"resource_tracker" not in _command(pid)]

    def end(self) -> str | None:
        """Wait for the end and return what was wrong with it, or None."""
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"it did not end in {SECONDS} seconds"
        text = self.said.read_text(errors="replace")
        return f"exit status {status}: {text[-600:]!r}" if status or "Traceback" in text else None

    def stop(self) -> None:
        """Kill the program and its processes."""
        for pid in self.members():
            kill(pid)
        self.process.wait()


def start(folder: Path, module: str, *arguments: object, threads: int = 1) -> Family:
    """Run a module of Python in `folder`."""
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": str(threads)}
    said = folder / f".said-{time.monotonic_ns()}"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    return Family(process, said)


def kill(pid: int) -> None:
    """Kill a process, if it has not ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class Cluster:
    """A scheduler, and a program whose processes are workers, which it starts again when they end."""

    address: str
    scheduler: Family
    workers: Family

    def worker_pids(self) -> list[int]:
        """Return the ids of the workers."""
        return [pid for pid in self.workers.members()[1:] if b"spawn_main" in _command(pid)]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a Dask cluster on this machine; raises Skipped where Dask is not installed."""
    try:
        from distributed import Client
        from distributed.utils import json_load_robust
    except ImportError as error:
        raise Skipped("Dask is not installed") from error
    file = folder / f".scheduler-{time.monotonic_ns()}.json"
    common = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file)
    scheduler = start(folder, "distributed.cli.dask_scheduler", "--port", "0", *common)
    each = ("--nworkers", WORKERS, "--nthreads", "1", "--local-directory", folder / ".dask")
    workers = start(folder, "distributed.cli.dask_worker", *each, *common)
    try:
        address = json_load_robust(file, timeout=SECONDS)["address"]
        with Client(address, timeout=SECONDS, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=SECONDS)
        yield Cluster(address, scheduler, workers)
    finally:
        workers.stop()
        scheduler.stop()


def _children(pid: int) -> Iterator[int]:
    """Yield all processes that a process started, and those that they started."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, thread.read_text().split()):
                yield child
                yield from _children(child)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
