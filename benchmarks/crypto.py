"""The bare cryptography of the full way, and the price of each pure step, on the same messages: no bus, no database, no HTTP."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.notices import LEGS, PARTNERS, RECIPIENTS, SENDER, WINDOW, notices
from gateway.contract.values import Jti, PartnerId
from gateway.core import acknowledge, receipts, tokens
from gateway.core.acknowledge import Author, LegEnd
from gateway.core.admission import Accepted, Rejected, admit
from gateway.core.decided import Decision
from gateway.core.decision import decide
from gateway.core.facts import NO_FACTS
from gateway.core.keys import EncryptionKey, SigningKey, Use, VerifyKey
from gateway.core.message import Message, Signed
from gateway.core.minimise import deliver_event, minimise
from gateway.core.request_tokens import HttpRequest, request_claims
from gateway.core.rules import RuleContext, check_all
from gateway.ops.system import SystemDice
from tests.house import BASE, GATEWAY, ORIGIN, SHIPPED, House, house, with_delivery

ROUNDS = 5
CURVE = ec.SECP256R1()
ECDSA = ec.ECDSA(SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything that is signed, verified, encrypted or decrypted for one message."""

    sealed: bytes
    request: bytes
    receipt: Mapping[str, Any]
    documents: Sequence[tuple[PartnerId, Mapping[str, Any]]]  # legs and acknowledgements: to whom, and the claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of the gateway and of those it talks to."""

    decryption: Mapping[Any, Any]
    submit: VerifyKey
    request: VerifyKey
    receipt: SigningKey
    document: SigningKey
    partners: Mapping[PartnerId, EncryptionKey]


def open_house(folder: Path) -> AbstractAsyncContextManager[House]:
    """Return a gateway in this process, without listeners, with the partners of a run."""
    profiles = {name: with_delivery(SHIPPED[name], window=WINDOW) for name in map(PartnerId, PARTNERS)}
    return house(folder, profiles=profiles)


def tokens_of(there: House, count: int) -> list[bytes]:
    """Return submissions, signed and encrypted."""
    key = there.keys[PartnerId(SENDER)].signing(Use.SUBMIT)
    claims = (sample.claims(iss=SENDER, aud=GATEWAY, uri_base=BASE) for sample in notices(count, there.clock.now()))
    return [there.encrypt(tokens.sign(each, key, typ=tokens.EVENT)) for each in claims]


def keys_of(there: House) -> Keys:
    """Return the keys of a house."""
    sender, own = there.keys[PartnerId(SENDER)], there.keys[GATEWAY]
    keyring, now = there.holder.current.context.keyring, there.clock.now()
    submit, request = sender.pairs[Use.SUBMIT].entry, sender.pairs[Use.REQUEST].entry
    assert isinstance(submit, VerifyKey)
    assert isinstance(request, VerifyKey)
    return Keys(
        decryption=own.decryption, submit=submit, request=request, receipt=own.signing(Use.RECEIPT), document=own.signing(Use.DOCUMENT),
        partners={PartnerId(name): keyring.encryption_key(PartnerId(name), now) for name in (*RECIPIENTS, SENDER)},
    )  # fmt: skip


def _decided(there: House, accepted: Accepted) -> Decision:
    now, dice = there.clock.now(), SystemDice()
    decision = decide(accepted, NO_FACTS, grounds=there.holder.current.grounds, now=now, new_id=lambda: dice.uuid7(now))
    if isinstance(decision, Rejected):
        raise TypeError(decision)
    return decision


