"""Batches of requests that arrive together: one forward pass for several pictures costs little more than for one."""

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Entry(Generic[Item, Result]):
    """An item in the queue."""

    item: Item
    address: str
    result: "asyncio.Future[Result]"
    waiting: asyncio.Timeout  # until it is worked on


class Batcher(Generic[Item, Result]):
    """Calls `work` with the items of several tasks at once, and returns to each task its own result.

    The first item waits `wait` seconds for others. While as many batches as allowed are worked on, the next one gathers.
    The addresses that items come from take turns, so an address that sends many makes others wait for one of them.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        largest: int,
        wait: float,
        batches: int = 1,
        patience: float | None = None,
        of_an_address: int | None = None,
    ) -> None:
        """Work on at most `batches` at once of at most `largest` items each.

        An item that is not worked on after `patience` seconds is given up. Of one address at most `of_an_address` batches
        are worked on at once.
        """
        self.work, self.largest, self.wait, self.batches = work, largest, wait, batches
        self.patience, self.of_an_address = patience, of_an_address or batches
        self._queues: OrderedDict[str, deque[_Entry[Item, Result]]] = (
            OrderedDict()
        )  # by address, whose turn it is first
        self._worked_on: Counter[str] = Counter()  # batches that have items of an address
        self._workers: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item, address: str = "") -> Result:
        """Return the result of `work` for an item of an address; raises what it raises.

        Raises TimeoutError when the item had to wait for too long.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(self.patience) as waiting:
            self._queues.setdefault(address, deque()).append(_Entry(item, address, result, waiting))
            if len(self._workers) < self.batches:
                self._workers.add(asyncio.create_task(self._work()))
            return await result

    async def _work(self) -> None:
        """Work until there is nothing in the queue that may be worked on."""
        await asyncio.sleep(self.wait)
        while batch := self._next_batch():
            addresses = {entry.address for entry in batch}
            self._worked_on.update(addresses)
            # Without those whose task was cancelled.
            if waiting := [entry for entry in batch if not entry.result.done()]:
                for entry in waiting:
                    entry.waiting.reschedule(None)
                await self._finish(waiting)
            self._worked_on.subtract(addresses)
            self._worked_on += Counter()  # forgets those of which nothing is worked on
        self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_batch(self) -> "list[_Entry[Item, Result]]":
        """Take an item of each address in turn, until the batch is large enough."""
        queued = sum(map(len, self._queues.values()))
        size = min(self.largest, math.ceil(queued / self.batches))  # so that none works while another is idle
        batch: list[_Entry[Item, Result]] = []
        while len(batch) < size and (entry := self._next()):
            batch.append(entry)
        return batch

    def _next(self) -> "_Entry[Item, Result] | None":
        for address, queue in self._queues.items():
            if self._worked_on[address] < self.of_an_address:
                entry = queue.popleft()
                self._queues.move_to_end(address)
                if not queue:
                    del self._queues[address]
                return entry
        return None

    async def _finish(self, batch: "list[_Entry[Item, Result]]") -> None:
        try:
            values = await self.work([entry.item for entry in batch])
            finished = list(zip(batch, values, strict=True))
        except Exception as error:  # noqa: BLE001  (each task raises it)
            for entry in batch:
                if not entry.result.done():
                    entry.result.set_exception(error)
            return
        for entry, value in finished:
            if not entry.result.done():
                entry.result.set_result(value)
