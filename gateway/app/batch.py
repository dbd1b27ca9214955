"""Group commit: concurrent callers share one transaction, and take turns by who they are: a flood of one keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.contract.errors import OperatorError

In = TypeVar("In")
Out = TypeVar("Out")


class QueueFullError(OperatorError):
    """More work waits than may: the caller is told to come again."""


class ShareFullError(QueueFullError):
    """More work of one caller waits than may: the others' goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one batcher takes on."""

    batch: int  # items handed over at once
    waiting: int  # items that wait
    share: int  # of them from one owner


class Batcher(Generic[In, Out]):
    """Collects items while a batch is under way, then hands all of them over at once."""

    def __init__(
        self, work: Callable[[Sequence[In]], Awaitable[Sequence[Out]]], *, bounds: Bounds, whose: Callable[[In], Hashable] = lambda _: None
    ) -> None:
        """Call `work` with batches. `whose` names the owner of an item: of several owners, a batch takes one item each in turn."""
        self._work, self._bounds, self._whose = work, bounds, whose
        self._lines: dict[Hashable, deque[tuple[In, asyncio.Future[Out]]]] = {}  # whose turn is next comes first
        self._some = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many items wait."""
        return sum(map(len, self._lines.values()))

    async def put(self, item: In) -> Out:
        """Return what `work` answered for `item`. Raises `QueueFullError`, `ShareFullError`, or what the batch raised."""
        if self.depth >= self._bounds.waiting:
            raise QueueFullError("queue full")
        line = self._lines.setdefault(self._whose(item), deque())
        if len(line) >= self._bounds.share:
            raise ShareFullError("share full")
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        line.append((item, future))
        self._some.set()
        return await future

    def _take(self) -> list[tuple[In, asyncio.Future[Out]]]:
        """Take a batch, one item of each owner in turn; who has more goes to the end of the line."""
        batch: list[tuple[In, asyncio.Future[Out]]] = []
        while self._lines and len(batch) < self._bounds.batch:
            owner = next(iter(self._lines))
            line = self._lines.pop(owner)
            batch.append(line.popleft())
            if line:
                self._lines[owner] = line
        if not self._lines:
            self._some.clear()
        return batch

    async def run(self) -> None:
        """Work until cancelled; waiting callers are then told by their own deadline."""
        while True:
            await self._some.wait()
            batch = self._take()
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
