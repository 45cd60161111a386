"""Worker processes: each does one piece of work at a time, and can be killed whatever it is doing.

Executors of concurrent.futures will not do: a thread cannot be killed, and a pool breaks when one of its processes is.
Standard library only.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from multiprocessing.connection import Connection
from typing import Any, TypeVar

START_SECONDS = 120  # in which a process must start, even on a busy machine

T = TypeVar("T")


class WorkerEnded(BrokenExecutor):
    """A worker process ended before its work was done."""


class Overdue(WorkerEnded):
    """A worker took too long and was killed."""


class Worker:
    """A worker process and the pipe to it."""

    def __init__(self, modules: Sequence[str], prepare: Callable[..., object], *given: Any) -> None:
        """Start a process that begins with these modules imported, and first calls `prepare`.

        Raises WorkerEnded when the process that it is forked from has ended; the next worker starts another one.
        """
        context = _context(modules)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, prepare, given), daemon=True)
        try:
            self._process.start()
        except (EOFError, ConnectionError) as ended:
            raise WorkerEnded from ended
        theirs.close()
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return bool(self._process.is_alive())

    def run(self, seconds: float | None, work: Callable[..., T], given: tuple[Any, ...]) -> T:
        """Return what `work` returns in the process, or raise what it raises.

        Raises WorkerEnded when the process ends, and Overdue when it is not done after so many seconds, unless None.
        """
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

    def _receive(self, seconds: float | None) -> tuple[Any, Exception | None]:
        if not self._connection.poll(seconds):
            self.end()
            raise Overdue
        received: tuple[Any, Exception | None] = self._connection.recv()
        return received


def _context(modules: Sequence[str]) -> Any:
    """Return the context that forks processes from one that has imported `modules`, which takes a fifth of the time.

    They are not forked from this program: that would copy the locks of its threads, but not the threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def _work(connection: Connection, prepare: Callable[..., object], given: tuple[Any, ...]) -> None:
    """Run pieces of work in a process of its own until the program ends; Ctrl-C is left to the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=[parent.join], daemon=True).start()
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
