"""Results as they are printed, in the order of the pictures: those of many pictures are computed on all cores."""

from collections.abc import Iterator, Sequence
from itertools import chain

from mnist_cli import cores
from mnist_cli.bulk import shards, work
from mnist_cli.bulk.shards import Files, Shard
from mnist_cli.models.backends import LoadedModel
from mnist_cli.recognition.pipeline import BATCH, Options
from mnist_cli.recognition.result import Result

SHARD, PAGES = (
    4 * BATCH,
    4,
)  # pictures, or with many digits each: whole batches, so that they are the same on any machine
MIN_SHARDS = 4  # from which on processes take less time than they take to start; set by hand


def recognize(loaded: LoadedModel, split: Sequence[Shard], options: Options) -> Iterator[list[Result]]:
    """Yield the results of shards, which may come from standard input unless they are many.

    With a GPU there is one process, and so when the pixels are to be kept. Raises DataError when a shard cannot be read.
    """
    is_much = len(split) >= MIN_SHARDS or (len(split) > 1 and not all(isinstance(shard, Files) for shard in split))
    count = min(cores.available(), len(split))
    if is_much and count > 1 and loaded.runtime.endswith("cpu") and not options.keep_pixels:
        from mnist_cli.bulk import executors, retries

        job = work.job_of(loaded, options)
        with executors.local(count) as crew:
            yield from (wait() for wait in retries.results(crew, job, list(split), work.recognize_shard))
    else:
        pictures = chain.from_iterable(map(shards.read, split))
        yield from map(work.with_paths, work.recognize(loaded.model, pictures, options))
