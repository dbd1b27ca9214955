"""One running system for each kind, trial after trial: load, a fault at a random moment, rest, the judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from gateway.testing.partner import Behaviour
from trials.evidence import Auditor
from trials.judge import Fault, Kind, judge
from trials.kinds import Opens, Scene, Trial
from trials.ledger import Entry, Ledger
from trials.load import Load, dice_of
from trials.system import System, folder_for_trials

BEFORE_SECONDS: Final = (0.5, 2.5)  # of load, before the fault
RECEIPTED_MIN: Final = 6
UNDER_WAY_SECONDS: Final = 5.0  # then for something to be under way
UNHURRIED: Final = Behaviour(delay_seconds=0.15)  # partners under load: so that legs are under way at any moment
REST_SECONDS: Final = 45.0  # for every sender to get the answer it waits for
QUIET_SECONDS: Final = 60.0  # for every leg to come to its end
LOOK_SECONDS: Final = 0.25
LOOK_AT_ALL_SECONDS: Final = 5.0  # at those, too, whose sender was not told of an end


@dataclass(slots=True)
class Verdict:
    """What became of one trial. The timeline is kept of those that failed."""

    kind: str
    number: int
    seed: int
    seconds: float
    messages: int
    faults: list[Fault] = field(default_factory=list)
    timeline: list[tuple[float, str]] = field(default_factory=list)
    again: int = 0  # documents that came once more, under the same jti


@dataclass(slots=True)
class Course:
    """Trials on one running system."""

    seed: int
    system: System
    load: Load
    auditor: Auditor
    known: set[Fault] = field(default_factory=set)  # of earlier trials
    made: int = 0

    async def once(self, trial: Trial, number: int) -> Verdict:
        """Make one trial. What an earlier trial was told of is not told again."""
        dice, begun = dice_of(self.seed, trial.name, number), time.monotonic()
        self.system.gw.dice = self.load.dice = dice
        verdict = Verdict(trial.name, number, self.seed, 0, 0)
        self.made += 1

        def say(what: str) -> None:
            verdict.timeline.append((time.monotonic() - begun, what))

        self.load.may_die = frozenset()
        for simulator in self.system.gw.pushed.values():
            simulator.behaviour = UNHURRIED
        again = self.load.ledger.again
        self.load.go(self.made)
        say("load")
        await self._strike(trial, Scene(self.system, self.load, dice, say))
        await self.load.rest(REST_SECONDS)
        say("every sender has its answer, or has given up")
        await self._quiet()
        say("quiet")
        await self.auditor.look()
        ledger = self.load.ledger
        verdict.faults = [fault for fault in judge(ledger) if fault not in self.known]
        self.known.update(verdict.faults)
        verdict.messages, verdict.again, verdict.seconds = len(ledger.of(self.made)), ledger.again - again, time.monotonic() - begun
        if verdict.faults:
            verdict.timeline = sorted([*verdict.timeline, *_stories(ledger, {fault.jti for fault in verdict.faults}, begun)])
        return verdict

    async def _strike(self, trial: Trial, scene: Scene) -> None:
        await scene.wait(*BEFORE_SECONDS)
        await self._under_way()
        try:
            await trial.strike(scene)
        except (AssertionError, TimeoutError) as exc:
            self.load.ledger.other.append((Kind.RECOVERY, str(exc).splitlines()[0]))
            scene.say(str(exc))
        finally:
            self.system.heal()
        await scene.wait(0, 0.5)

    async def _under_way(self) -> None:
        """Wait until a few messages are receipted, and another one not yet."""
        end = time.monotonic() + UNDER_WAY_SECONDS
        while time.monotonic() < end:
            mine = [entry.receipted_at is not None for entry in self.load.ledger.of(self.made)]
            if mine.count(True) >= RECEIPTED_MIN and False in mine:
                return
            await asyncio.sleep(0.02)

    async def _quiet(self) -> None:
        """Wait until the senders have seen the end of all their messages, and all records are answered."""
        ledger, begun, at_all = self.load.ledger, time.monotonic(), 0.0
        while (passed := time.monotonic() - begun) < QUIET_SECONDS:
            self.load.note()
            everybody = passed >= at_all + LOOK_AT_ALL_SECONDS
            at_all = passed if everybody else at_all
            await self.load.look(entry for entry in ledger.open() if everybody or entry.is_told)
            if not ledger.open() and not ledger.unanswered():
                break
            await asyncio.sleep(LOOK_SECONDS)
        await self.load.look(ledger.open())
        self.load.note()
        for entry in ledger.open():
            entry.given_up = True  # judged now; the next trial does not wait for it again

    async def end(self, trial: Trial, number: int) -> Verdict | None:
        """Check the whole log offline, and that it holds every receipt; None where it does."""
        begun = time.monotonic()
        await self.auditor.close()
        faults = [fault for fault in judge(self.load.ledger) if fault not in self.known]
        if not faults:
            return None
        return Verdict(trial.name, number, self.seed, time.monotonic() - begun, 0, faults, [(0.0, "the whole log, offline")])


def _stories(ledger: Ledger, jtis: Collection[str], begun: float) -> Iterator[tuple[float, str]]:
    """Tell what happened to some messages."""
    for jti in jtis & ledger.entries.keys():
        yield from _story(ledger, ledger.entries[jti], begun)


def _story(ledger: Ledger, entry: Entry, begun: float) -> Iterator[tuple[float, str]]:
    who = f"{entry.jti} ({entry.subject} {entry.number}, {entry.way})"
    yield entry.at - begun, f"{who} submitted, for {', '.join(sorted(entry.stated.partners)) or entry.stated.rejection}"
    if entry.receipted_at is not None:
        yield entry.receipted_at - begun, f"{who} receipted"
    for answer in entry.answers:
        yield answer.at - begun, f"{who} answered {answer.status} {' '.join(answer.codes)}"
    for arrival in ledger.arrivals:
        if arrival.original == entry.jti:
            yield arrival.at - begun, f"{who} came to {arrival.partner} as {arrival.jti}"
    for leg in entry.legs or ():
        yield time.monotonic() - begun, f"{who} leg {leg.jti} to {leg.partner} is {leg.state}; told: {entry.told.get(leg.jti, 'nothing')}"


@asynccontextmanager
async def course(opens: Opens, *, seed: int, senders: int = 3, pause: float = 0.03) -> AsyncIterator[Course]:
    """Start a system with its clients, so many senders over HTTP and twice as many on the channel.

    Raises `UnavailableError` where this machine cannot.
    """
    with folder_for_trials() as folder:
        opened = _Opened(opens(folder))
        system = await asyncio.to_thread(opened.enter)
        try:
            system.gw.dice = Random(seed)  # noqa: S311 -- moments, not secrets
            ledger = Ledger()
            load = Load(system.gw, ledger, senders=senders, channels=2 * senders, pause=pause)
            await load.open()
            try:
                yield Course(seed, system, load, Auditor(system.gw, ledger, folder))
            finally:
                await load.close()
        finally:
            await asyncio.to_thread(opened.leave)


class _Opened:
    """A system's context, entered and left in threads: what it runs has event loops of its own."""

    def __init__(self, context: AbstractContextManager[System]) -> None:
        self._context = context

    def enter(self) -> System:
        return self._context.__enter__()

    def leave(self) -> None:
        self._context.__exit__(None, None, None)


async def run_kind(trial: Trial, *, seed: int, numbers: range, until: float, stop_at_fault: bool, tell: Callable[[Verdict], None]) -> None:
    """Make trials of one kind until `numbers` are made or the time `until` (monotonic) has come; tell each at once."""
    async with course(trial.opens, seed=seed, senders=trial.senders, pause=trial.pause) as running:
        for number in numbers:
            if time.monotonic() >= until:
                break
            verdict = await running.once(trial, number)
            tell(verdict)
            if verdict.faults and stop_at_fault:
                return
        if (last := await running.end(trial, numbers.stop)) is not None:
            tell(last)


async def run_together(trials: Sequence[Trial], opens: Opens, *, seed: int, count: int) -> list[Verdict]:
    """Make a few trials of several kinds on one system, under a light load: the short form, which has minutes."""
    async with course(opens, seed=seed, senders=2, pause=0.3) as running:
        verdicts = [await running.once(trial, number) for number in range(1, count + 1) for trial in trials]
        last = await running.end(trials[-1], count + 1)
        return verdicts if last is None else [*verdicts, last]
