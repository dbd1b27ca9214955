"""The kinds of fault: on which system each runs, and how one is made and ended. The judge does not know which it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from gateway.testing.partner import GOOD, Behaviour
from tests.acceptance.deployment import FRANCE
from trials.judge import Kind as FaultKind
from trials.load import Load
from trials.network import CUT, FINE, Weather
from trials.system import INNER_2, LEASE_SECONDS, System, Unavailable, embedded_system, end_at_once, scaled_system, small_disk

DISK_MEGABYTES: Final = 96
LONG_SECONDS: Final = 17.0  # longer than the sequencer's lease, too
BAD_SECONDS: Final = (1.5, 4.0)  # how long a partner, a link or a disk is bad
OTHERS_SECONDS: Final = 15.0  # legs of other partners end within this, whatever one partner does


@dataclass(slots=True)
class Scene:
    """What a fault has at hand."""

    system: System
    load: Load
    dice: Random
    say: Callable[[str], None]

    async def wait(self, low: float, high: float) -> float:
        """Wait for a random time."""
        seconds = self.dice.uniform(low, high)
        await asyncio.sleep(seconds)
        return seconds


Strike = Callable[[Scene], Awaitable[None]]
Opens = Callable[[Path], AbstractContextManager[System]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A kind of trial. `wanted`: how many a full run makes; `senders` over HTTP and twice as many on the channel, `pause` seconds each."""

    name: str
    what: str
    opens: Opens
    strike: Strike
    wanted: int = 100
    senders: int = 3
    pause: float = 0.03


async def _kill(scene: Scene, name: str) -> None:
    scene.say(f"kill -9 {name}")
    scene.system.kill(name)
    await scene.wait(0, 0.5)
    took = await asyncio.to_thread(scene.system.start, name)
    scene.say(f"{name} is ready {took:.1f} s after its start")


async def _freeze(scene: Scene, name: str) -> None:
    long = scene.dice.random() < 0.1
    seconds = LONG_SECONDS if long else scene.dice.uniform(LEASE_SECONDS + 1.5, LEASE_SECONDS + 3)
    scene.say(f"SIGSTOP {name}")
    scene.system.freeze(name)
    await asyncio.sleep(seconds)
    scene.system.thaw(name)
    scene.say(f"SIGCONT {name} after {seconds:.1f} s")
    await _all_ready(scene)


async def _all_ready(scene: Scene) -> None:
    took = await asyncio.to_thread(scene.system.until_ready)
    scene.say(f"all processes ready after {took:.1f} s")


async def _two_inners(scene: Scene) -> None:
    """Freeze one inner with legs claimed for longer than their lease: the other takes them, and the first wakes up with them in hand."""
    name = scene.dice.choice(("inner", INNER_2))
    scene.system.gw.pushed[FRANCE].behaviour = Behaviour(delay_seconds=0.2)  # so that legs are under way at any moment
    await _freeze(scene, name)
    scene.system.gw.pushed[FRANCE].behaviour = GOOD


async def _broker(scene: Scene) -> None:
    kafka = scene.system.kafka
    if kafka is None:
        raise Unavailable("no broker of our own")
    scene.say("kill -9 the broker")
    await asyncio.to_thread(kafka.kill)
    await scene.wait(0, 2)
    await asyncio.to_thread(kafka.start)
    scene.say("the broker takes connections")
    await _all_ready(scene)


async def _postgres(scene: Scene) -> None:
    postgres = scene.system.postgres
    if postgres is None:
        raise Unavailable("no database of our own")
    scene.say("kill -9 PostgreSQL, with all its backends")
    await asyncio.to_thread(end_at_once, postgres)
    await scene.wait(0, 2)
    await asyncio.to_thread(postgres.start)
    scene.say("PostgreSQL takes connections")
    await _all_ready(scene)


async def _disk(scene: Scene) -> None:
    disk = scene.system.disk
    if disk is None:
        raise Unavailable("no disk of our own")
    ballast = disk / "ballast"
    filled = await asyncio.to_thread(_fill, ballast)
    scene.say(f"the disk is full: {filled // 1024} KiB of ballast")
    try:
        await scene.wait(*BAD_SECONDS)
        scene.say(f"missing meanwhile: {scene.system.processes['embedded'].missing()}")
    finally:
        ballast.unlink()
    scene.say("the disk has room")
    await _all_ready(scene)


def _fill(ballast: Path) -> int:
    """Write until nothing fits any more."""
    size = 0
    with ballast.open("wb", buffering=0) as file:
        for block in (1024 * 1024, 4096, 1):
            try:
                while True:
                    size += file.write(b"x" * block)
            except OSError:
                continue
    return size


async def _weather(scene: Scene) -> None:
    link = scene.system.link
    if link is None:
        raise Unavailable("no link of our own")
    weather = scene.dice.choice(WEATHER)
    scene.say(f"between the courier and everybody else: {weather}")
    link.have(weather)
    try:
        await scene.wait(BAD_SECONDS[0], LEASE_SECONDS + 3)
    finally:
        link.have(FINE)
    scene.say("the link is good")
    await _all_ready(scene)


async def _partner(scene: Scene, ways: Sequence[Behaviour | None]) -> None:
    """Let one partner misbehave for a while; all others' legs end meanwhile. None: its port is closed."""
    simulator, load = scene.system.gw.pushed[FRANCE], scene.load
    how = scene.dice.choice(ways)
    may_die = how is not None and how.status in {400, 413, 422}
    scene.say(f"{FRANCE}: {_words(how)}")
    if may_die:
        load.may_die = frozenset({FRANCE})
        for entry in load.ledger.open():
            entry.may_die |= load.may_die & entry.stated.partners
    try:
        if how is None:
            await load.elsewhere(simulator.refuse_connections())
        else:
            simulator.behaviour = how
        await scene.wait(*BAD_SECONDS)
        await _others_end(scene)
    finally:
        if how is None:
            await load.elsewhere(simulator.accept_connections())
        simulator.behaviour = GOOD
    scene.say(f"{FRANCE} is well")


