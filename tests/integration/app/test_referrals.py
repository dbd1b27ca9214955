"""R-REF-02 along the whole way: decided, changed while it waits, released by a person; under policies that permit everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Family
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.testing.messages import replaced
from tests.house import House, house
from tests.notices import answer_to, policies
from tests.promises.test_referrals_live_apart import EXAMPLES, POLICE, PROVIDER, REF, profiles, referral
from tests.unit.core.test_policy import ERRS, KINDS, PROVIDERS, WIDE

NAMED = [{"partner": PROVIDER, "role": "NAMED"}]


def becomes(h: House, kind: str) -> None:
    """The provider's profile says that it is something else, as after a reload."""
    world = h.holder.current
    directory = Directory([replace(p, kind=kind) if p.id == PROVIDER else p for p in world.directory])
    h.holder.current = replace(
        world, grounds=replace(world.grounds, directory=directory), context=replace(world.context, directory=directory)
    )


@pytest.mark.parametrize("text", [pytest.param(WIDE, id="everything-permitted"), pytest.param(WIDE + ERRS, id="and-a-policy-that-errs")])
async def test_a_referral_named_to_everybody_reaches_providers_alone(tmp_path: Path, text: str) -> None:
    known = profiles()
    takes = known[PROVIDER].receives
    everybody = {id_: replace(p, receives=takes, delivery=p.delivery or known[POLICE].delivery) for id_, p in known.items()}
    to = [{"partner": id_, "role": "NAMED"} for id_ in everybody if id_ != "gb-register"]
    providers = {id_ for id_, p in everybody.items() if p.kind in PROVIDERS}
    event = replaced(referral("PSEUDONYM", "p-000001"), "/routing/recipients", to)
    async with house(tmp_path, profiles=everybody, policies=policies(text, without=["referral.cedar"])) as h:
        jti = await h.submit(event, family=REF)
        legs, refusals = await h.legs(jti), await h.refusals(jti)
        assert PROVIDER in set(legs) <= providers
        assert {entry["partner"] for entry in to} - providers <= {r.partner for r in refusals}
        assert ("R-REF-02",) in {r.because for r in refusals if r.reason == "POLICY"}
        await h.run_until_idle()
        assert {id_ for id_, partner in h.partners.items() if any(got.family == REF.name for got in partner.attempts)} <= providers


@pytest.mark.parametrize("kind", sorted(KINDS - PROVIDERS))
async def test_a_partner_that_is_no_provider_any_more_is_not_sent_what_waits_for_it(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        jti = await h.submit(referral("PSEUDONYM", "p-000001"), family=REF)
        becomes(h, kind)
        await h.run_until_idle()
        leg = (await h.legs(jti))[PROVIDER]
        assert (leg.state, leg.reason) == (State.REFUSED, "POLICY")
        assert h.partners[PROVIDER].attempts == []


async def test_nor_again_what_it_was_sent_once(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        h.partners[PROVIDER].answers = [Reply(Outcome.FAILED, "HTTP_503"), Reply(Outcome.DELIVERED)]
        jti = await h.submit(referral("PSEUDONYM", "p-000001"), family=REF)
        await h.run_until_idle()
        becomes(h, "POLICE")
        h.clock.advance(seconds=600)
        await h.run_until_idle()
        leg = (await h.legs(jti))[PROVIDER]
        assert (leg.state, leg.hold_reason) == (State.HELD, "POLICY_CHANGED")
        assert len(h.partners[PROVIDER].attempts) == 1


async def test_an_anonymous_referral_is_acknowledged_without_any_reference(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        jti = await h.submit(replaced(EXAMPLES["ANONYMOUS"], "/routing/recipients", NAMED), family=REF)
        await h.run_until_idle()
        (got,) = [one for one in h.partners[PROVIDER].received.values() if one.event["body"].get("identity_mode") == "ANONYMOUS"]
        assert "ref" not in got.event["subject"]
        answer = answer_to(got, stage="RECEIVED")
        assert "ref" not in answer["subject"]
        await h.submit(answer, sender=PROVIDER, family=Family("acknowledgement", "1.0"))
        await h.run_until_idle()
        assert (await h.legs(jti))[PROVIDER].state is State.RECEIPTED
        heard = await h.poll_all("gb-register")
        assert {one.event["body"]["stage"] for one in heard} == {"DELIVERED", "RECEIVED", "RECEIPTED"}
        assert not any("ref" in one.event["subject"] for one in heard)
