"""Group commit: concurrent callers share one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.contract.errors import OperatorError

In = TypeVar("In")
Out = TypeVar("Out")


class QueueFullError(OperatorError):
    """More work waits than may: the caller is told to come again."""


class Batcher(Generic[In, Out]):
    """Collects items while a batch is under way, then hands all of them over at once."""

    def __init__(self, work: Callable[[Sequence[In]], Awaitable[Sequence[Out]]], *, batch_max: int, queue_max: int) -> None:
        """Call `work` with at most `batch_max` items; refuse the item after `queue_max` waiting ones."""
        self._work, self._batch_max = work, batch_max
        self._queue: asyncio.Queue[tuple[In, asyncio.Future[Out]]] = asyncio.Queue(queue_max)

    @property
    def depth(self) -> int:
        """How many items wait."""
        return self._queue.qsize()

    async def put(self, item: In) -> Out:
        """Return what `work` answered for `item`. Raises `QueueFullError`, or what the batch raised."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((item, future))
        except asyncio.QueueFull as exc:
            raise QueueFullError("queue full") from exc
        return await future

    async def run(self) -> None:
        """Work until cancelled; waiting callers are then told by their own deadline."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._batch_max and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                results = await self._work([item for item, _ in batch])
            except Exception as exc:  # noqa: BLE001 -- whatever failed the batch is each caller's answer, and the loop lives
                for _, future in batch:
                    if not future.done():
                        future.set_exception(exc)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
