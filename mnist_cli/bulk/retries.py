"""What is done when a process ends while it works on a shard: the shard is tried again, without the picture that did it."""

from collections.abc import Callable, Container, Iterator
from concurrent.futures import BrokenExecutor, Future
from typing import TypeVar

from mnist_cli.bulk import work
from mnist_cli.bulk.executors import Crew, has_died
from mnist_cli.bulk.shards import Shard
from mnist_cli.bulk.work import Job
from mnist_cli.errors import MnistError
from mnist_cli.recognition.pipeline import BATCH

T = TypeVar("T")
Work = Callable[[Job, Shard, Container[int]], T]


def results(crew: Crew, job: Job, shards: list[Shard], do: Work[T]) -> Iterator[Callable[[], T]]:
    """Yield for each shard, in order, a function that waits for what `do` returns for it, or raises what it raises."""
    for shard, future in crew.map(lambda shard: crew.executor.submit(do, job, shard, ()), shards):
        yield lambda shard=shard, future=future: _result(crew, job, shard, do, future)  # type: ignore[misc]


def _result(crew: Crew, job: Job, shard: Shard, do: Work[T], future: Future[T]) -> T:
    try:
        return future.result()
    except Exception as error:
        if not has_died(error):
            raise
    bad = frozenset(_bad_pictures(crew, job, shard))
    return crew.executor.submit(do, job, shard, bad).result()


def _bad_pictures(crew: Crew, job: Job, shard: Shard) -> Iterator[int]:
    """Yield the indices of the pictures of a shard whose reading ends a process, or takes too long.

    There are none when the process was ended for another reason. Raises MnistError when processes end with any picture.
    """
    start = 0
    while True:
        tried = _try(crew, job, shard, start, start + BATCH)
        if tried is None:
            singles = range(start, start + BATCH)
            bad = [one for one in singles if _try(crew, job, shard, one, one + 1) is None]
            if len(bad) == BATCH:
                raise MnistError(f"every process ends while it reads {shard.source}; is there enough memory?")
            yield from bad
        elif tried < BATCH:
            return
        start += BATCH


def _try(crew: Crew, job: Job, shard: Shard, start: int, stop: int, tries: int = 2) -> int | None:
    """Return how many pictures a process recognized, of those from the index `start` to `stop`; None when it ended.

    For a single picture it has to end twice: once may have had another reason. A cluster has tried more often before.
    """
    try:
        return crew.executor.submit(work.try_pictures, job, shard, start, stop).result()
    except Exception as error:
        if not has_died(error):
            raise
        if isinstance(error, BrokenExecutor) and stop - start == 1 and tries > 1:
            return _try(crew, job, shard, start, stop, tries - 1)
        return None
