"""Processes that work for the service: what takes too long is ended with its process, and another one takes its place.

Not the executors of concurrent.futures: a thread cannot be ended, and when one process of a pool is, all of it is lost.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

START_SECONDS = 120  # in which a process has to start, also on a busy machine

T = TypeVar("T")


class WorkerEnded(Exception):  # noqa: N818  (as of a process)
    """A worker ended before it was done."""


class Overdue(WorkerEnded):
    """A worker took too long and was ended."""


class Workers:
    """Processes that are started when there is work for them, each for one piece of work at a time."""

    def __init__(self, count: int, prepare: Callable[..., object], *given: Any) -> None:
        """Use at most `count` processes, each of which first calls `prepare`."""
        self._prepare, self._given = prepare, given
        self._threads = ThreadPoolExecutor(count, "worker")  # each waits for a process
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._is_stopped = False

    async def run(self, seconds: float, work: Callable[..., T], *given: Any) -> T:
        """Return what `work` returns in a worker, or raise what it raises.

        Raises WorkerEnded when the worker ends, and Overdue when it is not done after so many seconds. It goes on when
        the caller is cancelled, and no other piece of work takes its place before it is done.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, seconds, work, given)

    def start(self) -> None:
        """Start the first worker; the others are started when there is work for them."""
        self._is_stopped = False
        self._threads.submit(self._run, START_SECONDS, int, ())

    def stop(self) -> None:
        """End the workers at once, whatever they are doing, and start no others."""
        self._is_stopped = True
        for worker in list(self._all):
            worker.end()

    def _run(self, seconds: float, work: Callable[..., T], given: tuple[Any, ...]) -> T:
        worker = self._take()
        try:
            return worker.run(seconds, work, given)
        finally:
            if worker.is_alive:
                self._idle.append(worker)
            else:
                self._all.discard(worker)

    def _take(self) -> "_Worker":
        with suppress(IndexError):  # none is idle
            while not (worker := self._idle.pop()).is_alive:
                self._all.discard(worker)
            return worker
        if self._is_stopped:
            raise WorkerEnded
        worker = _Worker(self._prepare, *self._given)
        self._all.add(worker)
        if self._is_stopped:  # meanwhile
            worker.end()
        return worker


class _Worker:
    """A process, and what is said to it and back."""

    def __init__(self, prepare: Callable[..., object], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks, but not the threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, prepare, given), daemon=True)
        self._process.start()
        theirs.close()
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

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
        """End the process wherever it is."""
        self._process.kill()
        self._process.join()

    def _receive(self, seconds: float) -> tuple[Any, Exception | None]:
        if not self._connection.poll(seconds):
            self.end()
            raise Overdue
        received: tuple[Any, Exception | None] = self._connection.recv()
        return received


def _work(connection: Connection, prepare: Callable[..., object], given: tuple[Any, ...]) -> None:
    """Do in a process of its own what is asked for, until the service ends; Ctrl-C is for the service."""
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
        except Exception as error:  # noqa: BLE001  (who asked raises it)
            failure = error
        connection.send((value, failure))


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
