"""Queued legs, put into the store by the gateway's own code, without its doors.

What is made is what intake makes: a notice signed by the register, about a person of its own; its decision by the policies; subject,
message and leg, sealed under keys that the gateway opens; the memory of the submission. Left out is what a backlog is not read for: the
encryption that the door takes off, the signed receipt, and the entries of evidence, which the gateway would number first when it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks import neighbours
from gateway.app import rows
from gateway.app.ports import LegRow, MessageRow, SubjectRow, UnitOfWork, WrappedKey
from gateway.app.safe import Safe
from gateway.app.world import World
from gateway.bootstrap.reading import keystore, load, store_of
from gateway.cli.kit import Kit
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, SubjectKey
from gateway.core import tokens
from gateway.core.admission import Accepted, Rejected
from gateway.core.decision import decide
from gateway.core.delivery import State
from gateway.core.facts import NO_FACTS
from gateway.core.message import Message, Signed
from gateway.ops.settings import load_settings
from gateway.ops.system import SystemDice
from gateway.testing.messages import Sample

BATCH_COUNT = 500
NOTICES_COUNT = 500  # that are written out; the rest are these about other persons
NO_RECEIPT = b"left out: this message came by no door"


@dataclass(frozen=True, slots=True)
class Queued:
    """The rows of one message with one leg."""

    signed: Signed
    subject: SubjectKey
    key: WrappedKey
    message: MessageRow
    leg: LegRow


class Maker:
    """Makes rows as intake does."""

    def __init__(self, world: World, safe: Safe, kit: Kit) -> None:
        """Take what the gateway decides by, its keys for rows, and the register's own keys."""
        self._world, self._safe, self._kit, self._dice = world, safe, kit, SystemDice()

    def queue(self, sample: Sample) -> Queued:
        """Return the rows of one notice."""
        jws, now = neighbours.signed(self._kit, sample), datetime.now(UTC)
        message = Message(
            iss=self._kit.partner, jti=Jti(sample.jti), digest=tokens.digest_of(jws), aud=self._kit.gateway, iat=sample.iat, toe=sample.toe,
            txn=sample.txn, family=sample.family, event=sample.event,
        )  # fmt: skip
        grounds = self._world.grounds
        decision = decide(Accepted(message, jws, ()), NO_FACTS, grounds=grounds, now=now, new_id=lambda: self._dice.uuid7(now))
        if isinstance(decision, Rejected):
            raise InvariantError("a notice of ours was rejected")
        subject = self._safe.index(message)
        key = self._safe.new_subject_key(subject)
        row = SubjectRow(key=subject, seq=0, epoch=key.epoch, wrapped=key.wrapped)
        kept = rows.message_row(
            message,
            jws,
            NO_FACTS,
            channel=message.iss,
            subject=row,
            safe=self._safe,
            digests=grounds.digests,
            marks=decision.marks,
            now=now,
        )
        (leg,), _ = rows.rows_of(message, decision, subject=subject, seq=1, policy_digest=grounds.policies.digest, now=now)
        return Queued(Signed(message.iss, message.jti, message.digest), subject, key, kept, replace(leg, state=State.READY))


async def fill(settings: Path, kit: Kit, partner: str, count: int, *, seed: int, say: Callable[[int], None]) -> list[tuple[str, str]]:
    """Queue legs to a partner while no gateway runs; return by what their arrivals are found."""
    read, dice = load_settings(settings), Random(seed)  # noqa: S311 -- repeatable on purpose
    keys_from = keystore(read)
    keys, now = keys_from.private(), datetime.now(UTC)
    maker = Maker(load(read, keys, keys_from).world, Safe(keys.registers(now), keys.referrals(now), SystemDice()), kit)
    made: list[tuple[str, str]] = []
    notices = [neighbours.notice(partner, now, dice) for _ in range(min(count, NOTICES_COUNT))]
    async with store_of(read) as store:
        for first in range(0, count, BATCH_COUNT):
            batch = [maker.queue(neighbours.again(dice.choice(notices), now)) for _ in range(min(BATCH_COUNT, count - first))]
            async with store.unit_of_work() as work:
                await _write(work, batch)
            made += [(partner, str(each.message.ref.jti)) for each in batch]
            say(len(made))
    return made


async def _write(work: UnitOfWork, batch: list[Queued]) -> None:
    await work.claim([each.signed for each in batch], datetime.now(UTC))
    await work.lock_subjects({each.subject: each.key for each in batch})
    await work.add_messages([each.message for each in batch])
    await work.add_legs([each.leg for each in batch])
    await work.set_seq({each.subject: 1 for each in batch})
    await work.save_receipts({each.message.ref: NO_RECEIPT for each in batch})
