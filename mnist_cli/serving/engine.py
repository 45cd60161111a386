"""From the bytes of a picture to its result, in processes beside the event loop."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import ConfigError, FormatError, ImageError, MnistError, TooLargeError
from mnist_cli.models.backends import LoadedModel
from mnist_cli.processes import Overdue, WorkerEnded
from mnist_cli.recognition.result import Result
from mnist_cli.serving import effort, reading, uploads
from mnist_cli.serving.batching import Batcher
from mnist_cli.serving.limits import Limits
from mnist_cli.serving.reading import Question
from mnist_cli.serving.uploads import Upload
from mnist_cli.serving.workers import Workers

BATCH = 8  # pictures; more are not faster
BATCH_WAIT = 0.002  # seconds that the first picture of a batch waits for others

WORKER_ENDED = "the process that read the picture ended; try again in a second"
TOO_SLOW = "the picture was not read in time; try again later, or send a smaller one; the limit is"

T = TypeVar("T")
Work = Callable[[], Awaitable[Any]]


class Engine:
    """Recognizes pictures with a model, in two queues: small pictures in batches, and one at a time what may take long."""

    def __init__(
        self,
        loaded: LoadedModel,
        workers: int = 1,
        limits: Limits | None = None,
        compared: Sequence[LoadedModel] = (),
    ) -> None:
        """Process at most `workers` batches of an address at once, and in addition `workers` - 1 pages or large pictures.

        Each queue has one more worker than that, so that no client can keep it from the others.
        """
        self.limits = limits or Limits()
        paths = [one.path for one in (loaded, *compared)]
        alone, wait = max(1, workers - 1), self.limits.wait_seconds
        self._workers = Workers(workers + 1 + alone + 1, reading.MODULES, reading.prepare, *paths)
        self._batches: Batcher[bytes, Result] = Batcher(self._read_batch, BATCH, BATCH_WAIT, workers, wait)
        self._alone: Batcher[Work, Any] = Batcher(self._do_alone, 1, 0, alone, wait)

    async def recognize(self, upload: Upload, many: bool, address: str = "") -> tuple[Result, int]:
        """Return the result for a picture, and its HTTP status."""
        path = Path(upload.name)
        try:
            result = await self._with_http_errors(self._recognize(_checked(upload), many, address))
        except HTTPException as error:
            return Result(path, error=MnistError(error.detail)), error.status_code
        return replace(result, path=path), _status(result.error) if result.error else 200

    async def inspect(self, upload: Upload, question: Question, address: str = "") -> bytes:
        """Return what the network computes for a picture, as JSON; raises HTTPException when that fails."""
        try:
            return await self._with_http_errors(self._run_alone(address, reading.inspect, _checked(upload), question))
        except ConfigError as error:
            raise HTTPException(404, str(error)) from error
        except reading.UnknownLayersError as error:
            raise HTTPException(501, str(error)) from error

    async def save(self, corrections: Corrections, upload: Upload, label: str, address: str = "") -> Path:
        """Save a picture as a correction and return its path; raises HTTPException when that fails."""
        body = _checked(upload)
        try:
            return await self._with_http_errors(self._run_alone(address, reading.save, corrections, label, body))
        except OSError as error:
            raise HTTPException(507, f"the picture could not be saved: {error.strerror or error}") from error

    def start(self) -> None:
        """Start the first worker."""
        self._workers.start()

    def stop(self) -> None:
        """Kill the workers, whatever they are doing."""
        self._workers.stop()

    async def _recognize(self, body: bytes, many: bool, address: str) -> Result:
        if not many and effort.is_quick(body):
            try:
                return await self._batches.submit(body, address)
            except WorkerEnded:  # perhaps because of another picture in the batch
                pass
        (result,) = await self._run_alone(address, reading.recognize, [body], many)
        return result

    async def _run_alone(self, address: str, work: Callable[..., T], *given: Any) -> T:
        result: T = await self._alone.submit(lambda: self._workers.run(self.limits.work_seconds, work, *given), address)
        return result

    async def _do_alone(self, items: list[Work]) -> list[Any]:
        return [await work() for work in items]

    async def _read_batch(self, bodies: list[bytes]) -> list[Result]:
        return await self._workers.run(self.limits.batch_seconds, reading.recognize, bodies, False)

    async def _with_http_errors(self, work: Awaitable[T]) -> T:
        """Return the result of `work`; raises HTTPException when it takes too long or the picture cannot be read."""
        try:
            return await work
        except (TimeoutError, Overdue) as error:
            seconds = self.limits.wait_seconds + self.limits.work_seconds
            raise uploads.busy(f"{TOO_SLOW} {seconds:g} seconds") from error
        except WorkerEnded as error:
            raise uploads.busy(WORKER_ENDED) from error
        except ImageError as error:
            raise HTTPException(_status(error), str(error)) from error


def _checked(upload: Upload) -> bytes:
    if len(upload.body) > uploads.MAX_FILE_BYTES:
        raise HTTPException(413, uploads.FILE_TOO_LARGE)
    return upload.body


def _status(error: MnistError) -> int:
    """Return the HTTP status for a picture that cannot be read."""
    if isinstance(error, TooLargeError):
        return 413
    return 415 if isinstance(error, FormatError) else 422
