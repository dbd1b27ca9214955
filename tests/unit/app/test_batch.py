"""Group commit: concurrent callers share one transaction, each gets its own answer, and a fault does not stop the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.app.batch import Batcher, Bounds, QueueFullError, ShareFullError

Work = Callable[[Sequence[int]], Awaitable[Sequence[int]]]


@asynccontextmanager
async def running(work: Work, *, batch: int = 10, waiting: int = 100, share: int = 100) -> AsyncIterator[Batcher[int, int]]:
    """Items belong to the owner of their hundred."""
    batcher: Batcher[int, int] = Batcher(
        work, bounds=Bounds(batch=batch, waiting=waiting, share=share), whose=lambda item: item // 100
    )  # fmt: skip
    task = asyncio.create_task(batcher.run())
    try:
        yield batcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_caller_gets_its_own_answer() -> None:
    async def double(items: Sequence[int]) -> list[int]:
        return [item * 2 for item in items]

    async with running(double) as batcher:
        assert await asyncio.gather(*map(batcher.put, range(25))) == [item * 2 for item in range(25)]


async def test_who_comes_while_a_batch_is_under_way_shares_the_next() -> None:
    seen: list[int] = []
    gate = asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int]:
        seen.append(len(items))
        await gate.wait()
        return items

    async with running(slow, batch=4) as batcher:
        first = asyncio.create_task(batcher.put(0))
        while not seen:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.put(item)) for item in range(1, 7)]
        while batcher.depth < 6:
            await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *rest) == list(range(7))
    assert seen == [1, 4, 2]


async def test_who_comes_to_a_full_queue_is_sent_away() -> None:
    async def never(items: Sequence[int]) -> Sequence[int]:
        await asyncio.Event().wait()
        return items

    async with running(never, waiting=2) as batcher:
        under_way = asyncio.create_task(batcher.put(0))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(batcher.put(item)) for item in (1, 2)]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFullError):
            await batcher.put(3)
        for task in (under_way, *waiting):
            task.cancel()


async def test_what_failed_a_batch_is_each_callers_answer_and_the_next_batch_is_done() -> None:
    async def picky(items: Sequence[int]) -> Sequence[int]:
        if 13 in items:
            raise ValueError("thirteen")
        return items

    async with running(picky) as batcher:
        failed = await asyncio.gather(*map(batcher.put, (12, 13)), return_exceptions=True)
        assert [type(error) for error in failed] == [ValueError, ValueError]
        assert await batcher.put(14) == 14


async def test_a_caller_that_left_does_not_disturb_the_others() -> None:
    gate = asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return items

    async with running(slow) as batcher:
        left, stayed = asyncio.create_task(batcher.put(1)), asyncio.create_task(batcher.put(2))
        await asyncio.sleep(0.01)
        left.cancel()
        gate.set()
        assert await stayed == 2
        assert await batcher.put(3) == 3


async def test_a_flood_of_one_keeps_nobody_else_waiting() -> None:
    """Of 40 items of one owner and two of others, each batch takes one of each owner in turn, in the order each put them."""
    seen: list[list[int]] = []
    gate = asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int]:
        seen.append(list(items))
        await gate.wait()
        return items

    async with running(slow, batch=4, share=50) as batcher:
        flood = [asyncio.create_task(batcher.put(item)) for item in range(41)]
        while not seen or batcher.depth < 37:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.put(item)) for item in (100, 200, 201)]
        while batcher.depth < 40:
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*flood, *others)
    assert seen[:3] == [[0, 1, 2, 3], [4, 100, 200, 5], [201, 6, 7, 8]]
    assert [item for batch in seen for item in batch if item < 100] == list(range(41))


async def test_who_has_its_share_waiting_is_sent_away_and_the_others_are_not() -> None:
    gate = asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return items

    async with running(slow, batch=1, waiting=5, share=2) as batcher:
        under_way = asyncio.create_task(batcher.put(0))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(batcher.put(item)) for item in (1, 2)]
        await asyncio.sleep(0.01)
        with pytest.raises(ShareFullError):
            await batcher.put(3)
        others = [asyncio.create_task(batcher.put(item)) for item in (100, 200)]
        await asyncio.sleep(0.01)
        gate.set()
        assert await asyncio.gather(under_way, *waiting, *others) == [0, 1, 2, 100, 200]
        assert await batcher.put(3) == 3
