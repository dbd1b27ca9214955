"""After a restore: what the backup does not know, who must be asked for it, and the next log.

Two steps, so that the log of the backup can be written out between them: `look` reads and decides, `open_next` changes. What marks the
database as restored is the staged entry that opens the next log: the next start integrates it, once, before everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.app import next_keys
from gateway.app.logcheck import check_log
from gateway.app.partner_rows import KeyRow
from gateway.app.ports import Store, UnitOfWork
from gateway.app.sequence import LEASE, OPENING_COUNT_MAX, opens
from gateway.contract.errors import OperatorError
from gateway.contract.values import Jti, KeyId, PartnerId, Ref, SubjectKey
from gateway.core import jose
from gateway.core.evidence import entries
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.evidence.entries import Erased, ErasedEpoch, ErasedMessage, ErasedSubject, LogOpened, PartnerKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.ledger import Ledger, OpenLeg, Since, shown
from gateway.core.evidence.receipts import Receipt
from gateway.core.evidence.succession import Kept, Outside, Succession, describe, origin_of, succeed, wanted_sizes
from gateway.core.next_key import KeyState

_ENDS: Final = {state.value: state for state in (KeyState.REFUSED, KeyState.REVOKED)}
_REFS_AT_ONCE: Final = 500


class RestoreError(OperatorError):
    """A database that must not go on from what it is. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored database is, and what it is not."""

    succession: Succession
    ledger: Ledger
    since: Since
    lost: tuple[tuple[str, Ref], ...]  # (where it was seen, message): receipted, and not in the backup
    ended: tuple[KeyRow, ...]  # keys that partners submitted, as the backup has them: refused or revoked since
    entries_count: int  # of the log as the backup has it
    at: datetime

    @property
    def later(self) -> dict[str, OpenLeg]:
        """Legs under way in the backup of which others know more."""
        return {leg_id: self.since.moved[leg_id] for leg_id in self.ledger.legs if leg_id in self.since.moved}

    def report(self, *, partners: Collection[str]) -> dict[str, Any]:
        """Return what is missing and what must be asked for again. `partners` are all that may send."""
        gone, since = self.succession, self.ledger.last_at or None
        senders = sorted({*partners, *self.ledger.senders, *(ref.iss for _, ref in self.lost)})
        legs = [
            shown(leg) | ({"later": self.later[id_].state} if id_ in self.later else {}) for id_, leg in sorted(self.ledger.legs.items())
        ]
        return {
            "restored_at": entries.moment(self.at),
            "opens": gone.next_origin,
            "follows": describe(gone.previous) | {"found_in": gone.found_in},
            "history": {"entries": self.entries_count, "missing": gone.missing_count, "told_by_events": len(gone.recovered)},
            "ask": {
                "since": since,
                "senders": [{"partner": id_, "last_accepted": self.ledger.senders.get(id_)} for id_ in senders],
                "submissions": [{"iss": ref.iss, "jti": ref.jti, "seen_in": where} for where, ref in self.lost],
                "legs": legs,
                "keys": [_shown(key) for kid, key in sorted(self.since.keys.items()) if kid not in {row.kid for row in self.ended}],
            },
            "erased_again": [entries_key(erased) for erased in self.since.erased],
            "ended_again": [_shown(self.since.keys[row.kid]) for row in self.ended],
            "stopped_again": [{"partner": id_, "standing": standing.value} for id_, standing in sorted(self.since.stopped.items())],
        }  # fmt: skip


def _shown(key: PartnerKey) -> dict[str, str]:
    return {"partner": key.partner, "kid": key.key, "state": key.state}


def entries_key(erased: Erased) -> dict[str, str]:
    """Return what an erasure destroyed, as a report shows it."""
    match erased.key:
        case ErasedMessage(iss=iss, jti=jti):
            return {"message": jti, "iss": iss}
        case ErasedSubject(subject=subject):
            return {"subject": subject}
        case ErasedEpoch(epoch=epoch):
            return {"epoch": epoch}


async def look(
    store: Store,
    outside: Outside,
    *,
    gateway: str,
    keys: Sequence[CheckpointKey],
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Return what a restored database is to go on from. Changes nothing.

    Raises `EvidenceError` where its log is broken, or no part of what others were told; `RestoreError` where this was done already.
    """
    await _refuse_done(store)
    log = await check_log(store, keys=keys, sizes=wanted_sizes(outside), progress=progress)
    kept = Kept(log.origin or origin_of(gateway, 1), log.edge, log.roots)
    succession = succeed(kept, outside, gateway=gateway)
    since = Since()
    for raw in succession.recovered:
        since.take(entries.decode(raw))
    async with store.reading() as work:
        for _, raw in await work.staged(OPENING_COUNT_MAX):
            log.ledger.take(entries.decode(raw))
        lost = await _lost(work, outside.receipts, since)
        ended = [row for said in since.keys.values() if said.state in _ENDS and (row := await _stands(work, said)) is not None]
    return Restored(succession, log.ledger, since, tuple(lost), tuple(ended), log.edge.size, now)


