"""From the bytes of a picture to an answer, off the event loop."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException

from mnist_cli import pages, predictions
from mnist_cli.answers import Answer
from mnist_cli.corrections import Corrections
from mnist_cli.errors import FormatError, ImageError, TooLargeError
from mnist_cli.images import Picture
from mnist_cli.images.decode import WORKING_SIZE, decode
from mnist_cli.pages import Found
from mnist_cli.predictions import Prediction
from mnist_cli.runtimes import Model
from mnist_cli.serving import uploads
from mnist_cli.serving.batching import Batcher
from mnist_cli.serving.uploads import Upload

LARGEST = 40_000_000  # px
DECODERS = 2  # threads; each may hold the largest of pictures
BATCH = 32  # pictures
COMPANY = 0.002  # seconds that the first picture of a batch waits for others
DEADLINE = 20  # seconds, in which a picture has to be decoded, or a page read

Result = TypeVar("Result")


class Engine:
    """Answers pictures with a model: several threads decode, one classifies in batches, one reads pages."""

    def __init__(self, model: Model) -> None:
        """Start no thread before it is needed."""
        self.model = model
        self._decoders = ThreadPoolExecutor(DECODERS, "decoder")
        self._reader = ThreadPoolExecutor(1, "reader")
        self._batcher: Batcher[Picture, Prediction] = Batcher(
            lambda pictures: predictions.classify(model, pictures), ThreadPoolExecutor(1, "classifier"), BATCH, COMPANY
        )

    async def answer(self, upload: Upload, many: bool) -> tuple[Answer, int]:
        """Return what there is to say about a picture, and the HTTP status that goes with it."""
        answer = Answer(Path(upload.name))
        try:
            if many:
                answer.set_found(await _in_time(self._reader, lambda: self._read_page(upload)))
            else:
                answer.prediction = await self._batcher.ask(
                    await _in_time(self._decoders, lambda: _decode(upload, WORKING_SIZE))
                )
        except HTTPException as error:
            answer.error = error.detail
            return answer, error.status_code
        return answer, 200

    async def save(self, corrections: Corrections, upload: Upload, digit: int) -> Path:
        """Keep a picture as a correction and return its path; raises HTTPException when that cannot be."""
        try:
            return await _in_time(self._decoders, lambda: corrections.add(_decode(upload, WORKING_SIZE), digit))
        except OSError as error:
            raise HTTPException(507, f"the picture could not be saved: {error.strerror or error}") from error

    def _read_page(self, upload: Upload) -> list[Found]:
        return pages.find_digits(self.model, _decode(upload, None))


def _decode(upload: Upload, longest: int | None) -> Picture:
    if len(upload.body) > uploads.LARGEST_FILE:
        raise HTTPException(413, uploads.FILE_TOO_LARGE)
    try:
        return decode(io.BytesIO(upload.body), longest, LARGEST)
    except ImageError as error:
        status = {TooLargeError: 413, FormatError: 415}.get(type(error), 422)
        raise HTTPException(status, str(error)) from error


async def _in_time(executor: Executor, work: Callable[[], Result]) -> Result:
    """Return what `work` returns in a thread; raises HTTPException when that takes too long."""
    job = executor.submit(work)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(job), DEADLINE)
    except TimeoutError as error:
        if job.cancelled():  # it never began
            raise uploads.busy() from error
        raise HTTPException(
            422, f"the picture takes more than {DEADLINE} seconds to read; send a smaller one"
        ) from error
