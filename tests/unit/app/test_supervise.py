"""The tasks of a process: begun again when a dependency is away, ended with the process for anything else, drained when told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.app import courier, supervise
from gateway.app.supervise import Loop, Supervisor, every, until_stopped, wait
from gateway.contract.errors import InvariantError, OperatorError
from gateway.ops.telemetry import Metrics, Telemetry

TURN = 0.01


def supervisor() -> Supervisor:
    return Supervisor(Telemetry(Metrics()))


async def stopped_when(true: Callable[[], bool], loops: dict[str, Loop], made: Supervisor | None = None) -> Supervisor:
    """Run loops until something is so."""
    made, stop = made or supervisor(), asyncio.Event()
    running = asyncio.create_task(made.run(loops, stop))
    async with asyncio.timeout(10):
        while not true() and not running.done():
            await asyncio.sleep(TURN)
        stop.set()
        await running
    return made


async def test_a_loop_whose_dependency_is_away_begins_again() -> None:
    begun: list[int] = []

    async def flaky(stopping: asyncio.Event) -> None:
        begun.append(1)
        if len(begun) < 3:
            raise OperatorError("away")
        await stopping.wait()

    made = await stopped_when(lambda: len(begun) == 3, {"flaky": flaky})
    assert made.failing == {"flaky"}  # until it has run well for a while


async def test_a_loop_that_waits_does_not_stop_the_others() -> None:
    turns: list[int] = []

    async def broken(_: asyncio.Event) -> None:
        raise OperatorError("away")

    async def work() -> int:
        turns.append(1)
        return 0

    await stopped_when(lambda: len(turns) > 3, {"broken": broken, "work": every(TURN, work)})
    assert len(turns) > 3


@pytest.mark.parametrize("error", [InvariantError("x"), ValueError("x")], ids=lambda e: type(e).__name__)
async def test_anything_else_ends_the_process(error: Exception) -> None:
    drained: list[str] = []

    async def broken(_: asyncio.Event) -> None:
        raise error

    async def other(stopping: asyncio.Event) -> None:
        await stopping.wait()
        drained.append("other")

    with pytest.raises(type(error)):
        await asyncio.wait_for(supervisor().run({"broken": broken, "other": other}, asyncio.Event()), 5)
    assert drained == ["other"]


async def test_what_is_under_way_is_finished_before_the_end() -> None:
    done: list[str] = []

    async def finishing(stopping: asyncio.Event) -> None:
        await stopping.wait()
        await asyncio.sleep(TURN)
        done.append("finished")

    await stopped_when(lambda: True, {"finishing": finishing})
    assert done == ["finished"]


async def test_a_loop_goes_on_at_once_while_there_is_work() -> None:
    left = [3, 2, 1, 0, 0, 0]

    async def once() -> int:
        return left.pop(0) if left else 0

    await asyncio.wait_for(stopped_when(lambda: len(left) <= 2, {"work": every(3600, once)}), 5)
    assert len(left) == 2  # four turns without a wait, then the pause of an hour


async def test_a_nudge_ends_the_pause() -> None:
    turns: list[int] = []
    nudge = asyncio.Event()

    async def once() -> int:
        turns.append(1)
        return 0

    made, stop = supervisor(), asyncio.Event()
    running = asyncio.create_task(made.run({"work": every(3600, once, nudge=nudge)}, stop))
    async with asyncio.timeout(5):
        while not turns:
            await asyncio.sleep(TURN)
        nudge.set()
        while len(turns) < 2:
            await asyncio.sleep(TURN)
        stop.set()
        await running


async def test_something_that_runs_for_ever_is_cancelled_to_stop() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    await stopped_when(lambda: True, {"forever": until_stopped(forever)})
    await asyncio.sleep(TURN)
    assert ended == ["cancelled"]


async def test_something_that_should_run_for_ever_and_fails_tells_why() -> None:
    async def forever() -> None:
        raise InvariantError("x")

    with pytest.raises(InvariantError):
        await asyncio.wait_for(supervisor().run({"forever": until_stopped(forever)}, asyncio.Event()), 5)


async def test_a_wait_ends_when_stopping() -> None:
    stopping = asyncio.Event()
    stopping.set()
    await asyncio.wait_for(wait(stopping, 3600), 1)


async def test_what_others_still_need_is_told_to_stop_after_they_have_ended() -> None:
    told: list[str] = []
    stop = asyncio.Event()

    def loop(name: str, seconds: float) -> Loop:
        async def run(stopping: asyncio.Event) -> None:
            await stopping.wait()
            told.append(f"{name} told")
            await asyncio.sleep(seconds)
            told.append(f"{name} ended")

        return run

    stop.set()
    await supervisor().run({"settle": loop("settle", 0), "courier": loop("courier", 5 * TURN)}, stop, last=["settle"])
    assert told == ["courier told", "courier ended", "settle told", "settle ended"]


async def test_what_runs_for_ever_has_ended_when_it_is_said_to_have_stopped() -> None:
    ended: list[bool] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(TURN)
            ended.append(True)

    stop = asyncio.Event()
    running = asyncio.create_task(supervisor().run({"forever": until_stopped(forever)}, stop))
    await asyncio.sleep(TURN)
    stop.set()
    await running
    assert ended == [True]


async def test_a_loop_that_something_inside_it_has_cancelled_ends_the_process_as_a_fault() -> None:
    async def library(_: asyncio.Event) -> None:
        given_up = asyncio.get_running_loop().create_future()
        given_up.cancel()
        await given_up

    with pytest.raises(InvariantError, match="cancelled from within"):
        await supervisor().run({"library": library}, asyncio.Event())


async def test_what_does_not_end_is_cut_short_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FINISH_SECONDS_MAX", 5 * TURN)
    ended: list[str] = []

    async def endless(_: asyncio.Event) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("endless")

    async def settle(stopping: asyncio.Event) -> None:
        await stopping.wait()
        ended.append("settle")

    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(supervisor().run({"endless": endless, "settle": settle}, stop, last=["settle"]), 5)
    assert ended == ["endless", "settle"]


def test_a_process_has_a_stated_time_to_end_and_each_part_of_it_has_its_own() -> None:
    parts = supervise.ANSWER_SECONDS_MAX, supervise.FINISH_SECONDS_MAX, supervise.LAST_SECONDS_MAX, supervise.CLOSE_SECONDS_MAX
    assert sum(parts) == supervise.DRAIN_SECONDS_MAX == 27
    assert courier.FINISH_SECONDS_MAX < supervise.FINISH_SECONDS_MAX, "what it cuts short is reported within its time"


async def test_what_a_loop_holds_is_released_when_it_is_told_to_stop() -> None:
    did: list[str] = []

    async def once() -> int:
        did.append("work")
        return 0

    async def release() -> None:
        did.append("released")

    await stopped_when(lambda: bool(did), {"work": every(3600, once, release=release)})
    assert did == ["work", "released"]
