"""Work done one item ahead, in a thread, while its results are used. Standard library only."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `work` of each item, in order; while a result is used, a thread works on the next item.

    A single item is worked on without a thread. What `work` or the items raise is raised where its result would be yielded.
    When the iteration is closed the thread ends, after the item that it is at.
    """
    remaining = iter(items)
    some = list(islice(remaining, 2))
    if len(some) == 1:
        yield work(some[0])
    if len(some) < 2:
        return
    with ThreadPoolExecutor(1) as worker:
        ahead = worker.submit(work, some[0])
        for item in chain(some[1:], remaining):
            result = ahead.result()
            ahead = worker.submit(work, item)
            yield result
            del result  # before the next but one is made
        yield ahead.result()
