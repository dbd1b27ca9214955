"""The gateway's own messages: acknowledgements of ended legs, alerts. They take everybody's way: decided, recorded, sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gateway.app.locked import Locked
from gateway.app.ports import Dice, LegRow, MessageRow, RefusalRow, UnitOfWork
from gateway.app.records import accepted_entry
from gateway.app.rows import message_row, own_payload, read_message, rows_of
from gateway.app.safe import Safe
from gateway.app.world import Holder
from gateway.contract.errors import GatewayError
from gateway.contract.values import Jti, Lane, PartnerId, Role, SubjectKey
from gateway.core import acknowledge
from gateway.core.acknowledge import Author, LegEnd
from gateway.core.decided import Alert, Candidate
from gateway.core.decision import decide_for
from gateway.core.delivery import State
from gateway.core.facts import NO_FACTS
from gateway.core.families import ACKNOWLEDGEMENT
from gateway.core.message import Message
from gateway.core.routing import Routed
from gateway.core.schema import family_uri

Line = tuple[PartnerId, SubjectKey]
UNREADABLE: Final = frozenset({"invalid_request", "invalid_key"})  # RFC 8935, section 2.4
REFUSALS: Final = UNREADABLE | {"invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "unknown"}


class Outgoings:
    """Writes messages of the gateway into the transaction that gives rise to them."""

    def __init__(self, holder: Holder, safe: Safe, dice: Dice) -> None:
        """Take what is needed to author, decide and keep a message."""
        self._holder, self._safe, self._dice = holder, safe, dice

    async def ends(
        self, work: UnitOfWork, ended: Sequence[LegRow], locked: Locked, now: datetime
    ) -> tuple[list[Line], list[tuple[LegRow, Exception]]]:
        """Tell each sender that legs of its messages have ended; return the lines that have a new leg, and the legs not told of.

        Of a message that cannot be read any more (its key is destroyed, missing or wrong) nothing can be said; that stops no other leg.
        """
        gateway = self._holder.current.context.gateway
        directory = self._holder.current.directory
        senders = {leg.message.iss for leg in ended if directory.find(leg.message.iss) is not None}  # one without a profile has no channel
        told = [leg for leg in ended if leg.family != ACKNOWLEDGEMENT and leg.message.iss in senders - {gateway}]
        if not told:
            return [], []
        originals = await work.messages(sorted({leg.message for leg in told}))
        written: list[tuple[Message, PartnerId, SubjectKey]] = []
        untold: list[tuple[LegRow, Exception]] = []
        for leg in told:
            try:
                original = self.read(originals[leg.message], locked)
            except (GatewayError, LookupError) as exc:
                untold.append((leg, exc))
            else:
                written.append((acknowledge.of_leg(original, _end(leg), self._author(now)), original.iss, leg.subject))
        return await self._write(work, written, locked, now), untold

    async def alerts(
        self, work: UnitOfWork, original: Message, alerts: Sequence[Alert], *, subject: SubjectKey, locked: Locked, now: datetime
    ) -> list[Line]:
        """Alert the sender and the managing authority; return the lines that have a new leg."""
        written = [(acknowledge.of_alert(original, alert, self._author(now)), to, subject) for alert in alerts for to in alert.to]
        return await self._write(work, written, locked, now)

    def read(self, row: MessageRow, locked: Locked) -> Message:
        """Decrypt and read a stored message."""
        key = self._safe.message_key(locked.rows[row.subject], row.wrapped)
        return read_message(row, self._safe.open(key, row.payload, of=row.ref, what="payload"), self._holder.current.context.uri_base)

    async def _write(
        self, work: UnitOfWork, written: Sequence[tuple[Message, PartnerId, SubjectKey]], locked: Locked, now: datetime
    ) -> list[Line]:
        world = self._holder.current
        messages: list[MessageRow] = []
        legs: list[LegRow] = []
        refusals: list[RefusalRow] = []
        entries: list[bytes] = []
        for message, to, subject in written:
            recipient = world.directory.by_id(to)
            routed = Routed((Candidate(to, (recipient.country,), (Role.REPLY,)),), (), ())
            decision = decide_for(
                message, routed, NO_FACTS, home=recipient.country, grounds=world.grounds, now=now, new_id=lambda: self._dice.uuid7(now)
            )
            payload = own_payload(message, family_uri(world.context.uri_base, message.family))
            row = message_row(
                message, payload, NO_FACTS, channel=message.iss, subject=locked.rows[subject], safe=self._safe,
                digests=world.grounds.digests, now=now,
            )  # fmt: skip
            messages.append(row)
            new = rows_of(
                message, decision, subject=subject, seq=locked.next(subject), policy_digest=world.grounds.policies.digest, now=now
            )
            legs += new[0]
            refusals += new[1]
            entries.append(accepted_entry(row, None, new[0], new[1], now))
        await work.add_messages(messages)
        await work.add_legs(legs)
        await work.add_refusals(refusals)
        await work.stage_evidence(entries)
        urgent = {(leg.partner, leg.subject): leg.lane for leg in legs if leg.lane is not Lane.ROUTINE}
        if urgent:
            await work.lift(urgent)
        return [(leg.partner, leg.subject) for leg in legs]

    def _author(self, now: datetime) -> Author:
        world = self._holder.current
        return Author(gateway=world.context.gateway, contact=world.contact, jti=Jti(self._dice.uuid7(now)), now=now)


def _end(leg: LegRow) -> LegEnd:
    return LegEnd(
        jti=leg.jti,
        partner=leg.partner,
        country=leg.country,
        role=leg.roles[0],
        stage=leg.state.value.upper(),
        reason=leg.reason or _judged(leg),
    )


def _judged(leg: LegRow) -> str | None:
    """Return in our words why the partner would not have the document: by its transport (dead), or signed (receipted)."""
    refused = leg.state is State.DEAD or (leg.state is State.RECEIPTED and leg.last_code in REFUSALS)
    if not refused:
        return None
    return "NOT_READABLE" if leg.last_code in UNREADABLE else "OTHER"
