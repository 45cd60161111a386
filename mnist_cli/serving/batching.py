"""Batches of requests that arrive together: one forward pass for several pictures costs little more than for one."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls `work` with the items of several tasks at once, and returns to each task its own result.

    The first item waits `wait` seconds for others. While as many batches as allowed are worked on, the next one gathers.
    """

    def __init__(
        self, work: Callable[[list[Item]], Awaitable[Sequence[Result]]], largest: int, wait: float, batches: int = 1
    ) -> None:
        """Work on at most `batches` at once of at most `largest` items each."""
        self.work, self.largest, self.wait, self.batches = work, largest, wait, batches
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Return the result of `work` for an item; raises what it raises."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, result))
        if len(self._workers) < self.batches:
            self._workers.add(asyncio.create_task(self._work()))
        return await result

    async def _work(self) -> None:
        """Work until the queue is empty."""
        await asyncio.sleep(self.wait)
        while self._queue:
            size = math.ceil(len(self._queue) / self.batches)  # so that none works while another is idle
            batch = [self._queue.popleft() for _ in range(min(self.largest, size))]
            # Without those whose task was cancelled.
            if waiting := [(item, result) for item, result in batch if not result.done()]:
                await self._finish(waiting)
        self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _finish(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            values = await self.work([item for item, _ in batch])
            finished = list(zip(batch, values, strict=True))
        except Exception as error:  # noqa: BLE001  (each task raises it)
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in finished:
            if not result.done():
                result.set_result(value)
