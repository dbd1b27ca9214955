"""P8. What is unknown (key, algorithm, version, fact, policy error) is refused or held, never passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.values import Family, PartnerId
from gateway.core import jose, strict_json, tokens
from gateway.core.admission import Accepted, admit
from gateway.core.decided import HoldReason
from gateway.core.decision import decide
from gateway.core.delivery import State
from gateway.core.facts import Facts
from gateway.core.keys import SigningKey, Use
from gateway.core.problems import Code
from gateway.testing.clock import FakeClock
from tests.house import GATEWAY, GATEWAY_USES, PARTNER_USES, SHIPPED, House, Keys, house
from tests.notices import notice, policies

REGISTER, FR = PartnerId("gb-register"), PartnerId("fr-police")


def claims_of(signed: bytes) -> Mapping[str, Any]:
    return strict_json.parse_object(jose.b64decode(signed.split(b".")[1]))


def resigned(h: House, signed: bytes, key: SigningKey) -> bytes:
    return h.encrypt(tokens.sign(claims_of(signed), key, typ=tokens.EVENT))


def unknown_key(h: House, signed: bytes) -> bytes:
    return resigned(h, signed, Keys.of(REGISTER, h.clock, [Use.SUBMIT]).signing(Use.SUBMIT))


def known_id_of_another_key(h: House, signed: bytes) -> bytes:
    other = Keys.of(REGISTER, h.clock, [Use.SUBMIT]).signing(Use.SUBMIT)
    return resigned(h, signed, replace(other, kid=h.keys[REGISTER].signing(Use.SUBMIT).kid))


def another_partner_s_key(h: House, signed: bytes) -> bytes:
    return resigned(h, signed, h.keys[FR].signing(Use.SUBMIT))


def header(**changes: str) -> Callable[[House, bytes], bytes]:
    def change(h: House, signed: bytes) -> bytes:
        head, body, signature = signed.split(b".")
        said = {**strict_json.parse_object(jose.b64decode(head)), **changes}
        return h.encrypt(b".".join([jose.b64encode(strict_json.canonical(said)), body, signature]))

    return change


def not_encrypted(h: House, signed: bytes) -> bytes:
    return signed


def encrypted_to_another(h: House, signed: bytes) -> bytes:
    return tokens.encrypt(signed, h.keys[FR].pairs[Use.ENCRYPT].entry)  # type: ignore[arg-type]  # an ENCRYPT entry


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(unknown_key, id="unknown-key"),
        pytest.param(known_id_of_another_key, id="known-id-of-another-key"),
        pytest.param(another_partner_s_key, id="another-partners-key"),
        pytest.param(header(alg="none"), id="alg-none"),
        pytest.param(header(alg="HS256"), id="alg-hmac"),
        pytest.param(header(alg="ES384"), id="alg-unknown"),
        pytest.param(header(typ="gw-receipt+jwt"), id="typ-of-another-kind"),
        pytest.param(header(crit="exp"), id="header-unknown"),
        pytest.param(not_encrypted, id="not-encrypted"),
        pytest.param(encrypted_to_another, id="encrypted-to-another"),
    ],
)
async def test_p8_an_unknown_key_or_algorithm_is_refused(tmp_path: Path, change: Callable[[House, bytes], bytes]) -> None:
    async with house(tmp_path) as h:
        signed = h.token(notice("FR"), plain=True, jti=(jti := h.dice.uuid7(h.clock.now())))
        outcome = await h.send_token(change(h, signed))
        assert outcome.receipt is None
        assert outcome.rejection is None  # nobody we know signed it: counted, and answered without our signature
        assert {p.code for p in outcome.problems} <= {Code.UNTRUSTED, Code.NOT_A_TOKEN}
        assert await h.legs(jti) == {}
        assert (await h.send_token(h.encrypt(signed))).receipt is not None  # the unchanged one was right


async def test_p8_a_revoked_key_is_refused_even_for_a_repeat(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        signed = h.token(notice("FR"), plain=True)
        assert (await h.send_token(h.encrypt(signed))).receipt is not None
    pairs = dict(h.keys[REGISTER].pairs)
    pairs[Use.SUBMIT] = replace(pairs[Use.SUBMIT], entry=replace(pairs[Use.SUBMIT].entry, revoked_at=h.clock.now()))
    async with house(tmp_path, keys={**h.keys, REGISTER: Keys(pairs)}, seed=2) as after:
        outcome = await after.send_token(after.encrypt(signed))
        assert [p.code for p in outcome.problems] == [Code.UNTRUSTED]


async def test_p8_a_key_without_a_profile_is_refused(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = {id_: Keys.of(id_, clock, PARTNER_USES) for id_ in [*SHIPPED, PartnerId("zz-register")]}
    async with house(tmp_path, clock=clock, keys={**keys, GATEWAY: Keys.of(GATEWAY, clock, GATEWAY_USES)}) as h:
        outcome = await h.send(notice("FR"), sender="zz-register")
        assert [p.code for p in outcome.problems] == [Code.UNTRUSTED]


@pytest.mark.parametrize(
    "family",
    [
        Family("travel-notification", "2.0"),
        Family("travel-notification", "1.1"),
        Family("holiday-wishes", "1.0"),
        Family("supervision-transfer", "1.0"),
    ],
    ids=lambda f: f"{f.name}-{f.version}",
)
async def test_p8_an_unknown_family_or_version_is_refused(tmp_path: Path, family: Family) -> None:
    async with house(tmp_path) as h:
        outcome = await h.send(notice("FR"), family=family)
        assert {p.code for p in outcome.problems} <= {Code.FAMILY_UNKNOWN, Code.NOT_ALLOWED}
        assert outcome.receipt is None


ERRS = '@id("errs") forbid (principal, action == Action::"%s", resource) when { 9223372036854775807 + 1 > 0 };'


@pytest.mark.parametrize("action", ["send", "send_unreviewed", "see_identity", "see_risk"])
async def test_p8_a_policy_that_cannot_be_evaluated_holds(tmp_path: Path, action: str) -> None:
    async with house(tmp_path, policies=policies(ERRS % action)) as h:
        jti = await h.submit(notice("FR", "NL"))
        for _ in range(3):
            await h.run_until_idle()
            h.clock.advance(seconds=3600)
        legs = (await h.legs(jti)).values()
        assert {(leg.partner, leg.state, leg.hold_reason) for leg in legs} == {
            (FR, State.HELD, "POLICY_ERROR"), ("nl-border", State.HELD, "POLICY_ERROR")
        }  # fmt: skip
        assert not h.partners[FR].attempts


async def test_p8_a_policy_that_errs_only_when_it_is_asked_again_holds_too(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        world = h.holder.current
        h.holder.current = replace(world, grounds=replace(world.grounds, policies=policies(ERRS % "send")))
        await h.run_until_idle()
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.hold_reason) == (State.HELD, "POLICY_ERROR")
        assert not h.partners[FR].attempts


async def test_p8_a_fact_that_could_not_be_read_holds_every_leg(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        world, now = h.holder.current, h.clock.now()
        accepted = admit(h.token(notice("FR", "NL")), channel=REGISTER, ctx=world.context, now=now)
        assert isinstance(accepted, Accepted)
        decision = decide(accepted, Facts(unread=("orders",)), grounds=world.grounds, now=now, new_id=lambda: h.dice.uuid7(now))
        assert [(leg.hold, leg.hold_because) for leg in decision.legs] == [(HoldReason.FACT_UNREAD, ("orders",))] * 2
