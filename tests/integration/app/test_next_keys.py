"""A partner's next key: submitted, approved, believed, revoked; and everything an attacker may try on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.configured import digests_of
from gateway.app.drill import Drill
from gateway.app.ports import Answer, Question
from gateway.app.trust import Trust
from gateway.app.world import Holder
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jose, jwks, limits, tokens
from gateway.core.delivery import State
from gateway.core.keyring import Keyring, NoEncryptionKeyError
from gateway.core.keys import EncryptionKey, SigningKey, Use, VerifyKey
from gateway.core.next_key import next_key_claims
from gateway.keystores.generate import Pair, Plan, new_pair
from gateway.ops.telemetry import Telemetry
from gateway.stores.open import migrate
from tests.desk import Desk, desk
from tests.house import GATEWAY, ROOT, SHIPPED, House, Keys, with_delivery
from tests.notices import notice

GB, FR = PartnerId("gb-register"), PartnerId("fr-police")
PUSHED = {**SHIPPED, FR: with_delivery(SHIPPED[FR], transport="https_push")}


@dataclass
class Sender:
    """A partner that changes its keys."""

    house: House
    id: PartnerId = GB

    def pair(self, use: Use = Use.SUBMIT, **change: Any) -> Pair:
        """Make a key pair; `change` replaces what its public half says."""
        made = new_pair(Plan(owner=self.id, now=self.house.clock.now(), dev=True), use)
        return replace(made, entry=replace(made.entry, **change))

    def current(self, use: Use = Use.SUBMIT) -> tuple[SigningKey, VerifyKey]:
        keys = self.house.keys[self.id]
        entry = keys.pairs[use].entry
        assert isinstance(entry, VerifyKey)
        return keys.signing(use), entry

    def claims(self, pair: Pair, **change: Any) -> dict[str, Any]:
        """Return the claims of a token; one set to ... is left out."""
        assert isinstance(pair.entry, VerifyKey | EncryptionKey)
        now, h = self.house.clock.now(), self.house
        claims = next_key_claims(pair.entry, signing(pair), by=self.current()[1], aud=GATEWAY, jti=h.dice.uuid7(now), now=now)
        return {name: value for name, value in {**claims, **change}.items() if value is not ...}

    def token(self, pair: Pair, *, key: SigningKey | None = None, typ: str = tokens.KEY, **change: Any) -> bytes:
        return tokens.sign(self.claims(pair, **change), key or self.current()[0], typ=typ)

    async def send(self, token: bytes, *, who: str | None = None) -> Answer:
        return await self.house.ask("key", "/v1/keys", who=who or self.id, method="POST", body=token)

    async def submit(self, pair: Pair) -> dict[str, Any]:
        answer = await self.send(self.token(pair))
        assert answer.outcome in {"accepted", "repeated"}, answer.body
        found: dict[str, Any] = json.loads(answer.body)
        return found


def signing(pair: Pair) -> SigningKey | None:
    return None if pair.entry.use is Use.ENCRYPT else SigningKey(kid=pair.entry.kid, use=pair.entry.use, private=pair.private)


async def approved(d: Desk, pair: Pair, sender: Sender | None = None) -> None:
    """Submit, approve, put in force."""
    sender = sender or Sender(d.house)
    told = await sender.submit(pair)
    await d.do("partner-key-approve", who="admin", partner=sender.id, kid=pair.entry.kid, thumbprint=told["thumbprint"])
    await d.house.trust.run_once()


async def sent_with(h: House, key: SigningKey) -> Any:
    """Send a message signed by `key`; return the outcome."""
    claims = {**_claims_of(h)}
    return await h.send_token(h.encrypt(tokens.sign(claims, key, typ=tokens.EVENT)))


def _claims_of(h: House) -> dict[str, Any]:
    token = tokens.unwrap(h.token(notice("FR"), plain=True), {}, typ=tokens.EVENT, encrypted="allowed")
    found: dict[str, Any] = json.loads(token.payload)
    return found


async def test_a_key_is_submitted_approved_and_believed_while_the_old_one_still_is(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner, pair = Sender(d.house), Sender(d.house).pair()
        told = await partner.submit(pair)
        assert told == {"kid": pair.entry.kid, "use": "submit", "thumbprint": jwks.thumbprint(pair.entry), "state": "pending"}
        new, (old, _) = signing(pair), partner.current()
        assert new is not None
        assert (await sent_with(d.house, new)).receipt is None
        (row,) = (await d.do("partner-keys", who="auditor"))["keys"]
        assert (row["kid"], row["state"], row["thumbprint"], row["signer"]) == (pair.entry.kid, "pending", None, old.kid)
        done = await d.do("partner-key-approve", who="admin", partner=GB, kid=pair.entry.kid, thumbprint=told["thumbprint"])
        assert done == {"partner": GB, "kid": pair.entry.kid, "state": "approved"}
        await d.house.trust.run_once()
        assert (await sent_with(d.house, new)).receipt is not None
        assert (await sent_with(d.house, old)).receipt is not None
        assert (await partner.submit(pair))["state"] == "approved"


async def test_each_step_is_evidence_once_however_many_inners_look(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        pair = Sender(d.house).pair()
        await approved(d, pair)
        other = Trust(d.house.store, d.house.holder, telemetry=Telemetry(d.house.metrics))
        for _ in range(2):
            await other.run_once()
            await d.house.trust.run_once()
        await d.do("partner-key-revoke", who="admin", partner=GB, kid=pair.entry.kid)
        await other.run_once()
        steps = [(entry["state"], entry["key"], entry["signer"]) for entry in await d.entries("partner-key")]
        signer = Sender(d.house).current()[0].kid
        assert steps == [(state, pair.entry.kid, signer) for state in ("pending", "approved", "revoked")]
        changes = [entry for entry in await d.entries("config") if entry["name"] == f"{GB}.{pair.entry.kid}"]
        assert [("previous" in change and change["previous"], change["digest"]) for change in changes] == [
            (None, changes[0]["digest"]),
            (changes[0]["digest"], digests_of(d.house.holder.current)["key", f"{GB}.{pair.entry.kid}"]),
        ]
        assert [entry["command"] for entry in await d.entries("command")] == ["partner-key-approve", "partner-key-revoke"]


async def test_a_reload_keeps_submitted_keys_and_tells_nothing_of_them(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, pair = d.house, Sender(d.house).pair()
        files = h.holder.current
        await approved(d, pair)
        before = len(await d.entries("config"))
        await h.trust.put(files, at=h.clock.now())
        assert len(await d.entries("config")) == before
        key = signing(pair)
        assert key is not None
        assert (await sent_with(h, key)).receipt is not None
        removed = Keyring(entry for entry in files.context.keyring.entries if entry.owner != GB)
        await h.trust.put(replace(files, context=replace(files.context, keyring=removed)), at=h.clock.now())
        assert not [entry for entry in h.holder.current.context.keyring.entries if entry.owner == GB], "who takes the file away ends it all"


async def test_a_revoked_key_is_not_believed_from_the_next_look_on(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        pair = Sender(d.house).pair()
        await approved(d, pair)
        await d.do("partner-key-revoke", who="admin", partner=GB, kid=pair.entry.kid)
        await d.house.trust.run_once()
        key = signing(pair)
        assert key is not None
        outcome = await sent_with(d.house, key)
        assert [problem.code for problem in outcome.problems] == ["untrusted"]
        again = await d.do("partner-key-revoke", who="admin", partner=GB, kid=pair.entry.kid)
        assert again["state"] == "revoked"
        assert (await Sender(d.house).submit(pair))["state"] == "revoked"


async def test_a_request_key_and_an_encryption_key_are_used_and_a_revoked_one_leaves_its_legs_waiting(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, partner = d.house, Sender(d.house, FR)
        request, encrypt = partner.pair(Use.REQUEST), partner.pair(Use.ENCRYPT)
        for pair in (request, encrypt):
            await approved(d, pair, partner)
        mine = h.keys[FR].pairs
        h.keys[FR].pairs = {**mine, Use.REQUEST: request, Use.ENCRYPT: encrypt}
        assert (await h.ask("poll", "/v1/poll", who=FR, method="POST", body=b"{}")).outcome == "ok"
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED  # it opened what came with its new key
        await d.do("partner-key-revoke", who="admin", partner=FR, kid=encrypt.entry.kid)
        await h.trust.run_once()
        h.keys[FR].pairs = mine
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED, "encrypted to its other valid key"


async def test_a_key_is_known_after_a_restart_and_in_another_inner(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        pair = Sender(d.house).pair()
        await approved(d, pair)
        clock, keys = d.house.clock, d.house.keys
    async with desk(tmp_path, profiles=PUSHED, clock=clock, keys=keys, seed=2) as d:
        key = signing(pair)
        assert key is not None
        assert (await sent_with(d.house, key)).receipt is None
        await d.house.trust.run_once()
        assert (await sent_with(d.house, key)).receipt is not None


async def test_a_lost_answer_is_asked_for_again_and_changes_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pair = partner.pair()
        token = partner.token(pair)
        assert [(await partner.send(token)).outcome for _ in range(2)] == ["accepted", "repeated"]
        assert (await partner.send(partner.token(pair))).outcome == "repeated"
        assert len(await d.entries("partner-key")) == 1


Attack = Callable[[Sender, Pair], bytes]


def _other_proof(partner: Sender, pair: Pair) -> bytes:
    other = partner.pair(kid=pair.entry.kid)
    return partner.token(pair, proof=partner.claims(other)["proof"])


def _proof(partner: Sender, pair: Pair, **change: Any) -> bytes:
    """Change the proof's claims and sign it again."""
    claims = partner.claims(pair)
    inner = json.loads(jose.b64decode(claims["proof"].split(".")[1].encode()))
    key = signing(pair)
    assert key is not None
    return partner.token(pair, **{**claims, "proof": tokens.sign({**inner, **change}, key, typ=tokens.KEY_PROOF).decode()})


