"""The inbox: a partner polls (RFC 8936). Answers and refusals settle here; what is offered again is offered as it was signed.

`sets` has no order, so only the head of each (partner, subject) is offered: one unacknowledged token per subject at a time.
Inner never waits: an empty poll is answered at once, and the edge asks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.app.outgoing import REFUSALS
from gateway.app.ports import Clock, LegRow, Store
from gateway.app.records import leg_entry
from gateway.app.seal import INBOX, Sealer
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder
from gateway.contract.values import Jti, Lane, LegId, PartnerId
from gateway.core import limits, strict_json, tokens
from gateway.core.delivery import Event
from gateway.core.problems import Code, MalformedError
from gateway.core.profiles import Delivery
from gateway.core.standing import Standing

_MEMBERS = frozenset({"maxEvents", "returnImmediately", "ack", "setErrs"})


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll request (RFC 8936 section 2.4)."""

    limit: int
    acks: tuple[Jti, ...]
    errors: Mapping[Jti, str]


def read_poll(body: bytes) -> Poll:
    """Read a poll's body. Raises `MalformedError`."""
    value = strict_json.parse_object(body)
    if extra := set(value) - _MEMBERS:
        raise _invalid(f"{len(extra)} members that do not belong", f"only {', '.join(sorted(_MEMBERS))}")
    limit, acks, errors = value.get("maxEvents", limits.POLL_SETS_COUNT_MAX), value.get("ack", []), value.get("setErrs", {})
    if type(limit) is not int or limit < 0:
        raise _invalid("maxEvents is no count", "a whole number from 0")
    if not isinstance(value.get("returnImmediately", False), bool):
        raise _invalid("returnImmediately is not true or false", "true or false")
    if not isinstance(acks, list) or not all(isinstance(jti, str) for jti in acks) or len(acks) > limits.LINES_COUNT_MAX:
        raise _invalid("ack is not a list of jti", f"at most {limits.LINES_COUNT_MAX} strings")
    if not isinstance(errors, dict) or not all(_is_error(error) for error in errors.values()) or len(errors) > limits.LINES_COUNT_MAX:
        raise _invalid("setErrs is not an object of errors", "jti: {err, description}")
    return Poll(
        min(limit, limits.POLL_SETS_COUNT_MAX), tuple(map(Jti, acks)), {Jti(jti): _word(error["err"]) for jti, error in errors.items()}
    )


def _is_error(error: Any) -> bool:
    return isinstance(error, dict) and isinstance(error.get("err"), str) and set(error) <= {"err", "description"}


def _word(err: str) -> str:
    """Keep a known code of an error (RFC 8935, section 2.4); whatever else a partner writes is its own words, and is not kept."""
    return err if err in REFUSALS else "unknown"


def _invalid(detail: str, expected: str) -> MalformedError:
    return MalformedError(detail, code=Code.REQUEST_INVALID, expected=expected)


class Inbox:
    """Answers polls."""

    def __init__(self, store: Store, sealer: Sealer, *, settle: Settle, holder: Holder, clock: Clock) -> None:
        """Take the ports."""
        self._store, self._sealer, self._settle, self._holder, self._clock = store, sealer, settle, holder, clock

    async def poll(self, partner: PartnerId, poll: Poll, *, proof: str) -> dict[str, Any]:
        """Settle what the partner answers and return `{sets, moreAvailable}`. `proof` is the digest of its signed request."""
        await self._answer(partner, poll, proof)
        delivery = self._holder.current.directory.by_id(partner).delivery
        if delivery is None or delivery.transport != INBOX or poll.limit == 0:
            return {"sets": {}, "moreAvailable": False}
        now = self._clock.now()
        until = now + timedelta(seconds=delivery.visibility_seconds)
        claimed = await self._claim(partner, delivery, poll.limit, now, until)
        if not claimed:
            return {"sets": {}, "moreAvailable": False}
        batch = await self._sealer.seal(self._store, claimed, now=now, event=Event.OFFERED)
        await self._settle.run(batch.stopped)
        fitting = _fitting(batch.started)
        saved = await self._start([leg for leg, _ in fitting], until, now)
        more = len(claimed) == min(poll.limit, delivery.window) or len(fitting) < len(batch.started)
        return {"sets": {leg.jti: body.decode() for leg, body in fitting if leg.leg_id in saved}, "moreAvailable": more}

    async def _answer(self, partner: PartnerId, poll: Poll, proof: str) -> None:
        said = {jti: code for jti, code in {**dict.fromkeys(poll.acks), **poll.errors}.items() if tokens.is_uuid7(jti)}
        if not said:
            return
        async with self._store.reading() as work:
            legs = await work.legs_by_jti(partner, sorted(said))
        await self._settle.run([Change(leg_id=leg.leg_id, event=Event.RECEIPTED, code=said[jti], proof=proof) for jti, leg in legs.items()])

    async def _claim(self, partner: PartnerId, delivery: Delivery, limit: int, now: datetime, until: datetime) -> list[LegRow]:
        """Lease what is urgent, then what was offered and not answered, then the rest: neither backlog nor silence keeps out the others."""
        size = min(limit, delivery.window)
        claimed: list[LegRow] = []
        async with self._store.unit_of_work() as work:
            await work.lock_partner(partner, now)
            if (await work.standings()).get(partner) is Standing.PAUSED:
                return []

            async def claim(*lanes: Lane) -> None:
                for lane in lanes:
                    if room := size - len(claimed):
                        claimed.extend(await work.claim_legs(partner, lane, now=now, until=until, limit=room))

            async def offer_again(room: int) -> None:
                if room:
                    claimed.extend(await work.offered(partner, now=now, until=until, limit=room))

            await claim(Lane.IMMEDIATE, Lane.PRIORITY)
            await offer_again((size - len(claimed) + 1) // 2)
            await claim(Lane.ROUTINE)
            await offer_again(size - len(claimed))
        return claimed

    async def _start(self, legs: Sequence[LegRow], until: datetime, now: datetime) -> set[LegId]:
        """Save what is offered; return what is still ours to offer: another content never leaves under the same `jti`."""
        async with self._store.unit_of_work() as work:
            started = [replace(leg, lease_until=until) for leg in legs]
            saved = await work.start_attempts(started, claimed_until=until)
            await work.stage_evidence([leg_entry(leg, now) for leg in started if leg.leg_id in saved and leg.attempt == 1])
            return saved


def _fitting(started: Sequence[tuple[LegRow, bytes]]) -> list[tuple[LegRow, bytes]]:
    """Cut an answer so that it stays a record of the bus; what is cut is offered when its lease ends."""
    fitting: list[tuple[LegRow, bytes]] = []
    size = 0
    for leg, body in started:
        size += len(body)
        if fitting and size > limits.POLL_BYTES_MAX:
            break
        fitting.append((leg, body))
    return fitting
