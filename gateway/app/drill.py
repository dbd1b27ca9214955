"""A compromise drill: everything that a key signed, or that may have been read with it, as far as rows and evidence know.

What a thief signed elsewhere is not among it, by nature: what a partner holds and this list does not have is forged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.app.ports import LegRow, MessageRow, Store, SubjectRow, UnitOfWork
from gateway.app.safe import Safe
from gateway.app.sequence import PAGE_COUNT_MAX
from gateway.contract.errors import GatewayError
from gateway.contract.values import KeyId, PartnerId, Ref, SubjectKey
from gateway.core import jose, strict_json
from gateway.core.evidence import entries
from gateway.core.evidence.checkpoint import CheckpointKey, verify
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.succession import keys_of
from gateway.core.keys import KeyEntry, Use
from gateway.core.next_key import KeyState

PAGE: Final = 200
Item = dict[str, Any]


class Drill:
    """Lists what one key touched. Holds ids, digests and times only."""

    def __init__(self, store: Store, safe: Safe, *, gateway: PartnerId) -> None:
        """Take the rows, and what opens them: the `kid` of a message or document stands in what is encrypted."""
        self._store, self._safe, self._gateway = store, safe, gateway

    def of_pair(self, entry: KeyEntry, checkpoint: CheckpointKey | None = None) -> AsyncIterator[Item]:
        """Yield what a key pair touched, ours, a partner's or an operator's. `checkpoint` is it as a key of the log, where it is one."""
        encrypted = self._received if entry.owner == self._gateway else self._sent
        looks: dict[Use, Callable[[], AsyncIterator[Item]]] = {
            Use.RECEIPT: lambda: self._receipts(entry.kid),
            Use.DOCUMENT: lambda: self._documents(entry.kid),
            Use.SUBMIT: lambda: self._submitted(entry),
            Use.COMMAND: lambda: self._commands(entry.kid),
            Use.ENCRYPT: lambda: encrypted(entry),
        }
        if checkpoint is not None:
            looks[Use.CHECKPOINT] = lambda: self._checkpoints(checkpoint)
        return looks.get(entry.use, self._nothing)()

    async def of_epoch(self, kid: str) -> AsyncIterator[Item]:
        """Yield the messages whose keys lie under a key-encryption-key epoch."""
        async for page, messages, subjects in self._pages():
            for ref in page:
                row = messages.get(ref)
                if row is not None and row.subject in subjects and subjects[row.subject].epoch == kid:
                    yield _message(ref, row)

    async def _receipts(self, kid: KeyId) -> AsyncIterator[Item]:
        """Yield receipts. Rejections are not kept: evidence has their digests, whoever signed them."""
        after: Ref | None = None
        while True:
            async with self._store.reading() as work:
                page = await work.submissions_after(after, PAGE)
            for each in page:
                if _kid(each.receipt) == kid:
                    claims = strict_json.parse_object(jose.b64decode(each.receipt.split(b".")[1]))
                    yield {"what": "receipt", "iss": each.ref.iss, "jti": each.ref.jti, "receipt": claims["jti"], "iat": claims["iat"]}
            if len(page) < PAGE:
                return
            after = page[-1].ref

    async def _messages(self, entry: KeyEntry) -> AsyncIterator[Item]:
        async for page, messages, subjects in self._pages():
            for ref in page:
                if ref.iss != entry.owner:
                    continue
                row = messages.get(ref)
                signed = None if row is None else self._payload(row, subjects)
                if signed is None:
                    yield {"what": "message", "iss": ref.iss, "jti": ref.jti, "unknown": "erased, or not to be opened"}
                elif row is not None and _kid(signed) == entry.kid:
                    yield _message(ref, row)

    async def _submitted(self, entry: KeyEntry) -> AsyncIterator[Item]:
        """Yield messages, and the next keys that this one signed for."""
        async for item in self._messages(entry):
            yield item
        after: KeyId | None = None
        while True:
            async with self._store.reading() as work:
                page = await work.keys(entry.owner, frozenset(KeyState), after=after, limit=PAGE)
            for row in page:
                if row.signer == entry.kid:
                    at = entries.moment(row.submitted_at)
                    yield {"what": "key", "kid": row.kid, "thumbprint": row.thumbprint, "state": row.state.value, "submitted_at": at}
            if len(page) < PAGE:
                return
            after = page[-1].kid

    async def _documents(self, kid: KeyId) -> AsyncIterator[Item]:
        async for work, legs in self._legs():
            signed = [leg for leg in legs if leg.signed is not None]
            messages = await work.messages(sorted({leg.message for leg in signed}))
            subjects = await work.subject_keys(sorted({row.subject for row in messages.values()}))
            for leg in signed:
                found = self._document(leg, messages.get(leg.message), subjects)
                if found is None or found == kid:
                    yield _leg(leg) | ({"unknown": "erased, or not to be opened"} if found is None else {})

    async def _received(self, entry: KeyEntry) -> AsyncIterator[Item]:
        async for page, messages, _ in self._pages():
            for ref in page:
                row = messages.get(ref)
                if row is not None and _during(entry, row.received_at):
                    yield _message(ref, row) | {"certain": False}

    async def _sent(self, entry: KeyEntry) -> AsyncIterator[Item]:
        async for _, legs in self._legs():
            for leg in legs:
                if leg.partner == entry.owner and leg.sent_at is not None and _during(entry, leg.sent_at):
                    yield _leg(leg) | {"certain": False}

    async def _commands(self, kid: KeyId) -> AsyncIterator[Item]:
        async for index, raw in self._entries():
            entry = entries.decode(raw)
            if isinstance(entry, entries.Commanded) and entry.key == kid:
                yield {
                    "what": "command", "entry": index, "operator": entry.operator, "jti": entry.jti, "command": entry.command,
                    "at": entry.at, "targets": list(entry.targets),
                }  # fmt: skip

    async def _checkpoints(self, key: CheckpointKey) -> AsyncIterator[Item]:
        async with self._store.reading() as work:
            rows = await work.checkpoints()
        for row in rows:
            origin = row.note.partition("\n")[0]
            try:
                verify(row.note, keys_of(origin, [key]))
            except EvidenceError:
                continue
            yield {"what": "checkpoint", "origin": origin, "size": row.size, "at": entries.moment(row.at)}

    async def _nothing(self) -> AsyncIterator[Item]:
        """Yield nothing: request tokens are forgotten after a minute, and what the root key signed is public."""
        for item in list[Item]():
            yield item

    async def _entries(self) -> AsyncIterator[tuple[int, bytes]]:
        start = 0
        while True:
            async with self._store.reading() as work:
                page = await work.leaves(start, PAGE_COUNT_MAX)
            for each in page:
                yield each
            if len(page) < PAGE_COUNT_MAX:
                return
            start = page[-1][0] + 1

    async def _legs(self) -> AsyncIterator[tuple[UnitOfWork, list[LegRow]]]:
        after = None
        while True:
            async with self._store.reading() as work:
                page = await work.legs_after(after, PAGE)
                yield work, page
            if len(page) < PAGE:
                return
            after = page[-1].leg_id

    async def _pages(self) -> AsyncIterator[tuple[Sequence[Ref], dict[Ref, MessageRow], dict[SubjectKey, SubjectRow]]]:
        after: Ref | None = None
        while True:
            async with self._store.reading() as work:
                page = await work.submissions_after(after, PAGE)
                refs = [each.ref for each in page]
                messages = await work.messages(refs)
                subjects = await work.subject_keys(sorted({row.subject for row in messages.values()}))
            yield refs, messages, subjects
            if len(page) < PAGE:
                return
            after = refs[-1]

    def _payload(self, row: MessageRow, subjects: dict[SubjectKey, SubjectRow]) -> bytes | None:
        return self._open(row, subjects, row.payload, "payload")

    def _document(self, leg: LegRow, row: MessageRow | None, subjects: dict[SubjectKey, SubjectRow]) -> str | None:
        if row is None or leg.signed is None:
            return None
        signed = self._open(row, subjects, leg.signed, leg.jti)
        return None if signed is None else _kid(signed)

    def _open(self, row: MessageRow, subjects: dict[SubjectKey, SubjectRow], sealed: bytes, what: str) -> bytes | None:
        try:
            return self._safe.open(self._safe.message_key(subjects[row.subject], row.wrapped), sealed, of=row.ref, what=what)
        except (GatewayError, KeyError):
            return None


def _kid(token: bytes) -> str:
    kid = strict_json.parse_object(jose.b64decode(token.split(b".")[0])).get("kid")
    return str(kid)


def _during(entry: KeyEntry, at: datetime) -> bool:
    return entry.valid_from <= at < entry.valid_to


def _message(ref: Ref, row: MessageRow) -> Item:
    return {"what": "message", "iss": ref.iss, "jti": ref.jti, "family": row.family, "received_at": entries.moment(row.received_at)}


def _leg(leg: LegRow) -> Item:
    sent = entries.moment(leg.sent_at) if leg.sent_at is not None else None
    return {
        "what": "leg", "leg": leg.leg_id, "jti": leg.jti, "partner": leg.partner, "state": leg.state.value, "sent_at": sent,
        "digest": leg.signed_digest, "original": {"iss": leg.message.iss, "jti": leg.message.jti},
    }  # fmt: skip