def work_of(there: House, sealed: bytes) -> Work:
    """Take one message through every pure step, to know what is to be signed."""
    world, now, dice = there.holder.current, there.clock.now(), SystemDice()
    accepted = _accepted(there, sealed)
    message = accepted.message
    decision = _decided(there, accepted)
    head = receipts.Head(GATEWAY, dice.uuid7(now), now)
    signed = Signed(message.iss, message.jti, message.digest)
    documents = []
    for leg in decision.legs:
        documents.append((leg.partner, _claims(there, message, leg.partner, leg.groups, leg.removed)))
        end = LegEnd(jti=leg.jti, partner=leg.partner, country=leg.country, role=leg.roles[0].value, stage="DELIVERED", reason=None)
        author = Author(gateway=GATEWAY, contact=world.contact, jti=Jti(dice.uuid7(now)), now=now)
        answer = acknowledge.of_leg(message, end, author)
        documents.append((message.iss, _claims(there, answer, message.iss, frozenset(acknowledge.GROUPS), ())))
    return Work(
        sealed=sealed,
        request=_request(there, sealed),
        receipt=receipts.receipt_claims(head, signed, leaf=bytes(32), warnings=accepted.notices, checkpoint=None),
        documents=documents,
    )


def _accepted(there: House, sealed: bytes) -> Accepted:
    found = admit(sealed, channel=PartnerId(SENDER), ctx=there.holder.current.context, now=there.clock.now())
    if not isinstance(found, Accepted):
        raise TypeError(found.problems)
    return found


def _claims(there: House, message: Message, to: PartnerId, groups: frozenset[str], removed: Any) -> Mapping[str, Any]:
    world = there.holder.current
    view = minimise(message, groups, world.directory.by_id(to), world.grounds.schemas, removed=removed)
    event = deliver_event(
        view, original=message.ref, subject_iss=message.subject[1], previous=None, prior_undelivered=False, lead_time=None, checkpoint=None
    )
    document = world.formats["native"].render(replace(view, event=event))
    return {
        "iss": GATEWAY, "aud": to, "jti": message.jti, "iat": int(message.iat.timestamp()), "toe": int(message.toe.timestamp()),
        "txn": message.txn, "events": {document.event_uri: document.event},
    }  # fmt: skip


def _request(there: House, body: bytes) -> bytes:
    now = there.clock.now()
    asked = HttpRequest("POST", f"{ORIGIN}/v1/messages", b"", body)
    claims = request_claims(asked, iss=PartnerId(SENDER), aud=GATEWAY, jti=there.dice.uuid7(now), now=now)
    return tokens.sign(claims, there.keys[PartnerId(SENDER)].signing(Use.REQUEST), typ=tokens.REQUEST)


def cryptography_of(work: Work, keys: Keys) -> None:
    """Do the cryptography of one message, and nothing else."""
    tokens.verify(tokens.unwrap(work.request, {}, typ=tokens.REQUEST, encrypted="allowed"), keys.request)
    tokens.verify(tokens.unwrap(work.sealed, keys.decryption, typ=tokens.EVENT, encrypted="required"), keys.submit)
    tokens.sign(work.receipt, keys.receipt, typ=tokens.RECEIPT)
    for partner, claims in work.documents:
        tokens.encrypt(tokens.sign(claims, keys.document, typ=tokens.EVENT), keys.partners[partner])


def all_of(works: Sequence[Work], keys: Keys) -> None:
    """Do the cryptography of some messages, one after the other."""
    for work in works:
        cryptography_of(work, keys)


def primitives_of(count: int, size: int) -> None:
    """Do what of it is elliptic curve and cipher alone, for so many messages of one size: no JSON, no base64."""
    key, other, text = ec.generate_private_key(CURVE), ec.generate_private_key(CURVE).public_key(), bytes(size)
    public, signature = key.public_key(), key.sign(text, ECDSA)
    for _ in range(count):
        for _ in range(2):  # message, request token
            public.verify(signature, text, ECDSA)
        cipher = AESGCM(key.exchange(ec.ECDH(), other))
        cipher.encrypt(bytes(12), text, b"")
        key.sign(text, ECDSA)  # the receipt
        for _ in range(2 * LEGS):  # legs and their acknowledgements
            key.sign(text, ECDSA)
            AESGCM(ec.generate_private_key(CURVE).exchange(ec.ECDH(), other)).encrypt(bytes(12), text, b"")


