"""From the bytes of a picture to its result, off the event loop."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import FormatError, ImageError, MnistError, TooLargeError
from mnist_cli.models.backends import LoadedModel
from mnist_cli.recognition.result import Result
from mnist_cli.serving import reading, uploads
from mnist_cli.serving.batching import Batcher
from mnist_cli.serving.uploads import Upload

BATCH = 8  # pictures; more are not faster
BATCH_WAIT = 0.002  # seconds that the first picture of a batch waits for others
TIMEOUT = 20  # seconds, in which a picture has to be read, or a page
SLOW_BYTES = 1_000_000  # a larger picture is read on its own, or the others of its batch would wait for it

WORKER_ENDED = "the process that read the picture ended; try again in a second"
TOO_SLOW = "the picture was not read in time; try again later, or send a smaller one; the limit is"

T = TypeVar("T")


class Engine:
    """Recognizes pictures with a model, in several processes, or with one worker in threads of this process.

    Python runs one thread of a process at a time: with more, they wait for each other, and each picture costs more.
    """

    def __init__(self, loaded: LoadedModel, workers: int = 1) -> None:
        """Start the first worker; the others are started when there is work for them."""
        self.loaded, self.workers = loaded, workers
        self._executor: Executor | None = self._start()
        self._batcher: Batcher[bytes, Result] = Batcher(
            lambda bodies: self._run(reading.recognize, bodies, False), BATCH, BATCH_WAIT, workers
        )
        self._slow = asyncio.Semaphore(max(1, workers - 1))  # so that what takes long does not take all workers

    async def recognize(self, upload: Upload, many: bool) -> tuple[Result, int]:
        """Return the result for a picture, and its HTTP status."""
        path = Path(upload.name)
        try:
            result = await _in_time(self._recognize(_checked(upload), many))
        except HTTPException as error:
            return Result(path, error=MnistError(error.detail)), error.status_code
        return replace(result, path=path), _status(result.error) if result.error else 200

    async def save(self, corrections: Corrections, upload: Upload, digit: int) -> Path:
        """Save a picture as a correction and return its path; raises HTTPException when that fails."""
        try:
            return await _in_time(self._run_slowly(reading.save, corrections, digit, _checked(upload)))
        except OSError as error:
            raise HTTPException(507, f"the picture could not be saved: {error.strerror or error}") from error

    def stop(self) -> None:
        """End the workers; the next picture starts others."""
        executor, self._executor = self._executor, None
        if executor:
            executor.shutdown()

    def _start(self) -> Executor:
        executor: Executor
        if self.workers == 1:  # and a thread beside it for what takes long
            executor = ThreadPoolExecutor(2, "reader", reading.start_thread, (self.loaded.model,))
        else:
            start = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks, but not the threads
            executor = ProcessPoolExecutor(self.workers, start, reading.start_process, (self.loaded.path,))
        executor.submit(reading.is_ready)
        return executor

    async def _recognize(self, body: bytes, many: bool) -> Result:
        if many or len(body) > SLOW_BYTES:
            (result,) = await self._run_slowly(reading.recognize, [body], many)
            return result
        return await self._batcher.submit(body)

    async def _run_slowly(self, work: Callable[..., T], *given: Any) -> T:
        async with self._slow:
            return await self._run(work, *given)

    async def _run(self, work: Callable[..., T], *given: Any) -> T:
        """Return what `work` returns in a worker; raises HTTPException when the worker ended, and starts others."""
        executor = self._executor = self._executor or self._start()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, *given)
        except BrokenExecutor as error:
            if executor is self._executor:  # as all see it who waited for it
                self._executor = None
            raise uploads.busy(WORKER_ENDED) from error


def _checked(upload: Upload) -> bytes:
    if len(upload.body) > uploads.MAX_FILE_BYTES:
        raise HTTPException(413, uploads.FILE_TOO_LARGE)
    return upload.body


def _status(error: MnistError) -> int:
    """Return the HTTP status for a picture that cannot be read."""
    if isinstance(error, TooLargeError):
        return 413
    return 415 if isinstance(error, FormatError) else 422


async def _in_time(work: Awaitable[T]) -> T:
    """Return what `work` returns; raises HTTPException when it takes too long or the picture cannot be read."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await work
    except TimeoutError as error:
        raise uploads.busy(f"{TOO_SLOW} {TIMEOUT} seconds") from error
    except ImageError as error:
        raise HTTPException(_status(error), str(error)) from error
