"""Rows and short ways for tests of stores: what a register, two partners and two persons need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import event

from gateway.app.ports import LegRow, MessageRow, Store, UnitOfWork, WrappedKey
from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Ref, SubjectKey
from gateway.core.delivery import State
from gateway.core.message import Signed
from gateway.testing.clock import START

NOW = START
REGISTER, NORTH, SOUTH = PartnerId("register"), PartnerId("north"), PartnerId("south")
ANNA, BERT = SubjectKey("aa" * 32), SubjectKey("bb" * 32)
KEY = WrappedKey("epoch-1", b"wrapped")
SECOND = timedelta(seconds=1)
UNTIL = NOW + timedelta(seconds=60)

Again = Callable[[], Awaitable[Store]]


def ref(name: str) -> Ref:
    """Return a reference of the register."""
    return Ref(REGISTER, Jti(name))


def signed(name: str, digest: str = "d1") -> Signed:
    """Return what a good signature says of a submission."""
    return Signed(REGISTER, Jti(name), digest)


def message(name: str, subject: SubjectKey = ANNA) -> MessageRow:
    """Return the row of a message."""
    return MessageRow(
        ref=ref(name),
        channel=REGISTER,
        family="travel-notification",
        version="1.0",
        subject=subject,
        txn=f"txn-{name}",
        lane=Lane.PRIORITY,
        received_at=NOW + timedelta(microseconds=1),
        iat=NOW - SECOND,
        delete_by=NOW + timedelta(days=365),
        payload=b"\x00sealed\xff",
        wrapped=b"key of " + name.encode(),
        facts=b"",
        decision={"policies": "p1", "gateway": "0.1"},
    )


def leg(name: str, partner: PartnerId = NORTH, subject: SubjectKey = ANNA, *, seq: int = 1, of: str = "m1", **more: Any) -> LegRow:
    """Return the row of a ready leg of message `of`."""
    plain = LegRow(
        leg_id=LegId(name),
        message=ref(of),
        family="travel-notification",
        partner=partner,
        subject=subject,
        jti=Jti(f"jti-{name}"),
        countries=(Country("NO"), Country("SE")),
        roles=("DESTINATION", "TRANSIT"),
        lane=Lane.ROUTINE,
        seq=seq,
        state=State.READY,
        due_at=NOW,
        created_at=NOW,
        expires_at=NOW + timedelta(days=30),
        delete_by=NOW + timedelta(days=60),
        groups=("identity", "travel"),
        removed=(("health", "POLICY", ("no-health", "default-deny")),),
        because=("neighbours",),
        policy_digest="p1",
    )
    return replace(plain, **more)


async def put(store: Store, *legs: LegRow, messages: Sequence[str] = ("m1",)) -> None:
    """Commit subjects, messages and legs."""
    async with store.unit_of_work() as work:
        await work.lock_subjects(dict.fromkeys({ANNA, BERT} | {row.subject for row in legs}, KEY))
        await work.add_messages([message(name) for name in messages])
        await work.add_legs(legs)


async def read(store: Store, *names: str) -> list[LegRow]:
    """Read legs back, in the order asked for."""
    async with store.reading() as work:
        found = await work.legs([LegId(name) for name in names])
    return [found[LegId(name)] for name in names]


async def claim(store: Store, partner: PartnerId = NORTH, lane: Lane = Lane.ROUTINE, *, now: datetime = NOW, limit: int = 64) -> list[str]:
    """Claim in a transaction of its own; return the legs' ids."""
    async with store.unit_of_work() as work:
        await work.lock_partner(partner, now)
        legs = await work.claim_legs(partner, lane, now=now, until=now + timedelta(seconds=60), limit=limit)
    return [row.leg_id for row in legs]


def ids(legs: Iterable[LegRow]) -> list[str]:
    """Return the legs' ids."""
    return [row.leg_id for row in legs]


@dataclass(slots=True)
class Counted:
    """How many calls the driver got."""

    calls: int = 0


@contextmanager
def counting(store: Any) -> Iterator[Counted]:
    """Count the statements sent inside; many rows of one statement are one call."""
    counted = Counted()

    def count(*_: object) -> None:
        counted.calls += 1

    for engine in store.engines:
        event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        for engine in store.engines:
            event.remove(engine.sync_engine, "before_cursor_execute", count)


class LeftError(Exception):
    """Leaves a unit of work without committing it."""


@asynccontextmanager
async def undone(store: Store) -> AsyncIterator[UnitOfWork]:
    """Open a unit of work that ends with an exception."""
    with suppress(LeftError):
        async with store.unit_of_work() as work:
            yield work
            raise LeftError
