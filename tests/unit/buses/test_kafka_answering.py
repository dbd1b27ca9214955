"""What the Kafka library does to whoever waits for it becomes one kind of error; that we were told to stop does not."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from gateway.app.ports import BusUnavailableError
from gateway.buses.kafka import _answering


async def cancelled_inside() -> None:
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    await given_up


async def silent() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise KafkaConnectionError


@pytest.mark.parametrize("work", [cancelled_inside, silent, failing], ids=lambda f: f.__name__)
async def test_what_the_library_throws_is_an_unavailable_bus(work) -> None:
    with pytest.raises(BusUnavailableError):
        async with _answering(0.05):
            await work()


async def test_being_told_to_stop_is_no_unavailable_bus() -> None:
    async def wait() -> None:
        async with _answering(30):
            await silent()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_who_cleans_up_after_being_told_to_stop_is_told_of_the_library_s_own_cancellations_as_ever() -> None:
    cleaned: list[str] = []

    async def wait() -> None:
        try:
            await silent()
        finally:
            with pytest.raises(BusUnavailableError):
                async with _answering(30):
                    await cancelled_inside()
            cleaned.append("all")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["all"]


async def test_being_told_to_stop_again_ends_the_cleaning_up() -> None:
    async def wait() -> None:
        try:
            await silent()
        finally:
            async with _answering(30):
                await silent()

    task = asyncio.create_task(wait())
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
