"""From the bytes of a picture to an answer, off the event loop."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import FormatError, ImageError, TooLargeError
from mnist_cli.models.backends import Loaded
from mnist_cli.recognition.answers import Answer
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.serving import reading, uploads
from mnist_cli.serving.batching import Batcher
from mnist_cli.serving.uploads import Upload

BATCH = 8  # pictures; more are not faster
COMPANY = 0.002  # seconds that the first picture of a batch waits for others
DEADLINE = 20  # seconds, in which a picture has to be read, or a page
SLOW = 1_000_000  # bytes; a larger picture is not read in a batch, lest the others wait for it

WORKER_ENDED = "the process that read the picture ended; try again in a second"
TOO_SLOW = "the picture was not read in time; try again later, or send a smaller one; the limit is"

Result = TypeVar("Result")


class Engine:
    """Answers pictures with a model, in several processes, or in threads of this one where there is one worker.

    Python runs one thread of a process at a time: with more, they wait for each other, and each answer costs more.
    """

    def __init__(self, loaded: Loaded, workers: int = 1) -> None:
        """Start the first worker; the others are started when there is work for them."""
        self.loaded, self.workers = loaded, workers
        self._executor: Executor | None = self._start()
        self._batcher: Batcher[bytes, Prediction | ImageError] = Batcher(
            partial(self._run, reading.read_digits), BATCH, COMPANY, workers
        )
        self._slow = asyncio.Semaphore(max(1, workers - 1))  # so that what takes long does not take all workers

    async def answer(self, upload: Upload, many: bool) -> tuple[Answer, int]:
        """Return what there is to say about a picture, and the HTTP status that goes with it."""
        answer = Answer(Path(upload.name))
        try:
            if many:
                answer.set_found(await _in_time(self._run_slowly(reading.read_page, _checked(upload))))
            else:
                answer.prediction = await _in_time(self._read(_checked(upload)))
        except HTTPException as error:
            answer.error = error.detail
            return answer, error.status_code
        return answer, 200

    async def save(self, corrections: Corrections, upload: Upload, digit: int) -> Path:
        """Keep a picture as a correction and return its path; raises HTTPException when that cannot be."""
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

    async def _read(self, body: bytes) -> Prediction:
        if len(body) > SLOW:
            (found,) = await self._run_slowly(reading.read_digits, [body])
        else:
            found = await self._batcher.ask(body)
        if isinstance(found, ImageError):
            raise found
        return found

    async def _run_slowly(self, work: Callable[..., Result], *given: Any) -> Result:
        async with self._slow:
            return await self._run(work, *given)

    async def _run(self, work: Callable[..., Result], *given: Any) -> Result:
        """Return what `work` returns in a worker; raises HTTPException when that ended, and starts others."""
        executor = self._executor = self._executor or self._start()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, *given)
        except BrokenExecutor as error:
            if executor is self._executor:  # as all see it who waited for it
                self._executor = None
            raise uploads.busy(WORKER_ENDED) from error


def _checked(upload: Upload) -> bytes:
    if len(upload.body) > uploads.LARGEST_FILE:
        raise HTTPException(413, uploads.FILE_TOO_LARGE)
    return upload.body


async def _in_time(work: Awaitable[Result]) -> Result:
    """Return a result that is waited for; raises HTTPException when it takes too long, or the picture is at fault."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await work
    except TimeoutError as error:
        raise uploads.busy(f"{TOO_SLOW} {DEADLINE} seconds") from error
    except ImageError as error:
        status = {TooLargeError: 413, FormatError: 415}.get(type(error), 422)
        raise HTTPException(status, str(error)) from error