def rate(works: Sequence[Work], keys: Keys, threads: int) -> float:
    """Return messages a second, on so many threads: the median of some rounds."""
    shares = [works[start::threads] for start in range(threads)]

    found = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            list(pool.map(lambda share: all_of(share, keys), shares))
            found.append(len(works) / (time.perf_counter() - start))
    return statistics.median(found)


def micros(calls: int, do: Callable[[], object]) -> float:
    """Return microseconds of processor time for each of the calls that `do` makes: the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        do()
        found.append((time.thread_time() - start) / calls * 1e6)
    return statistics.median(found)


def steps(there: House, sealed: Sequence[bytes], works: Sequence[Work], keys: Keys) -> dict[str, float]:
    """Return what each pure step costs one message, one leg or one token, in microseconds."""
    world, now, dice, count = there.holder.current, there.clock.now(), SystemDice(), len(sealed)
    context, schemas = world.context, world.grounds.schemas
    opened = [tokens.unwrap(each, keys.decryption, typ=tokens.EVENT, encrypted="required") for each in sealed]
    accepted = [_accepted(there, each) for each in sealed]
    messages = [each.message for each in accepted]
    rules = RuleContext(
        reference=context.reference, tables=context.tables, sender=context.directory.by_id(PartnerId(SENDER)),
        environment=context.environment, now=now,
    )  # fmt: skip
    decisions = [_decided(there, each) for each in accepted]
    legs = [(message, leg) for message, decision in zip(messages, decisions, strict=True) for leg in decision.legs]
    requests = [work.request for work in works]
    documents = [(partner, claims) for work in works for partner, claims in work.documents]
    signed = [(partner, tokens.sign(claims, keys.document, typ=tokens.EVENT)) for partner, claims in documents]
    return {
        "request token: open and verify": micros(count, lambda: [_verified_request(each, keys) for each in requests]),
        "open (split, decrypt, header)": micros(
            count, lambda: [tokens.unwrap(each, keys.decryption, typ=tokens.EVENT, encrypted="required") for each in sealed]
        ),
        "verify, and read the claims": micros(count, lambda: [tokens.verify(each, keys.submit) for each in opened]),
        "schema and codes": micros(count, lambda: [schemas.check(m.family, m.event, on=m.iat.date()) for m in messages]),
        "rules": micros(count, lambda: [check_all(m, rules) for m in messages]),
        "decide, all recipients": micros(
            count, lambda: [decide(a, NO_FACTS, grounds=world.grounds, now=now, new_id=lambda: dice.uuid7(now)) for a in accepted]
        ),
        "a leg: minimise, render": micros(
            len(legs), lambda: [_claims(there, message, leg.partner, leg.groups, leg.removed) for message, leg in legs]
        ),
        "a receipt: sign": micros(count, lambda: [tokens.sign(w.receipt, keys.receipt, typ=tokens.RECEIPT) for w in works]),
        "a leg: sign": micros(len(documents), lambda: [tokens.sign(c, keys.document, typ=tokens.EVENT) for _, c in documents]),
        "a leg: encrypt": micros(len(signed), lambda: [tokens.encrypt(jws, keys.partners[partner]) for partner, jws in signed]),
    }


def run(there: House, count: int) -> dict[str, Any]:
    """Measure the bare cryptography, and each pure step."""
    sealed, keys = tokens_of(there, count), keys_of(there)
    works = [work_of(there, each) for each in sealed]
    return {
        "messages": count,
        "bytes_sealed": statistics.mean(map(len, sealed)),
        "one_core": rate(works, keys, 1),
        "two_threads": rate(works, keys, 2),
        "processor_ms": micros(count, lambda: all_of(works, keys)) / 1e3,
        "primitives": 1e6 / micros(count, lambda: primitives_of(count, len(sealed[0]) * 9 // 16)),
        "steps_us": steps(there, sealed, works, keys),
    }


def _verified_request(raw: bytes, keys: Keys) -> object:
    return tokens.verify(tokens.unwrap(raw, {}, typ=tokens.REQUEST, encrypted="allowed"), keys.request)
