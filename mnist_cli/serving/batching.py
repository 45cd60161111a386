"""Dynamic batching of requests that arrive together: a forward pass for several pictures costs little more than for one."""

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
    result: "asyncio.Future[Result]"
    waiting: asyncio.Timeout  # until it is processed


class Batcher(Generic[Item, Result]):
    """Calls `work` with the items of several tasks at once, and returns to each task its own result.

    The first item waits `wait` seconds for others. While as many batches as allowed are in progress, the next one fills.

    The addresses that items come from take turns, each batch has items of one address, and one more batch may be in progress
    than one address may have: so an address that sends many items, or slow ones, does not delay the others.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        max_size: int,
        wait: float,
        batches: int = 1,
        max_wait: float | None = None,
    ) -> None:
        """Process at most `batches` batches of an address at once, of at most `max_size` items each.

        An item still queued after `max_wait` seconds is given up.
        """
        self.work, self.max_size, self.wait, self.batches, self.max_wait = work, max_size, wait, batches, max_wait
        # By address; the first one has the next turn.
        self._queues: OrderedDict[str, deque[_Entry[Item, Result]]] = OrderedDict()
        self._in_progress: Counter[str] = Counter()  # batches of each address
        self._workers: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item, address: str = "") -> Result:
        """Return the result of `work` for an item of an address; raises what it raises.

        Raises TimeoutError when the item was queued for too long.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(self.max_wait) as waiting:
            self._queues.setdefault(address, deque()).append(_Entry(item, result, waiting))
            if len(self._workers) <= self.batches:
                self._workers.add(asyncio.create_task(self._work()))
            return await result

    async def _work(self) -> None:
        """Process batches until no queue has one that may start."""
        await asyncio.sleep(self.wait)
        while (address := self._next_address()) is not None:
            batch = self._take(address)
            self._in_progress[address] += 1
            # Skip those whose task was cancelled.
            if waiting := [entry for entry in batch if not entry.result.done()]:
                for entry in waiting:
                    entry.waiting.reschedule(None)
                await self._finish(waiting)
            self._in_progress[address] -= 1
            self._in_progress += Counter()  # removes the addresses with no batch in progress
        self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_address(self) -> str | None:
        may_have_one = (address for address in self._queues if self._in_progress[address] < self.batches)
        return next(may_have_one, None)

    def _take(self, address: str) -> "list[_Entry[Item, Result]]":
        """Take a batch from the queue of an address, which has the next turn after all others."""
        queue = self._queues.pop(address)
        # Divided among the workers: none is idle while another has several items.
        size = min(self.max_size, math.ceil(len(queue) / self.batches))
        batch = [queue.popleft() for _ in range(size)]
        if queue:
            self._queues[address] = queue
        return batch

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