def _header(token: bytes, **change: Any) -> bytes:
    head, _, rest = token.partition(b".")
    return jose.b64encode(json.dumps({**json.loads(jose.b64decode(head)), **change}).encode()) + b"." + rest


def _hs256(partner: Sender, pair: Pair) -> bytes:
    return _header(partner.token(pair), alg="HS256")


def _of(partner: Sender, other: str) -> SigningKey:
    return partner.house.keys[PartnerId(other)].signing(Use.SUBMIT)


def _of_operator(partner: Sender, pair: Pair) -> bytes:
    return partner.token(pair, key=replace(Keys.of("admin", partner.house.clock, (Use.COMMAND,)).signing(Use.COMMAND), use=Use.SUBMIT))


UNTRUSTED: dict[str, Attack] = {
    "signed by another partner": lambda s, p: s.token(p, key=_of(s, FR)),
    "signed by another partner under our id": lambda s, p: s.token(p, key=replace(_of(s, FR), kid=s.current()[0].kid)),
    "signed by the next key itself": lambda s, p: s.token(p, key=replace(signing(p), kid=s.current()[0].kid)),  # type: ignore[type-var]
    "signed by the key of requests": lambda s, p: s.token(p, key=replace(s.current(Use.REQUEST)[0], use=Use.SUBMIT)),
    "signed by a stranger": _of_operator,
    "of another issuer": lambda s, p: s.token(p, iss=FR),
    "for another gateway": lambda s, p: s.token(p, aud="gw-other"),
    "too old": lambda s, p: s.token(p, iat=s.claims(p)["iat"] - 120, exp=s.claims(p)["iat"] - 60),
    "from the future": lambda s, p: s.token(p, iat=s.claims(p)["iat"] + 60, exp=s.claims(p)["iat"] + 120),
    "living too long": lambda s, p: s.token(p, exp=s.claims(p)["iat"] + 61),
    "without an end": lambda s, p: s.token(p, exp=...),
    "with a claim too many": lambda s, p: s.token(p, admin=True),
    "with no id of version 7": lambda s, p: s.token(p, jti="x"),
    "of another kind": lambda s, p: s.token(p, typ=tokens.EVENT),
    "with an algorithm of secrets": _hs256,
    "with no algorithm": lambda s, p: _header(s.token(p), alg="none"),
    "with the other algorithm": lambda s, p: _header(s.token(p), alg="Ed25519" if s.current()[0].alg == "ES256" else "ES256"),
    "with a key in its header": lambda s, p: _header(s.token(p), jwk=s.claims(p)["jwk"]),
    "with a path for an id": lambda s, p: _header(s.token(p), kid="../../etc/passwd"),
    "proved by another key": _other_proof,
    "proved for another key": lambda s, p: _proof(s, p, jkt=jwks.thumbprint(s.pair().entry)),
    "proved for another signer": lambda s, p: _proof(s, p, old_jkt=jwks.thumbprint(s.pair().entry)),
    "proved for another gateway": lambda s, p: _proof(s, p, aud="gw-other"),
    "proved by another partner": lambda s, p: _proof(s, p, iss=FR),
    "proved in another token": lambda s, p: _proof(s, p, jti=s.house.dice.uuid7(s.house.clock.now())),
    "proved at another time": lambda s, p: _proof(s, p, iat=s.claims(p)["iat"] - 1),
    "proved with more": lambda s, p: _proof(s, p, more=1),
    "proved by a message": lambda s, p: s.token(p, proof=s.house.token(notice("FR"), plain=True).decode()),
}


