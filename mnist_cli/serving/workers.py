"""The worker processes of the service: one that takes too long is killed, and another one is started in its place."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from mnist_cli.processes import START_SECONDS, Worker, WorkerEnded

T = TypeVar("T")


class Workers:
    """Processes that are started on demand and do one piece of work at a time.

    One spare process is kept ready, so that no request waits for a start when all others are busy or one was killed.
    """

    def __init__(self, count: int, modules: Sequence[str], prepare: Callable[..., object], *given: Any) -> None:
        """Use at most `count` processes, which start with `modules` imported and first call `prepare`."""
        self._count, self._modules, self._prepare, self._given = count, modules, prepare, given
        self._threads = ThreadPoolExecutor(count, "worker")  # each waits for a process
        self._all: set[Worker] = set()
        self._idle: list[Worker] = []
        self._is_starting = self._is_stopped = False

    async def run(self, seconds: float, work: Callable[..., T], *given: Any) -> T:
        """Return what `work` returns in a worker, or raise what it raises.

        Raises WorkerEnded when the worker ends, and Overdue when it is not done after `seconds`. When the caller is
        cancelled, the worker finishes its work before it gets another.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, seconds, work, given)

    def start(self) -> None:
        """Start the first worker."""
        self._is_stopped = False
        self._keep_one_ready()

    def stop(self) -> None:
        """Kill the workers at once, whatever they are doing, and start no others."""
        self._is_stopped = True
        for worker in list(self._all):
            worker.end()

    def _run(self, seconds: float, work: Callable[..., T], given: tuple[Any, ...]) -> T:
        worker = self._take()
        self._keep_one_ready()
        try:
            return worker.run(seconds, work, given)
        finally:
            if worker.is_alive:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
                self._keep_one_ready()

    def _take(self) -> Worker:
        with suppress(IndexError):  # none is idle
            while not (worker := self._idle.pop()).is_alive:
                self._all.discard(worker)
            return worker
        return self._make()

    def _make(self) -> Worker:
        if self._is_stopped:
            raise WorkerEnded
        worker = Worker(self._modules, self._prepare, *self._given)
        self._all.add(worker)
        if self._is_stopped:  # meanwhile
            worker.end()
        return worker

    def _keep_one_ready(self) -> None:
        if not (self._idle or self._is_starting or self._is_stopped) and len(self._all) < self._count:
            self._is_starting = True
            threading.Thread(target=self._start_one).start()

    def _start_one(self) -> None:
        try:
            worker = self._make()
            worker.run(START_SECONDS, int, ())
            self._idle.insert(0, worker)  # to be used after those that have worked already
        except WorkerEnded:
            pass
        finally:
            self._is_starting = False


def limit_memory(more: int) -> None:
    """Limit this process to `more` bytes of address space beyond what it has now, where the system supports that."""
    with suppress(ImportError, OSError, ValueError):  # on Windows and macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
