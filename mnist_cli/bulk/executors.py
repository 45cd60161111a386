"""Where shards are worked on: processes of this machine, or the workers of a Dask cluster.

Both have the interface of concurrent.futures.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from mnist_cli import clusters, cores
from mnist_cli.bulk import work
from mnist_cli.errors import MnistError
from mnist_cli.processes import Worker, WorkerEnded

P = ParamSpec("P")
Item = TypeVar("Item")
T = TypeVar("T")


class Processes(Executor):
    """Processes of this machine, started on demand. When one ends, the others go on, and another one takes its place."""

    def __init__(self, count: int, prepare: Callable[[], object] = work.prepare) -> None:
        """Use at most `count` processes, each of which first calls `prepare`."""
        self._prepare = prepare
        self._threads = ThreadPoolExecutor(count, "process")  # each waits for a process
        self._all: set[Worker] = set()
        self._idle: list[Worker] = []
        self._is_stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a process call a function; its future has WorkerEnded as its exception when the process ends before."""
        assert not kwargs
        return self._threads.submit(self._run, fn, args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all processes at once, whatever they are doing."""
        self._is_stopped = True
        for worker in list(self._all):
            worker.end()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, fn: Callable[..., T], args: tuple[Any, ...]) -> T:
        worker = self._take()
        try:
            return worker.run(None, fn, args)
        finally:
            if worker.is_alive:
                self._idle.append(worker)
            else:
                self._all.discard(worker)

    def _take(self) -> Worker:
        with suppress(IndexError):  # none is idle
            while not (worker := self._idle.pop()).is_alive:
                self._all.discard(worker)
            return worker
        if self._is_stopped:
            raise WorkerEnded
        worker = Worker([work.MODULE], self._prepare)
        self._all.add(worker)
        if self._is_stopped:  # meanwhile
            worker.end()
        return worker


@dataclass(frozen=True)
class Crew:
    """An executor and how many it works on at a time."""

    executor: Executor
    workers: int

    def map(self, work: Callable[[Item], Future[T]], items: Iterable[Item]) -> Iterator[tuple[Item, Future[T]]]:
        """Yield what is submitted for each item, in order; twice as many as there are workers are submitted at a time."""
        ahead: deque[tuple[Item, Future[T]]] = deque()
        try:
            for item in items:
                ahead.append((item, work(item)))
                if len(ahead) > 2 * self.workers:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, future in ahead:
                future.cancel()


def has_died(error: BaseException) -> bool:
    """Return whether an error means that a process ended while it worked: also what Dask gives up to try again."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


@contextmanager
def local(count: int | None = None, prepare: Callable[[], object] = work.prepare) -> Iterator[Crew]:
    """Use this machine: a process for each core, or `count`, each with one thread."""
    count = count or cores.available()
    before = os.environ.get(cores.THREADS)
    os.environ[cores.THREADS] = "1"  # for the processes, which share the cores
    executor = Processes(count, prepare)
    try:
        yield Crew(executor, count)
    finally:
        executor.shutdown()
        if before is None:
            del os.environ[cores.THREADS]
        else:
            os.environ[cores.THREADS] = before


@contextmanager
def cluster(address: str) -> Iterator[Crew]:
    """Use the workers of a Dask cluster, whose scheduler has this address, such as tcp://scheduler:8786.

    Raises MnistError when the cluster cannot be reached, has no workers, or ends.
    """
    client = clusters.connect(address)
    try:
        workers = sum(client.ncores().values())
        if not workers:
            raise MnistError(f"the cluster at {address} has no workers; start some with `dask worker {address}`")
        yield Crew(client.get_executor(pure=False), workers)
    except (CancelledError, OSError) as error:
        if client.status == "running" and isinstance(error, OSError):  # of a full disk, perhaps
            raise
        raise MnistError(f"the cluster at {address} ended; start it, and type the same command again") from error
    finally:
        client.close(timeout=1)