@pytest.mark.parametrize("attack", UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_what_the_partner_has_not_signed_for_us_and_now_is_not_trusted(tmp_path: Path, attack: Attack) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        answer = await partner.send(attack(partner, partner.pair()))
        assert (answer.outcome, answer.code) == ("problem", "untrusted"), answer.body
        assert (await d.do("partner-keys", who="auditor"))["keys"] == []


def _jwk(**change: Any) -> Attack:
    def token(partner: Sender, pair: Pair) -> bytes:
        jwk = {name: value for name, value in {**partner.claims(pair)["jwk"], **change}.items() if value is not ...}
        return partner.token(pair, jwk=jwk)

    return token


def _dated(use: Use = Use.SUBMIT, *, begins: float = 0, lasts: float = 400) -> Attack:
    def token(partner: Sender, _: Pair) -> bytes:
        begin = (partner.house.clock.now() + timedelta(days=begins)).replace(microsecond=0)
        return partner.token(partner.pair(use, valid_from=begin, valid_to=begin + timedelta(days=lasts)))

    return token


REFUSED: dict[str, tuple[Attack, str, str | None]] = {
    "a private key": (_jwk(d="c2VjcmV0"), "claim-invalid", "jwk.d"),
    "a secret": (_jwk(kty="oct", k="c2VjcmV0"), "claim-invalid", "jwk.kty"),
    "a member that is none": (_jwk(**{"\u202eevil": 1}), "claim-invalid", "jwk"),
    "an address of keys": (_jwk(jku="https://evil.invalid"), "claim-invalid", "jwk"),
    "an algorithm of another key": (_jwk(alg="ECDH-ES"), "claim-invalid", "jwk.alg"),
    "no algorithm": (_jwk(alg="none"), "claim-invalid", "jwk.alg"),
    "a point on no curve": (_jwk(x="AAAA"), "claim-invalid", "jwk.x"),
    "a use of ours": (_jwk(gw_use="document"), "claim-invalid", "jwk.gw_use"),
    "an operator's use": (_jwk(gw_use="command"), "claim-invalid", "jwk.gw_use"),
    "the root's use": (_jwk(gw_use="root"), "claim-invalid", "jwk.gw_use"),
    "no use": (_jwk(gw_use=...), "claim-invalid", "jwk.gw_use"),
    "revoked already": (_jwk(revoked_at="2026-11-21T00:00:00Z"), "claim-invalid", "jwk"),
    "with a predecessor": (_jwk(previous="x"), "claim-invalid", "jwk"),
    "a path for an id": (_jwk(kid="../x"), "claim-invalid", "jwk.kid"),
    "a folder for an id": (_jwk(kid=".."), "claim-invalid", "jwk.kid"),
    "a hidden file for an id": (_jwk(kid=".x"), "claim-invalid", "jwk.kid"),
    "an id of many letters": (_jwk(kid="a" * 65), "claim-invalid", "jwk.kid"),
    "no text for an id": (_jwk(kid=7), "claim-invalid", "jwk.kid"),
    "no object": (lambda s, p: s.token(p, jwk="x"), "claim-invalid", "jwk"),
    "two keys": (lambda s, p: s.token(p, jwk=[s.claims(p)["jwk"]] * 2), "claim-invalid", "jwk"),
    "no proof": (lambda s, p: s.token(p, proof=...), "claim-invalid", "proof"),
    "no text for a proof": (lambda s, p: s.token(p, proof=7), "claim-invalid", "proof"),
    "a proof of a key that proves nothing": (
        lambda s, p: s.token(s.pair(Use.ENCRYPT), proof=s.claims(p)["proof"]), "claim-invalid", "proof",
    ),
    "long ago": (_dated(begins=-1.1), "claim-invalid", "jwk.valid_from"),
    "far ahead": (_dated(begins=limits.KEY_AHEAD_DAYS_MAX + 1), "claim-invalid", "jwk.valid_from"),
    "over already": (_dated(begins=-0.9, lasts=0.5), "claim-invalid", "jwk.valid_to"),
    "for ever": (_dated(lasts=limits.KEY_DAYS_MAX + 1), "claim-invalid", "jwk.valid_to"),
    "backwards": (_jwk(valid_to="2020-01-01T00:00:00Z"), "claim-invalid", "jwk.valid_to"),
    "our id": (lambda s, _: s.token(s.pair(kid=s.current()[0].kid)), "conflict", "jwk"),
    "another partner's id": (lambda s, _: s.token(s.pair(kid=_of(s, FR).kid)), "conflict", "jwk"),
    "our own key again": (
        lambda s, _: s.token(replace(s.house.keys[GB].pairs[Use.SUBMIT], entry=replace(s.current()[1], kid=KeyId("again")))), "conflict", "jwk",
    ),
    "another partner's key to encrypt to": (
        lambda s, _: s.token(s.pair(Use.ENCRYPT, public=s.house.keys[FR].pairs[Use.ENCRYPT].entry.public)),  # type: ignore[attr-defined]
        "conflict", "jwk",
    ),
    "too large": (lambda s, p: s.token(p, jwk="x" * limits.KEY_TOKEN_BYTES_MAX), "message-too-large", None),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "code", "claim"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_key_that_may_not_be_taken_is_refused_and_the_fault_is_named(
    tmp_path: Path, attack: Attack, code: str, claim: str | None
) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        answer = await partner.send(attack(partner, partner.pair()))
        (problem,) = json.loads(answer.body)["problems"]
        assert (answer.code, problem["claim"]) == (code, claim), answer.body
        assert "evil" not in answer.body.decode()
        assert (await d.do("partner-keys", who="auditor"))["keys"] == []
        assert await d.entries("partner-key") == []


async def test_a_token_is_of_who_asks_and_is_not_passed_on(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        token = partner.token(partner.pair())
        assert (await partner.send(token, who=FR)).code == "untrusted"


async def test_a_request_is_used_once_and_a_key_needs_one(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        token = Sender(d.house).token(Sender(d.house).pair())
        for mtls in (None, GB):
            answer = await d.house.requests.answer(Question(kind="key", method="POST", path="/v1/keys", body=token, mtls=mtls))
            assert answer.code == "untrusted"


async def test_a_use_that_the_partner_has_no_key_of_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        world = h.holder.current
        rest = Keyring(e for e in world.context.keyring.entries if (e.owner, e.use) != (GB, Use.ENCRYPT))
        h.holder.current = replace(world, context=replace(world.context, keyring=rest))
        partner = Sender(h)
        answer = await partner.send(partner.token(partner.pair(Use.ENCRYPT)))
        assert json.loads(answer.body)["problems"][0]["claim"] == "jwk.gw_use"


@pytest.mark.parametrize("change", [{"revoked_at": True}, {"valid_to": True}], ids=["revoked", "ended"])
async def test_a_signer_that_is_not_good_now_signs_for_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner, h = Sender(d.house), d.house
        change_file(h, GB, partner.current()[0].kid, **dict.fromkeys(change, h.clock.now()))
        assert (await partner.send(partner.token(partner.pair()))).code == "untrusted"


def change_file(h: House, owner: PartnerId, kid: str, **change: Any) -> None:
    """Change a key as its file says it."""
    world = h.holder.current
    changed = Keyring(replace(e, **change) if (e.owner, e.kid) == (owner, kid) else e for e in world.context.keyring.entries)
    h.holder.current = replace(world, context=replace(world.context, keyring=changed))


async def test_only_so_many_keys_wait_and_those_of_others_do_not_count(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pairs = [partner.pair() for _ in range(limits.KEYS_PENDING_COUNT_MAX + 1)]
        for pair in pairs[:-1]:
            await partner.submit(pair)
        assert (await partner.send(partner.token(pairs[-1]))).code == "conflict"
        assert (await Sender(d.house, FR).submit(Sender(d.house, FR).pair()))["state"] == "pending"
        assert (await partner.submit(pairs[0]))["state"] == "pending"
        await d.do("partner-key-refuse", who="admin", partner=GB, kid=pairs[0].entry.kid)
        assert (await partner.submit(pairs[-1]))["state"] == "pending"


async def test_an_id_of_a_waiting_key_is_not_taken_by_another(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner, other = Sender(d.house), Sender(d.house, FR)
        pair = partner.pair()
        await partner.submit(pair)
        for thief in (partner, other):
            answer = await thief.send(thief.token(thief.pair(kid=pair.entry.kid)))
            assert answer.code == "conflict"


async def asked(d: Desk, command: str, pair: Pair, *, who: str = "admin", partner: str = GB, **more: Any) -> Answer:
    return await d.ask(f"partner-key-{command}", who=who, partner=partner, kid=pair.entry.kid, **more)


async def test_an_operator_approves_only_what_the_partner_said_over_another_channel(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pair = partner.pair()
        right = (await partner.submit(pair))["thumbprint"]
        wrong = jwks.thumbprint(partner.pair().entry)
        for more in ({"thumbprint": wrong}, {"thumbprint": ""}, {"thumbprint": right[:-1]}, {"thumbprint": right + "A"}, {}):
            assert (await asked(d, "approve", pair, **more)).outcome == "problem"
        for who in ("officer", "reviewer", "dpo", "auditor"):
            for command, more in (("approve", {"thumbprint": right}), ("refuse", {}), ("revoke", {})):
                assert (await asked(d, command, pair, who=who, **more)).code == "not-allowed"
        assert (await asked(d, "approve", pair, partner=FR, thumbprint=right)).outcome == "problem"
        assert (await asked(d, "revoke", pair)).outcome == "problem"
        assert [row["state"] for row in (await d.do("partner-keys", who="dpo"))["keys"]] == ["pending"]
        assert (await asked(d, "approve", pair, thumbprint=right)).outcome == "ok"
        assert (await asked(d, "approve", pair, thumbprint=right)).outcome == "ok"  # asked again, as nobody heard
        assert (await asked(d, "refuse", pair)).outcome == "problem"
        assert [entry["state"] for entry in await d.entries("partner-key")] == ["pending", "approved"]


async def test_a_refused_key_stays_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pair = partner.pair()
        thumbprint = (await partner.submit(pair))["thumbprint"]
        for _ in range(2):
            assert (await asked(d, "refuse", pair)).outcome == "ok"
        assert (await asked(d, "approve", pair, thumbprint=thumbprint)).outcome == "problem"
        await d.house.trust.run_once()
        key = signing(pair)
        assert key is not None
        assert (await sent_with(d.house, key)).receipt is None


async def test_what_a_key_signed_for_that_was_revoked_since_is_not_approved(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pair = partner.pair()
        thumbprint = (await partner.submit(pair))["thumbprint"]
        change_file(d.house, GB, partner.current()[0].kid, revoked_at=d.house.clock.now())
        answer = await asked(d, "approve", pair, thumbprint=thumbprint)
        assert "not believed any more" in answer.body.decode()


async def test_a_key_that_ended_while_it_waited_is_not_approved(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        pair = partner.pair(valid_to=d.house.clock.now() + timedelta(hours=1))
        thumbprint = (await partner.submit(pair))["thumbprint"]
        d.house.clock.advance(seconds=3600)
        assert "has ended" in (await asked(d, "approve", pair, thumbprint=thumbprint)).body.decode()


async def test_a_key_in_a_file_and_in_rows_is_one_and_what_either_revokes_is_revoked(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, pair = d.house, Sender(d.house).pair()
        files = h.holder.current
        await approved(d, pair)
        both = replace(files, context=replace(files.context, keyring=Keyring((*files.context.keyring.entries, pair.entry))))
        await h.trust.put(both, at=h.clock.now())
        assert entry_of(h, pair).revoked_at is None
        await d.do("partner-key-revoke", who="admin", partner=GB, kid=pair.entry.kid)
        await h.trust.run_once()
        assert entry_of(h, pair).revoked_at is not None


async def test_another_key_of_the_same_id_in_a_file_is_the_one_believed(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, partner = d.house, Sender(d.house)
        pair = partner.pair()
        files = h.holder.current
        other = partner.pair(kid=pair.entry.kid)
        await approved(d, pair)
        both = replace(files, context=replace(files.context, keyring=Keyring((*files.context.keyring.entries, other.entry))))
        await h.trust.put(both, at=h.clock.now())
        assert jwks.thumbprint(entry_of(h, pair)) == jwks.thumbprint(other.entry)


def entry_of(h: House, pair: Pair) -> Any:
    (found,) = [e for e in h.holder.current.context.keyring.entries if e.kid == pair.entry.kid]
    return found


async def test_without_any_valid_key_to_encrypt_to_a_revoked_one_leaves_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, partner = d.house, Sender(d.house, FR)
        pair = partner.pair(Use.ENCRYPT)
        await approved(d, pair, partner)
        change = {"revoked_at": h.clock.now()}
        world = h.holder.current
        assert world.filed is not None
        old = h.keys[FR].pairs[Use.ENCRYPT].entry
        filed = Keyring(replace(e, **change) if (e.owner, e.kid) == (FR, old.kid) else e for e in world.filed.entries)
        await h.trust.put(replace(world, context=replace(world.context, keyring=filed), filed=None), at=h.clock.now())
        assert h.holder.current.context.keyring.encryption_key(FR, h.clock.now()).kid == pair.entry.kid
        await d.do("partner-key-revoke", who="admin", partner=FR, kid=pair.entry.kid)
        await h.trust.run_once()
        with pytest.raises(NoEncryptionKeyError):
            h.holder.current.context.keyring.encryption_key(FR, h.clock.now())


async def test_lists_are_of_a_partner_or_a_state_and_read_on_page_by_page(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        pairs = [Sender(d.house).pair(kid=KeyId(f"k{number}")) for number in range(3)]
        for pair in pairs:
            await Sender(d.house).submit(pair)
        await Sender(d.house, FR).submit(Sender(d.house, FR).pair(kid=KeyId("k9")))
        await d.do("partner-key-refuse", who="admin", partner=GB, kid="k1")

        async def listed(**asked: Any) -> list[str]:
            return [row["kid"] for row in (await d.do("partner-keys", who="auditor", **asked))["keys"]]

        assert await listed() == ["k0", "k1", "k2", "k9"]
        assert await listed(partner=GB, state="pending") == ["k0", "k2"]
        page = await d.do("partner-keys", who="auditor", limit=2)
        assert page["next"] == "k1"
        assert await listed(after="k1") == ["k2", "k9"]


async def test_the_example_of_the_documentation_makes_a_token_that_is_taken(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "partners.md").read_text(encoding="utf-8")
    (example,) = [block for block in page.split("```python\n")[1:] if "def next_key" in block]
    code: dict[str, Any] = {}
    exec(example.split("```")[0], code)  # noqa: S102 -- the page is ours
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner, h = Sender(d.house), d.house
        code["time"] = type("Clock", (), {"time": staticmethod(lambda: h.clock.now().timestamp())})
        pair, old = partner.pair(), h.keys[GB].pairs[Use.SUBMIT]
        jti = h.dice.uuid7(h.clock.now())
        token = code["next_key"](GB, GATEWAY, old.private, jwks.write_jwk(old.entry), pair.private, jwks.write_jwk(pair.entry), jti)
        answer = await partner.send(token.encode())
        assert (answer.outcome, json.loads(answer.body)["thumbprint"]) == ("accepted", code["thumbprint"](jwks.write_jwk(pair.entry)))


async def test_a_drill_lists_the_keys_that_a_stolen_one_signed_for(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, partner = d.house, Sender(d.house)
        pair = partner.pair()
        told = await partner.submit(pair)
        drill = Drill(h.store, h.inbox._sealer._safe, gateway=GATEWAY)
        found = [item async for item in drill.of_pair(partner.current()[1]) if item["what"] == "key"]
        assert [(item["kid"], item["thumbprint"], item["state"]) for item in found] == [(pair.entry.kid, told["thumbprint"], "pending")]
        assert [item async for item in drill.of_pair(Sender(h, FR).current()[1]) if item["what"] == "key"] == []


async def test_a_row_that_cannot_be_read_is_told_and_believed_of_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, partner = d.house, Sender(d.house)
        good = partner.pair()
        await approved(d, good)
        async with h.store.unit_of_work() as work:
            row = await work.key(good.entry.kid)
            assert row is not None
            await work.add_key(replace(row, kid=KeyId("broken"), jwk='{"kid":"broken"}'))
        await h.trust.run_once()
        mine = {e.kid for e in h.holder.current.context.keyring.entries if e.owner == GB}
        assert (good.entry.kid in mine, "broken" in mine) == (True, False)


async def test_two_inners_agree_whoever_took_the_command_and_a_reload_of_the_other_tells_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h, pair = d.house, Sender(d.house).pair()
        files = h.holder.current
        second = Holder(files)
        other = Trust(h.store, second, telemetry=Telemetry(h.metrics))
        told = await Sender(h).submit(pair)
        await d.do("partner-key-approve", who="admin", partner=GB, kid=pair.entry.kid, thumbprint=told["thumbprint"])
        await other.put(files, at=h.clock.now())  # a reload before its loop has looked
        await h.trust.put(files, at=h.clock.now())
        for holder in (second, h.holder):
            holder.current.context.keyring.find(GB, pair.entry.kid, use=Use.SUBMIT)
        assert len([entry for entry in await d.entries("config") if entry["name"] == f"{GB}.{pair.entry.kid}"]) == 1


@pytest.mark.services
async def test_on_postgresql_a_key_is_submitted_approved_believed_in_another_inner_and_revoked(tmp_path: Path, postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with desk(tmp_path, profiles=PUSHED, url=postgres_dsn) as d:
        h, partner = d.house, Sender(d.house)
        pair = partner.pair()
        key = signing(pair)
        assert key is not None
        async with desk(tmp_path, profiles=PUSHED, url=postgres_dsn, clock=h.clock, keys=h.keys, seed=2) as second:
            told = await partner.submit(pair)
            await second.do("partner-key-approve", who="admin", partner=GB, kid=pair.entry.kid, thumbprint=told["thumbprint"])
            await h.trust.run_once()
            assert (await sent_with(h, key)).receipt is not None
            await second.do("partner-key-revoke", who="admin", partner=GB, kid=pair.entry.kid)
            await h.trust.run_once()
            assert (await sent_with(h, key)).receipt is None
            assert [entry["state"] for entry in await second.entries("partner-key")] == ["pending", "approved", "revoked"]
            sent = [partner.send(partner.token(partner.pair())) for _ in range(2 * limits.KEYS_PENDING_COUNT_MAX)]
            outcomes = [answer.outcome for answer in await asyncio.gather(*sent)]
            assert outcomes.count("accepted") == limits.KEYS_PENDING_COUNT_MAX


async def test_two_submissions_of_a_partner_at_once_do_not_exceed_what_may_wait(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        partner = Sender(d.house)
        sent = [partner.send(partner.token(partner.pair())) for _ in range(2 * limits.KEYS_PENDING_COUNT_MAX)]
        outcomes = [answer.outcome for answer in await asyncio.gather(*sent)]
        assert outcomes.count("accepted") == limits.KEYS_PENDING_COUNT_MAX
        assert set(outcomes) == {"accepted", "problem"}
