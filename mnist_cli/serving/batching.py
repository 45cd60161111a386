"""Requests that arrive together are answered together: one forward pass costs little more than one picture."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Gives `work` what several tasks ask for, and each task its own result.

    The first one waits `wait` seconds for company. While as many batches as allowed are worked on, the next gathers.
    """

    def __init__(
        self, work: Callable[[list[Item]], Awaitable[Sequence[Result]]], largest: int, wait: float, batches: int = 1
    ) -> None:
        """Work on at most `batches` at once of at most `largest` items each."""
        self.work, self.largest, self.wait, self.batches = work, largest, wait, batches
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item) -> Result:
        """Return what `work` makes of an item, and raise what it raises."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, result))
        if len(self._workers) < self.batches:
            self._workers.add(asyncio.create_task(self._work()))
        return await result

    async def _work(self) -> None:
        """Work until nobody waits."""
        await asyncio.sleep(self.wait)
        while self._queue:
            share = math.ceil(len(self._queue) / self.batches)  # so that none works while another is idle
            batch = [self._queue.popleft() for _ in range(min(self.largest, share))]
            # Not for those whose task was cancelled.
            if asked := [(item, result) for item, result in batch if not result.done()]:
                await self._answer(asked)
        self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            values = await self.work([item for item, _ in batch])
            answered = list(zip(batch, values, strict=True))
        except Exception as error:  # noqa: BLE001  (it belongs to those who asked)
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in answered:
            if not result.done():
                result.set_result(value)
