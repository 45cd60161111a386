"""Requests that arrive together are answered together: one forward pass costs little more than one picture."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls `work` in a thread with what several tasks ask for, and gives each task its own result.

    The first one waits `wait` seconds for company. While a batch is worked on, the next gathers.
    """

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Result]], executor: Executor, largest: int, wait: float
    ) -> None:
        """Work on at most `largest` items at once."""
        self.work, self.executor, self.largest, self.wait = work, executor, largest, wait
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Result:
        """Return what `work` makes of an item, and raise what it raises."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, result))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await result

    async def _work(self) -> None:
        """Work until nobody waits."""
        await asyncio.sleep(self.wait)
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self.largest, len(self._queue)))]
            await self._answer([(item, result) for item, result in batch if not result.done()])  # done: cancelled
        self._worker = None

    async def _answer(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            values = await loop.run_in_executor(self.executor, self.work, [item for item, _ in batch])
            answered = list(zip(batch, values, strict=True))
        except Exception as error:  # noqa: BLE001  (it belongs to those who asked)
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in answered:
            if not result.done():
                result.set_result(value)
