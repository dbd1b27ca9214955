"""The tasks of a process: started together, restarted when a dependency fails, drained on SIGTERM.

A loop that fails because a dependency is away says so once, waits, and begins again; anything else ends the process, because a gateway that
half works is worse than one that is restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from gateway.app.ports import BusUnavailableError, StoreUnavailableError, Telemetry
from gateway.contract.errors import InvariantError, OperatorError

PAUSE_SECONDS: Final = 0.2  # before a failed loop begins again, doubled up to:
PAUSE_SECONDS_MAX: Final = 5.0
WELL_SECONDS: Final = 2.0  # a loop that ran so long again is well
# What a process may take to end after SIGTERM, beside `limits.leave_seconds`, in which it goes on and only says that it leaves:
ANSWER_SECONDS_MAX: Final = 8.0  # who has asked over HTTP is answered
FINISH_SECONDS_MAX: Final = 12.0  # what is under way comes to its end, or is cut short and given back
LAST_SECONDS_MAX: Final = 4.0  # its reports are settled
CLOSE_SECONDS_MAX: Final = 3.0  # connections are closed
DRAIN_SECONDS_MAX: Final = ANSWER_SECONDS_MAX + FINISH_SECONDS_MAX + LAST_SECONDS_MAX + CLOSE_SECONDS_MAX

Loop = Callable[[asyncio.Event], Awaitable[None]]


class Supervisor:
    """Runs loops until told to stop."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Report through `telemetry`."""
        self._telemetry = telemetry
        self.stopping = asyncio.Event()
        self.ending = asyncio.Event()  # for those that others still need while they drain
        self.failing: set[str] = set()  # names of loops that wait for a dependency: `/readyz` says them

    async def run(self, loops: Mapping[str, Loop], stop: asyncio.Event, *, last: Collection[str] = ()) -> None:
        """Run until `stop` is set, then let each loop finish what is under way, and `last` after the rest.

        The rest have at most `FINISH_SECONDS_MAX`, the last `LAST_SECONDS_MAX`.
        """
        tasks = {name: asyncio.create_task(self._keep(name, loop, self._stopping(name, last)), name=name) for name, loop in loops.items()}
        stopper = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([stopper, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        stopper.cancel()
        self.stopping.set()
        await self._drain([task for name, task in tasks.items() if name not in last], FINISH_SECONDS_MAX)
        self.ending.set()
        await self._drain(list(tasks.values()), LAST_SECONDS_MAX)
        for task in tasks.values():
            if not task.cancelled() and task.done() and (error := task.exception()) is not None:
                raise error
        for name, task in tasks.items():
            if task in ended and task.cancelled():
                raise InvariantError(name, "was cancelled from within")  # else the process would end as if it had been told to

    def _stopping(self, name: str, last: Collection[str]) -> asyncio.Event:
        return self.ending if name in last else self.stopping

    async def _drain(self, tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            self._telemetry.event("drain-incomplete", code=task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _keep(self, name: str, loop: Loop, stopping: asyncio.Event) -> None:
        pause, clock = PAUSE_SECONDS, asyncio.get_running_loop()
        while not stopping.is_set():
            well = clock.call_later(WELL_SECONDS, self.failing.discard, name)
            started = clock.time()
            try:
                await loop(stopping)
            except OperatorError as exc:
                self.failing.add(name)
                self._telemetry.event("loop-waits", code=f"{name}: {_words(exc)}")
                pause = PAUSE_SECONDS if clock.time() - started > WELL_SECONDS else min(pause * 2, PAUSE_SECONDS_MAX)
                await wait(stopping, pause)
            else:
                return
            finally:
                well.cancel()


def every(
    seconds: float,
    once: Callable[[], Awaitable[int]],
    *,
    nudge: asyncio.Event | None = None,
    release: Callable[[], Awaitable[None]] | None = None,
) -> Loop:
    """Return a loop that calls `once`, again at once while there is work, else after `seconds` or a nudge; `release` when told to stop."""

    async def loop(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if nudge is not None:
                nudge.clear()
            if not await once():
                await wait(stopping, seconds, nudge)
        if release is not None:
            await release()

    return loop


def until_stopped(run: Callable[[], Awaitable[None]]) -> Loop:
    """Return a loop around something that runs for ever and is cancelled to stop."""

    async def loop(stopping: asyncio.Event) -> None:
        task = asyncio.ensure_future(run())
        stopper = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([task, stopper], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            stopper.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # what it has open is closed before anything it stands on

    return loop


def _words(exc: OperatorError) -> str:
    """Return what a log may say of a failure: the words of a dependency are ours and name no message; of others, the kind."""
    return str(exc) if isinstance(exc, StoreUnavailableError | BusUnavailableError) else type(exc).__name__


async def wait(stopping: asyncio.Event, seconds: float, nudge: asyncio.Event | None = None) -> None:
    """Wait `seconds`, or until stopping, or until nudged."""
    waits = [asyncio.create_task(event.wait()) for event in (stopping, nudge) if event is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