async def open_next(store: Store, found: Restored) -> int:
    """Take the log of the backup away and stage what opens the next; do again what was erased, refused, revoked and stopped since.

    Return how many keys of messages and subjects were destroyed.
    Raises `RestoreError` where a gateway works on the database.
    """
    opening = LogOpened(at=entries.moment(found.at), origin=found.succession.next_origin, previous=found.succession.previous).encode()
    again = [replace_at(erased, found.at).encode() for erased in found.since.erased]
    gone = [erased.key for erased in found.since.erased]
    async with store.unit_of_work() as work:
        if await work.take_lease(LEASE, "restore", found.at, found.at + timedelta(seconds=1)) is None:
            raise RestoreError("a gateway works on this database: stop it, wait 15 seconds, and try again")
        await work.replace_log(opening)
        destroyed = await work.destroy_keys(
            messages=[Ref(PartnerId(key.iss), Jti(key.jti)) for key in gone if isinstance(key, ErasedMessage)],
            subjects=[SubjectKey(key.subject) for key in gone if isinstance(key, ErasedSubject)],
            epochs=[key.epoch for key in gone if isinstance(key, ErasedEpoch)],
        )
        for row in found.ended:
            key, said = next_keys.ended(row, _ENDS[found.since.keys[row.kid].state], found.at, by=None)
            await work.save_key(key)
            again += said
        for partner, standing in found.since.stopped.items():
            await work.set_standing(PartnerId(partner), standing)
        if again:
            await work.stage_evidence(again)
    return destroyed


def replace_at(erased: Erased, at: datetime) -> Erased:
    """Return the same erasure at another time."""
    return Erased(at=entries.moment(at), key=erased.key, reason=erased.reason)


async def _refuse_done(store: Store) -> None:
    async with store.reading() as work:
        if await work.log_size() == 0 and any(opens(raw) for _, raw in await work.staged(OPENING_COUNT_MAX)):
            raise RestoreError("the next log is to be opened at the next start already: nothing is left to do")


async def _stands(work: UnitOfWork, said: PartnerKey) -> KeyRow | None:
    """Return the very key that an entry is about, where the backup has it in another state."""
    row = await work.key(KeyId(said.key))
    same = row is not None and jose.b64decode(row.thumbprint.encode()).hex() == said.thumbprint
    return row if row is not None and same and row.state.value != said.state else None


async def _lost(work: UnitOfWork, receipts: Iterable[tuple[str, Receipt]], since: Since) -> list[tuple[str, Ref]]:
    """Return which receipted messages the database does not have. Raises `EvidenceError` for one that it has with other content."""
    seen: dict[Ref, tuple[str, str | None]] = {Ref(PartnerId(iss), Jti(jti)): ("gw.events", None) for iss, jti in since.accepted}
    seen |= {Ref(PartnerId(r.iss), Jti(r.jti)): (where, r.digest) for where, r in receipts}
    refs, faults, lost = sorted(seen), list[str](), list[tuple[str, Ref]]()
    for start in range(0, len(refs), _REFS_AT_ONCE):
        part = refs[start : start + _REFS_AT_ONCE]
        known = await work.earlier(part)
        for ref in part:
            where, digest = seen[ref]
            if ref not in known:
                lost.append((where, ref))
            elif digest is not None and known[ref].digest != digest:
                faults.append(
                    f"{where}: the database has {ref.jti} of {ref.iss} with other content: it was altered, or is another gateway's"
                )
    if faults:
        raise EvidenceError(*faults)
    return lost