async def _flapping(scene: Scene) -> None:
    simulator = scene.system.gw.pushed[FRANCE]
    scene.say(f"{FRANCE}: comes and goes")
    for _ in range(scene.dice.randrange(3, 7)):
        simulator.behaviour = scene.dice.choice((Behaviour(status=503), Behaviour(drop=True), Behaviour(lose_answer=True)))
        await scene.wait(0.2, 0.6)
        simulator.behaviour = GOOD
        await scene.wait(0.1, 0.5)
    await _others_end(scene)
    scene.say(f"{FRANCE} is well")


def _words(how: Behaviour | None) -> str:
    if how is None:
        return "refuses connections"
    said = [f"answers {how.status}"] if how.status is not None else []
    said += [f"{how.delay_seconds:g} s late"] if how.delay_seconds else []
    said += [name for name in ("drop", "lose_answer", "truncate", "endless") if getattr(how, name)]
    return ", ".join(said)


async def _others_end(scene: Scene) -> None:
    """Check that what others are to get reaches its end while one partner is still bad (P4)."""
    ledger, begun = scene.load.ledger, asyncio.get_running_loop().time()
    waiting = [e for e in ledger.open() if e.receipted_at is not None and e.stated.partners and FRANCE not in e.stated.partners]
    while left := [entry for entry in waiting if entry.is_open]:
        if asyncio.get_running_loop().time() > begun + OTHERS_SECONDS:
            partners = sorted({partner for entry in left for partner in entry.stated.partners})
            ledger.other.append((FaultKind.ISOLATION, f"{len(left)} messages to {', '.join(partners)} wait for {FRANCE}"))
            return
        await asyncio.sleep(0.2)
        await scene.load.look(entry for entry in left if entry.is_told)
    scene.say(f"{len(waiting)} messages to others had their end within {asyncio.get_running_loop().time() - begun:.1f} s")


@contextmanager
def on_a_small_disk(folder: Path) -> Iterator[System]:
    """Run the embedded form with its database on a small file system. Raises `Unavailable` where none can be mounted."""
    with small_disk(DISK_MEGABYTES) as disk, embedded_system(folder, disk=disk) as system:
        yield system


SLOW: Final = (Behaviour(delay_seconds=30),)
REFUSING: Final = tuple(Behaviour(status=status) for status in (400, 401, 403, 404, 409, 413, 422, 429))
CLOSING: Final = (Behaviour(drop=True), Behaviour(lose_answer=True), Behaviour(truncate=True, status=503, body=b"x"))
WEATHER: Final = (CUT, Weather(delay_ms=300, jitter_ms=200), Weather(loss=0.3))
ENDLESS: Final = (Behaviour(endless=True, status=500), Behaviour(endless=True, status=404))
TWO: Final = partial(scaled_system, inners=2)
APART: Final = partial(scaled_system, apart=True)

_steady = partial(Trial, senders=2, pause=0.4)  # where a fault lasts seconds: else its trial would be a backlog

EVERY: Final[Sequence[Trial]] = (
    Trial("kill-embedded", "kill -9 of the one process", embedded_system, partial(_kill, name="embedded"), senders=8),
    Trial("kill-inner", "kill -9 of inner", scaled_system, partial(_kill, name="inner")),
    Trial("kill-courier", "kill -9 of the courier", scaled_system, partial(_kill, name="courier"), pause=0.2),
    Trial("kill-edge", "kill -9 of the edge", scaled_system, partial(_kill, name="edge"), pause=0.1),
    _steady("freeze-embedded", "SIGSTOP of the one process, longer than its leases", embedded_system, partial(_freeze, name="embedded")),
    _steady("freeze-inner", "SIGSTOP of inner, longer than its leases", scaled_system, partial(_freeze, name="inner")),
    _steady("freeze-courier", "SIGSTOP of the courier, longer than its leases", scaled_system, partial(_freeze, name="courier")),
    _steady("freeze-edge", "SIGSTOP of the edge, longer than its session", scaled_system, partial(_freeze, name="edge")),
    _steady("partner-dead", "a partner refuses connections", embedded_system, partial(_partner, ways=(None,))),
    _steady("partner-slow", "a partner answers after 30 s", embedded_system, partial(_partner, ways=SLOW)),
    Trial("partner-flapping", "a partner comes and goes", embedded_system, _flapping, pause=0.1),
    _steady("partner-4xx", "a partner answers 4xx to everything", embedded_system, partial(_partner, ways=REFUSING)),
    _steady("partner-closes", "a partner closes connections midway", embedded_system, partial(_partner, ways=CLOSING)),
    _steady("partner-endless", "a partner sends an endless body", embedded_system, partial(_partner, ways=ENDLESS)),
    _steady("two-inners", "two inners on one leg: one is frozen with it in hand", TWO, _two_inners),
    Trial("broker", "kill -9 and restart of the broker", scaled_system, _broker, wanted=30),
    Trial("postgres", "kill -9 and restart of PostgreSQL", scaled_system, _postgres, wanted=30),
    _steady("disk-full", "the database's disk is full", on_a_small_disk, _disk, wanted=30),
    _steady("network", "the courier's network is cut, slow or loses packets", APART, _weather),
)
BY_NAME: Final = {trial.name: trial for trial in EVERY}
