"""The worker processes of the service: one that takes too long is killed, and another one is started in its place.

Executors of concurrent.futures will not do: a thread cannot be killed, and a pool breaks when one of its processes is.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

START_SECONDS = 120  # in which a process must start, even on a busy machine

T = TypeVar("T")


class WorkerEnded(Exception):  # noqa: N818  (an event, not an error)
    """A worker process ended before its work was done."""


class Overdue(WorkerEnded):
    """A worker took too long and was killed."""


class Workers:
    """Processes that are started on demand and do one piece of work at a time.

    One spare process is kept ready, so that no request waits for a start when all others are busy or one was killed.
    """

    def __init__(self, count: int, modules: Sequence[str], prepare: Callable[..., object], *given: Any) -> None:
        """Use at most `count` processes, which start with `modules` imported and first call `prepare`."""
        self._count, self._modules, self._prepare, self._given = count, modules, prepare, given
        self._threads = ThreadPoolExecutor(count, "worker")  # each waits for a process
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
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

    def _take(self) -> "_Worker":
        with suppress(IndexError):  # none is idle
            while not (worker := self._idle.pop()).is_alive:
                self._all.discard(worker)
            return worker
        return self._make()

    def _make(self) -> "_Worker":
        if self._is_stopped:
            raise WorkerEnded
        worker = _Worker(_context(self._modules), self._prepare, *self._given)
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


class _Worker:
    """A worker process and the pipe to it."""

    def __init__(self, context: Any, prepare: Callable[..., object], *given: Any) -> None:
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, prepare, given), daemon=True)
        self._process.start()
        theirs.close()
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        return bool(self._process.is_alive())

    def run(self, seconds: float, work: Callable[..., T], given: tuple[Any, ...]) -> T:
        """Return what `work` returns in the process."""
        try:
            if not self._is_ready:
                self._receive(START_SECONDS)
                self._is_ready = True
            self._connection.send((work, given))
            value, error = self._receive(seconds)
        except (EOFError, OSError) as ended:
            self.end()
            raise WorkerEnded from ended
        if error is not None:
            raise error
        result: T = value
        return result

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()

    def _receive(self, seconds: float) -> tuple[Any, Exception | None]:
        if not self._connection.poll(seconds):
            self.end()
            raise Overdue
        received: tuple[Any, Exception | None] = self._connection.recv()
        return received


def _context(modules: Sequence[str]) -> Any:
    """Return the context that forks processes from one that has imported `modules`, which takes a fifth of the time.

    They are not forked from the service: that would copy the locks of its threads, but not the threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def limit_memory(more: int) -> None:
    """Limit this process to `more` bytes of address space beyond what it has now, where the system supports that."""
    with suppress(ImportError, OSError, ValueError):  # on Windows and macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))


def _work(connection: Connection, prepare: Callable[..., object], given: tuple[Any, ...]) -> None:
    """Run pieces of work in a process of its own until the service ends; Ctrl-C is left to the service."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = multiprocessing.parent_process()
    assert service is not None
    threading.Thread(target=_end_after, args=[service.join], daemon=True).start()
    prepare(*given)
    connection.send((None, None))
    while True:
        try:
            work, given = connection.recv()
        except (EOFError, OSError):
            return
        value = failure = None
        try:
            value = work(*given)
        except Exception as error:  # noqa: BLE001  (the caller raises it)
            failure = error
        connection.send((value, failure))


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
