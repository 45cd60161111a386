"""What a process does, on this machine or in a cluster: it reads the pictures of a shard and recognizes them."""

import faulthandler
import hashlib
import os
import platform
import threading
from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_cli.bulk import places, shards
from mnist_cli.bulk.shards import Named, NamedResult, Shard
from mnist_cli.errors import CheckpointError, ImageError
from mnist_cli.models import backends, pretrained
from mnist_cli.models.backends import LoadedModel
from mnist_cli.models.interface import Model
from mnist_cli.pictures import decode
from mnist_cli.recognition import pipeline
from mnist_cli.recognition.pipeline import Options
from mnist_cli.recognition.result import Result
from mnist_cli.recognition.sources import Source

if TYPE_CHECKING:
    from mnist_cli.bulk.parts import Format, Part

MODULE = __name__  # to be imported before processes are started
BATCH_SECONDS = 60.0  # for reading and recognizing a batch; a process that takes longer ends
ENDED = f"reading it ended the process, or took more than {BATCH_SECONDS:g} seconds"

_turn = threading.Lock()  # one shard at a time: the time limit is one of the process


@dataclass(frozen=True)
class Job:
    """What all shards have in common."""

    model: Path  # of a checkpoint or an ONNX file, as all processes find it, or `pretrained`
    sha256: str  # of the file that is run
    runtime: str  # the library that runs it, and the device
    options: Options = Options()  # noqa: RUF009  (frozen)
    format: "Format" = "parquet"
    seconds: float = BATCH_SECONDS


def job_of(loaded: LoadedModel, options: Options, form: "Format" = "parquet") -> Job:
    """Return the job of a model."""
    path = loaded.path if loaded.is_pretrained else loaded.path.absolute()
    return Job(path, _sha256(loaded), loaded.runtime, options, form)


def make_part(job: Job, shard: Shard, bad: Container[int] = ()) -> "Part":
    """Return the part of a shard; the pictures at the indices `bad` are not read.

    Raises DataError when the shard cannot be read, CheckpointError when the model differs from that of the job.
    """
    from mnist_cli.bulk import parts

    with _turn:
        batches = _recognize_in_time(job, _without(bad, shards.read(shard)))
        return parts.encode(chain.from_iterable(batches), job.format, job.options.many, _load(job).model.classes)


def try_pictures(job: Job, shard: Shard, start: int, stop: int) -> int:
    """Recognize the pictures from the index `start` to `stop` and return how many there are."""
    with _turn:
        return sum(map(len, _recognize_in_time(job, islice(shards.read(shard), start, stop))))


def recognize_shard(job: Job, shard: Shard, bad: Container[int] = ()) -> list[Result]:
    """Return the results of a shard as `make_part` has them, with their paths."""
    with _turn:
        return with_paths(chain.from_iterable(_recognize_in_time(job, _without(bad, shards.read(shard)))))


def recognize(model: Model, pictures: Iterable[Named], options: Options) -> Iterator[list[NamedResult]]:
    """Yield the results of named pictures in batches, each with its name."""
    names: deque[str] = deque()

    def sources() -> Iterator[Source | ImageError]:
        for name, source in pictures:
            names.append(name)
            yield source

    for results in pipeline.recognize(model, sources(), options):
        yield [(names.popleft(), result) for result in results]


def with_paths(results: Iterable[NamedResult]) -> list[Result]:
    """Return results that have their names as paths."""
    return [replace(result, path=name if places.is_url(name) else Path(name)) for name, result in results]


def prepare() -> None:
    """Prepare a process of this machine, which other processes share the cores with."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _recognize_in_time(job: Job, pictures: Iterator[Named]) -> Iterator[list[NamedResult]]:
    """Yield the results in batches; the process ends when one of them takes longer than the job allows.

    The limit also holds for a decoder that never gives back control, which no exception could end.
    """
    batches = recognize(_load(job).model, pictures, job.options)
    with open(os.devnull, "w") as nowhere:
        try:
            while True:
                faulthandler.dump_traceback_later(job.seconds, exit=True, file=nowhere)
                results = next(batches, None)
                faulthandler.cancel_dump_traceback_later()
                if results is None:
                    return
                yield results
        finally:
            faulthandler.cancel_dump_traceback_later()


def _without(bad: Container[int], pictures: Iterator[Named]) -> Iterator[Named]:
    for index, (name, source) in enumerate(pictures):
        yield name, ImageError(ENDED) if index in bad else source


@lru_cache(1)
def _load(job: Job) -> LoadedModel:
    decode.silence_libraries()
    loaded = backends.load(job.model, job.runtime.rpartition(" on ")[2])
    if (_sha256(loaded), loaded.runtime) != (job.sha256, job.runtime):
        raise CheckpointError(
            f"{job.model} differs on {platform.node()}, or runs on {loaded.runtime} there, and here on {job.runtime}"
        )
    return loaded


def _sha256(loaded: LoadedModel) -> str:
    """Return the SHA-256 of the file that a model is from."""
    runs_onnx = loaded.is_pretrained and loaded.runtime.startswith("onnxruntime")
    path = pretrained.ONNX if runs_onnx else pretrained.resolve(loaded.path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
