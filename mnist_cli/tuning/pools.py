"""Where trials are trained: in processes of this machine, or on a Dask cluster, through one interface of concurrent.futures."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from mnist_cli import clusters
from mnist_cli.errors import MnistError

T = TypeVar("T")

CLOSE_SECONDS = 3  # for the scheduler of a cluster to be told that a search has ended


class Pool(Protocol):
    """Trains several trials at once."""

    def capacity(self) -> int:
        """Return how many trials can be trained at once, now."""

    def submit(self, work: Callable[..., T], /, *given: Any) -> "Future[T]":
        """Return the future of some work, of which there is never more than the capacity."""

    def stop(self) -> None:
        """End all work at once."""


class LocalPool:
    """Processes of this machine.

    Each is a pool of its own: when the only process of a ProcessPoolExecutor is killed, no other trial is lost with it, and
    a new one takes its place.
    """

    def __init__(self, processes: int) -> None:
        """Train in so many processes, started when there is work."""
        self.processes = processes
        self._idle: list[_Process] = []
        self._busy: dict[Future[Any], _Process] = {}

    def capacity(self) -> int:
        """Return the number of processes."""
        return self.processes

    def submit(self, work: Callable[..., T], /, *given: Any) -> "Future[T]":
        """Return the future of some work; it raises BrokenExecutor when its process was killed."""
        self._collect()
        process = self._idle.pop() if self._idle else _Process()
        try:
            future = process.executor.submit(work, *given)
        except BrokenExecutor:  # it was killed while it had nothing to do
            process.stop()
            return self.submit(work, *given)
        self._busy[future] = process
        return future

    def stop(self) -> None:
        """End the processes: whatever they are doing is repeated by the next search."""
        for process in (*self._idle, *self._busy.values()):
            process.stop()
        self._idle, self._busy = [], {}

    def _collect(self) -> None:
        """Let the processes that have finished their work have other work."""
        for future in [future for future in self._busy if future.done()]:
            process = self._busy.pop(future)
            if isinstance(future.exception(), BrokenExecutor):
                process.stop()
            else:
                self._idle.append(process)


class _Process:
    """A process that ends when its pipe is closed: by `stop`, or because the search has ended, however it did."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of this process would have its locks, not its threads
        self._theirs, self._ours = context.Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self._theirs,))

    def stop(self) -> None:
        self._ours.close()
        self._theirs.close()
        self.executor.shutdown(wait=True, cancel_futures=True)


class ClusterPool:
    """The workers of a Dask cluster, which may come and go; a trial whose worker ends is begun again on another one."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler at `address`; raises MnistError when it cannot be reached."""
        self.client = clusters.connect(address)
        self.address = address
        self.executor: Executor = self.client.get_executor(pure=False)

    def capacity(self) -> int:
        """Return the number of workers that the cluster has now; each trains one trial at a time."""
        try:
            return len(self.client.nthreads())
        except (OSError, RuntimeError) as error:
            raise MnistError(
                f"the Dask cluster at {self.address} ended; on a new one the same command goes on"
            ) from error

    def submit(self, work: Callable[..., T], /, *given: Any) -> "Future[T]":
        """Return the future of some work."""
        return self.executor.submit(work, *given)

    def stop(self) -> None:
        """Cancel the work and leave the cluster as it was."""
        self.executor.shutdown(wait=False)
        self.client.close(timeout=CLOSE_SECONDS)


def _begin(pipe: Connection) -> None:
    """Leave Ctrl-C to the search, and end with it, also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=[pipe], daemon=True).start()


def _end_after(pipe: Connection) -> None:
    with suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
