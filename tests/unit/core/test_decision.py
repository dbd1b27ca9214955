"""The decision: every country and name ends in a leg or a refusal, with reasons; holds, lanes, expiry, alerts and replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Country, Environment, Family, Jti, Lane, LegId, PartnerId, Ref, Role, SubjectKey
from gateway.core.admission import Accepted
from gateway.core.decided import Decision, HoldReason, Reason
from gateway.core.decision import Grounds, decide
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.facts import NO_FACTS, Answered, Facts
from gateway.core.message import Message
from gateway.core.profiles import Profile
from gateway.testing.clock import START
from tests.house import REFERENCE, SCHEMAS, SHIPPED, TABLES, TRAVEL, with_delivery
from tests.notices import AIRPORTS, HELP, RESTRICTION, also, another, notice, policies

REGISTER, FR, NL, ES = PartnerId("gb-register"), PartnerId("fr-police"), PartnerId("nl-border"), PartnerId("es-police")
POLICIES: Final = policies()


def grounds(profiles: dict[PartnerId, Profile] | None = None, **changes: Any) -> Grounds:
    made = Grounds(
        environment=Environment.TEST, directory=Directory((profiles or SHIPPED).values()), policies=POLICIES, schemas=SCHEMAS,
        reference=REFERENCE, tables=TABLES, shows_conditions={"native": True}, digests={},
    )  # fmt: skip
    return replace(made, **changes)


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"id-{next(numbers)}"


def message(event: Any, *, iss: PartnerId = REGISTER, family: Family = TRAVEL) -> Message:
    return Message(
        iss=iss, jti=Jti("j"), digest="", aud=PartnerId("gw-test"), iat=START, toe=START, txn="", family=family, event=event
    )  # fmt: skip


def decided(event: Any, facts: Facts = NO_FACTS, *, on: Grounds | None = None, **how: Any) -> Decision:
    return decide(Accepted(message(event, **how), b"", ()), facts, grounds=on or grounds(), now=START, new_id=ids())


def test_each_country_is_a_leg_or_a_refusal_with_its_reason() -> None:
    decision = decided(notice("NL", "FR", "TH", routing__recipients=[HELP]))
    assert {(leg.partner, leg.country, leg.roles) for leg in decision.legs} == {
        (NL, "NL", (Role.TRANSIT,)), (FR, "FR", (Role.TRANSIT,))
    }  # fmt: skip
    assert {(r.partner, r.country, r.reason) for r in decision.refusals} == {
        ("help-line", "GB", Reason.POLICY), (None, "TH", Reason.NO_PARTNER)
    }  # fmt: skip
    assert all(refusal.because for refusal in decision.refusals)
    assert all(leg.because for leg in decision.legs)


def test_each_leg_has_ids_of_its_own() -> None:
    legs = decided(notice("NL", "FR", "ES")).legs
    assert len({leg.leg_id for leg in legs} | {leg.jti for leg in legs}) == 6


def test_the_same_question_has_the_same_answer() -> None:
    assert decided(notice("NL", "FR")) == decided(notice("NL", "FR"))


HOLDS = [
    pytest.param({"subject__is_minor": "YES"}, HoldReason.MINOR, id="a-minor"),
    pytest.param({"subject__is_minor": "UNKNOWN"}, HoldReason.MINOR, id="perhaps-a-minor"),
    pytest.param({"subject__status": "CONCERN"}, HoldReason.REVIEW, id="not-convicted"),
    pytest.param({}, None, id="nothing"),
]


@pytest.mark.parametrize(("change", "hold"), HOLDS)
def test_what_a_person_must_see_first_is_held(change: dict[str, Any], hold: HoldReason | None) -> None:
    (leg,) = decided(notice("FR", **change)).legs
    assert leg.hold is hold


def test_a_suspended_partner_s_leg_is_held_and_others_go() -> None:
    on = grounds(also(replace(SHIPPED[FR], suspended=True)))
    assert {leg.partner: leg.hold for leg in decided(notice("FR", "NL"), on=on).legs} == {FR: HoldReason.SUSPENDED, NL: None}


def test_an_unread_fact_outweighs_a_minor() -> None:
    (leg,) = decided(notice("FR", subject__is_minor="YES"), Facts(unread=("orders",))).legs
    assert (leg.hold, leg.hold_because) == (HoldReason.FACT_UNREAD, ("orders",))


REFUSED = [
    pytest.param({"handling__excluded_countries": ["FR"]}, {}, Reason.COUNTRY_EXCLUDED_BY_SENDER, id="the-message-bars-the-country"),
    pytest.param({}, {"excluded_countries": frozenset({Country("GB")})}, Reason.COUNTRY_EXCLUDED_BY_PROFILE, id="the-partner-bars-ours"),
    pytest.param({"handling__transfer_basis": {"code": "ADEQUACY", "citation": "x"}}, {"transfer_bases": frozenset({"SAFEGUARDS"})},
                 Reason.TRANSFER_BASIS, id="no-transfer-basis"),
    pytest.param({"handling__legal_basis": [{"jurisdiction": "DE", "code": "X", "citation": "x"}]}, {}, Reason.NO_LEGAL_BASIS, id="no-law"),
    pytest.param({}, {"environment": Environment.ACCEPTANCE}, Reason.ENVIRONMENT, id="another-environment"),
    pytest.param({"handling__retention__delete_by": "2026-11-20"}, {}, Reason.EXPIRED, id="past-its-end"),
    pytest.param({}, {"kind": "HEALTH"}, Reason.POLICY, id="a-policy-forbids"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "profile", "reason"), REFUSED)
def test_what_concerns_one_recipient_is_a_refusal_of_that_leg(event: dict[str, Any], profile: dict[str, Any], reason: Reason) -> None:
    on = grounds(also(replace(SHIPPED[FR], **profile)))
    decision = decided(notice("FR", **event), on=on)
    assert decision.legs == ()
    assert [(r.partner, r.country, r.reason) for r in decision.refusals] == [(FR, "FR", reason)]


def test_conditions_go_only_where_the_format_shows_them() -> None:
    event = notice("FR", handling__conditions=["Ask before use"])
    assert [leg.partner for leg in decided(event).legs] == [FR]
    refused = decided(event, on=grounds(shows_conditions={"native": False}))
    assert [(r.reason, r.because) for r in refused.refusals] == [(Reason.HANDLING, ("R-GEN-14",))]


def test_a_decision_not_to_transmit_goes_nowhere_and_says_so() -> None:
    decision = decided(notice("FR", body__decision_not_to_transmit={"reason": "MISTAKEN_IDENTITY"}))
    assert (decision.legs, decision.refusals) == ((), ())
    assert [notice_.rule for notice_ in decision.notices] == ["R-RTE-05"]


@pytest.mark.parametrize(
    ("basis", "asked", "lane"),
    [("DECLARED", "ROUTINE", Lane.ROUTINE), ("DETECTED", "ROUTINE", Lane.PRIORITY), ("ATTEMPTED", "IMMEDIATE", Lane.IMMEDIATE)],
)
def test_a_journey_that_others_noticed_is_in_a_faster_lane(basis: str, asked: str, lane: Lane) -> None:
    (leg,) = decided(notice("FR", body__notification_basis=basis, routing__priority=asked)).legs
    assert leg.lane is lane


def test_a_leg_ends_by_the_earliest_of_all_rules() -> None:
    on = grounds(also(with_delivery(replace(SHIPPED[FR], retention_days_max=30), expire_seconds=60)))
    (short,) = decided(notice("FR"), on=on).legs
    assert (short.expires_at, short.delete_by) == (START + timedelta(seconds=60), START + timedelta(days=30))
    (long,) = decided(notice("FR", handling__retention__delete_by="2026-11-22")).legs
    assert long.expires_at == long.delete_by == datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("restriction", "authority", "to"),
    [(RESTRICTION, "gb-police", ("gb-register", "gb-police")), (RESTRICTION, None, ("gb-register",)), ("NONE", "gb-police", None)],
)
def test_a_restriction_alerts_sender_and_authority(restriction: Any, authority: str | None, to: tuple[str, ...] | None) -> None:
    on = grounds(also(replace(SHIPPED[REGISTER], managing_authority=PartnerId(authority) if authority else None)))
    decision = decided(notice("FR", body__active_travel_restriction=restriction), on=on)
    assert [(alert.code, alert.to) for alert in decision.alerts] == ([] if to is None else [("TRAVEL_RESTRICTION", to)])
    assert [leg.partner for leg in decision.legs] == [FR]  # it never suppresses


def answered(family: str = "travel-notification") -> Facts:
    return Facts(Answered(
        leg_id=LegId("l"), jti=Jti("t"), partner=FR, message=Ref(REGISTER, Jti("m")), family=family, txn="", subject=SubjectKey("s"),
        state=State.DELIVERED,
    ))  # fmt: skip


ACK_EVENT = {
    **{part: notice("FR")[part] for part in ("handling", "routing", "subject")}, "body": {"stage": "RECEIVED"}
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "to"),
    [(answered(), [REGISTER]), (answered("acknowledgement"), []), (NO_FACTS, [])],
    ids=["reply", "reply-to-ours", "to-nothing"],
)
def test_an_acknowledgement_goes_to_the_sender_of_what_it_answers(facts: Facts, to: list[PartnerId]) -> None:
    decision = decided(ACK_EVENT, facts, iss=FR, family=Family("acknowledgement", "1.0"))
    assert [leg.partner for leg in decision.legs] == to
    assert all(leg.roles == (Role.REPLY,) for leg in decision.legs)
    assert decision.refusals == ()


def test_every_removed_group_names_the_policies_that_said_so() -> None:
    (leg,) = decided(notice("NL")).legs
    assert {removed.group for removed in leg.removed}.isdisjoint(leg.groups)
    assert all(removed.because for removed in leg.removed)


@settings(max_examples=60, deadline=None)
@given(
    to=st.lists(st.sampled_from([country for country in AIRPORTS if country != "GB"]), min_size=1, max_size=5),
    suspended=st.sets(st.sampled_from([FR, NL, ES])),
    deaf=st.sets(st.sampled_from([FR, NL, ES])),
    excluded=st.sets(st.sampled_from(["FR", "NL", "ES", "TH"])),
    minor=st.sampled_from(["NO", "YES", "UNKNOWN"]),
)  # fmt: skip
def test_each_country_entered_ends_in_a_leg_or_a_recorded_refusal(
    to: list[str], suspended: set[PartnerId], deaf: set[PartnerId], excluded: set[str], minor: str
) -> None:
    """Whatever is switched off, no country is passed over in silence, and no partner is told twice (P2, R-TRV-08)."""
    changed = [
        replace(SHIPPED[id_], suspended=id_ in suspended, receives=() if id_ in deaf else SHIPPED[id_].receives) for id_ in (FR, NL, ES)
    ]
    event = notice(*to, subject__is_minor=minor, handling__excluded_countries=sorted(excluded))
    decision = decided(event, on=grounds(also(*changed, another("fr-police", "fr-coast"))))
    spoken = {leg.country for leg in decision.legs} | {refusal.country for refusal in decision.refusals}
    assert set(to) <= spoken
    partners = [leg.partner for leg in decision.legs] + [r.partner for r in decision.refusals if r.partner is not None]
    assert len(partners) == len(set(partners))
    assert not {leg.country for leg in decision.legs} & excluded
