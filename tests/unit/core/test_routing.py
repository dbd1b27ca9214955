"""Who is concerned by a notice: a table of one change each, then what holds for every journey."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.contract.values import Country, Jti, PartnerId, Ref, Role
from gateway.core import limits
from gateway.core.directory import Directory, UnknownPartnerError
from gateway.core.facts import NO_FACTS
from gateway.core.routing import country_of, route
from gateway.testing.clock import START
from tests.unit.core.earlier_samples import answered, before, changed_at, facts, journey, notice, said, told
from tests.unit.core.samples import NOW, changed, message, partner, receives, reference, register, segment, stop

GB = Country("GB")
D, T, N, R, H, NAMED = Role.DESTINATION, Role.TRANSIT, Role.NATIONALITY, Role.RESIDENCE, Role.HUB, Role.NAMED
SEGMENTS, ENTRIES = "/body/itinerary/segments", "/routing/recipients"
BE_TRANSIT = segment(1, stop("GB", "2026-03-20"), stop("BE", "2026-03-20"), role="TRANSIT")
FR_THEN = segment(2, stop("BE", "2026-03-20"), stop("FR", "2026-03-21"))
FR = partner("fr-police", "FR")
BE = partner("be-border", "BE", receives=receives(roles=[T]))
WORLD = partner("hub", "BE", kind="HUB", serves=frozenset({Country("DE"), Country("ES"), Country("FR")}), receives=receives(roles=[D, H]))


def routed(event=None, *profiles, sender=None, home=GB):
    sender = register() if sender is None else sender
    found = route(message(event, iss=sender.id), Directory([sender, *profiles]), reference(), home=home, now=START)
    legs = {c.partner: (c.country, *c.roles) for c in found.candidates}
    refusals = [(r.partner, r.country, r.roles, r.reason.value, r.because) for r in found.refusals]
    return legs, refusals


def way(*segments):
    return changed(SEGMENTS, list(segments))


@pytest.mark.parametrize(
    ("event", "profiles", "legs", "refusals"),
    [
        pytest.param(None, [FR], {"fr-police": ("FR", D)}, [], id="destination"),
        pytest.param(None, [], {}, [(None, "FR", (D,), "NO_PARTNER", ("R-RTE-02",))], id="nobody-receives-for-the-destination"),
        pytest.param(way(BE_TRANSIT, FR_THEN), [FR, BE], {"fr-police": ("FR", D), "be-border": ("BE", T)}, [], id="transit-is-told-too"),
        pytest.param(way(BE_TRANSIT, FR_THEN), [FR], {"fr-police": ("FR", D)}, [(None, "BE", (T,), "NO_PARTNER", ("R-RTE-02",))], id="transit-without-a-partner-is-recorded"),
        pytest.param(way(segment(1, stop("GB", "2026-03-20"), stop("FR", "2026-03-20")), segment(2, stop("BE", "2026-03-21"), stop("ES", "2026-03-21"))),
                     [FR, BE], {"fr-police": ("FR", D), "be-border": ("BE", T)}, [(None, "ES", (D,), "NO_PARTNER", ("R-RTE-02",))], id="left-from-a-country-nothing-arrived-in"),
        pytest.param(changed("/body/itinerary/return/point_of_arrival", {"country": "BE", "text": "X"}), [FR, BE],
                     {"fr-police": ("FR", D), "be-border": ("BE", T)}, [], id="returns-through-another-country"),
        pytest.param(None, [FR, partner("fr-border", "FR", receives=receives(roles=[D]))], {"fr-police": ("FR", D), "fr-border": ("FR", D)}, [], id="two-match-both-get-a-leg"),
        pytest.param(changed("/body/person/nationalities", ["FR"]), [FR], {"fr-police": ("FR", D, N)}, [], id="one-partner-in-two-roles-is-one-leg"),
        pytest.param(changed("/body/person/nationalities", ["DE"]), [FR, partner("de-police", "DE")], {"fr-police": ("FR", D), "de-police": ("DE", N)}, [], id="nationality"),
        pytest.param(changed("/body/person/residence_countries", ["DE", "GB"]), [FR, partner("de-police", "DE")], {"fr-police": ("FR", D), "de-police": ("DE", R)}, [], id="residence"),
        pytest.param(changed("/body/person/nationalities", ["GBO", "XXA", "XXX"]), [FR], {"fr-police": ("FR", D)}, [], id="no-country-routes-nowhere"),
        pytest.param(None, [partner("gb-border", "GB"), FR], {"fr-police": ("FR", D)}, [], id="home-never-resolves"),
        pytest.param(None, [partner("fr-sender-only", "FR", delivery=None)], {}, [(None, "FR", (D,), "NO_PARTNER", ("R-RTE-02",))], id="one-that-only-sends"),
        pytest.param(None, [partner("fr-support", "FR", receives=receives("support-referral"))], {}, [(None, "FR", (D,), "NO_PARTNER", ("R-RTE-02",))], id="support-gets-no-travel-notices"),
        pytest.param(None, [WORLD], {"hub": ("FR", D)}, [], id="served-by-a-hub"),
        pytest.param(changed("/body/decision_not_to_transmit", {"reason": "UNDER_APPEAL"}), [FR], {}, [], id="decided-not-to-transmit"),
        pytest.param(changed("/handling/excluded_countries", ["FR"]), [FR], {}, [("fr-police", "FR", (D,), "COUNTRY_EXCLUDED_BY_SENDER", ("R-GEN-02",))], id="excluded-by-the-sender"),
        pytest.param(changed("/handling/excluded_countries", ["BE"]), [WORLD], {}, [("hub", "FR", (D,), "COUNTRY_EXCLUDED_BY_SENDER", ("R-GEN-02",))], id="a-hub-in-an-excluded-country"),
        pytest.param(None, [partner("fr-police", "FR", excluded_countries=frozenset({GB}))], {}, [("fr-police", "FR", (D,), "COUNTRY_EXCLUDED_BY_PROFILE", ("R-GEN-02",))], id="excluded-by-the-partner"),
        pytest.param(changed("/handling/onward_sharing", "NONE"), [FR], {"fr-police": ("FR", D)}, [], id="no-onward-sharing-still-tells-the-country-itself"),
        pytest.param(changed("/handling/onward_sharing", "NONE"), [WORLD], {}, [("hub", "FR", (D,), "HANDLING", ("R-GEN-02",))], id="no-onward-sharing-through-a-hub"),
        pytest.param(changed("/handling/onward_to", [{"country": "FR"}], changed("/handling/onward_sharing", "NAMED")), [WORLD], {"hub": ("FR", D)}, [], id="onward-to-a-named-country"),
        pytest.param(changed("/handling/onward_to", [{"country": "DE"}, {"partner": "fr-police"}], changed("/handling/onward_sharing", "NAMED")), [WORLD], {}, [("hub", "FR", (D,), "HANDLING", ("R-GEN-02",))], id="onward-to-another-country"),
    ],
)  # fmt: skip
def test_one_change_from_a_valid_notice(event, profiles, legs, refusals):
    assert routed(event, *profiles) == (legs, refusals)


@pytest.mark.parametrize(
    ("entry", "legs", "refusals"),
    [
        pytest.param({"partner": "fr-police", "role": "NAMED"}, {"fr-police": ("FR", NAMED, D)}, [], id="a-partner-already-concerned"),
        pytest.param({"partner": "de-police", "role": "NAMED"}, {"fr-police": ("FR", D), "de-police": ("DE", NAMED)}, [], id="a-partner"),
        pytest.param(
            {"partner": "be-border", "role": "NAMED"},
            {"fr-police": ("FR", D)},
            [("be-border", "BE", (NAMED,), "NOT_RECEIVING", ("R-RTE-04",))],
            id="a-partner-that-does-not-receive-it",
        ),
        pytest.param(
            {"partner": "uk-register", "role": "NAMED"},
            {"fr-police": ("FR", D)},
            [("uk-register", "GB", (NAMED,), "NOT_RECEIVING", ("R-RTE-04",))],
            id="oneself",
        ),
        pytest.param(
            {"partner": "nobody-here", "role": "NAMED"},
            {"fr-police": ("FR", D)},
            [(None, None, (NAMED,), "NOT_RECEIVING", ("R-RTE-04",))],
            id="an-unknown-name-is-not-repeated",
        ),
        pytest.param({"country": "BE", "role": "TRANSIT"}, {"fr-police": ("FR", D), "be-border": ("BE", T)}, [], id="a-country"),
        pytest.param(
            {"country": "ES", "role": "INTEREST"},
            {"fr-police": ("FR", D)},
            [(None, "ES", (Role.INTEREST,), "NO_PARTNER", ("R-RTE-02",))],
            id="a-country-without-a-partner",
        ),
        pytest.param(
            {"country": "GB", "role": "TRANSIT"}, {"fr-police": ("FR", D)}, [(None, "GB", (T,), "NO_PARTNER", ("R-RTE-03",))], id="home"
        ),
    ],
)
def test_recipients_the_sender_names(entry, legs, refusals):
    assert routed(changed(ENTRIES, [entry]), FR, BE, partner("de-police", "DE")) == (legs, refusals)


def test_a_country_that_is_entered_and_named_is_refused_once():
    assert routed(changed(ENTRIES, [{"country": "FR", "role": "DESTINATION"}]))[1] == [(None, "FR", (D,), "NO_PARTNER", ("R-RTE-02",))]


def test_a_hub_of_the_sender_gets_a_leg_in_that_role():
    legs, refusals = routed(None, FR, WORLD, sender=register(hub=PartnerId("hub")))
    assert (legs, refusals) == ({"fr-police": ("FR", D), "hub": ("FR", D, H)}, [])


def test_a_hub_that_does_not_receive_is_recorded():
    refusals = routed(None, FR, BE, sender=register(hub=PartnerId("be-border")))[1]
    assert refusals == [("be-border", "BE", (H,), "NOT_RECEIVING", ("R-RTE-04",))]


def test_a_hub_that_serves_an_excluded_country_is_still_told_for_another():
    event = changed(
        "/handling/excluded_countries",
        ["FR"],
        way(segment(1, stop("GB", "2026-03-20"), stop("FR", "2026-03-20")), segment(2, stop("FR", "2026-03-21"), stop("DE", "2026-03-21"))),
    )
    legs, refusals = routed(event, WORLD)
    assert legs == {"hub": ("DE", D)}
    assert refusals == [("hub", "FR", (D,), "COUNTRY_EXCLUDED_BY_SENDER", ("R-GEN-02",))]


TWO_ENTERED = way(segment(1, stop("GB", "2026-03-20"), stop("DE", "2026-03-20"), role="TRANSIT"), segment(2, stop("DE", "2026-03-20"), stop("FR", "2026-03-21")))  # fmt: skip
TWO_SERVED = partner("hub", "BE", kind="HUB", serves=frozenset({Country("DE"), Country("FR")}), receives=receives(roles=[D, T, H, NAMED]))


@pytest.mark.parametrize(
    ("event", "sender", "countries", "roles"),
    [
        pytest.param(TWO_ENTERED, register(), ("FR", "DE"), (D, T), id="the-destination-first"),
        pytest.param(TWO_ENTERED, register(hub=PartnerId("hub")), ("FR", "DE", "BE"), (D, T, H), id="and-as-the-sender-s-hub-in-its-own-country"),
        pytest.param(changed(ENTRIES, [{"partner": "hub", "role": "NAMED"}], TWO_ENTERED), register(), ("BE", "FR", "DE"), (NAMED, D, T), id="named-itself-first"),
        pytest.param(changed("/body/person/nationalities", ["DE", "FR"], TWO_ENTERED), register(), ("FR", "DE"), (D, T), id="no-country-twice"),
    ],
)  # fmt: skip
def test_a_partner_that_serves_two_countries_of_a_journey_is_told_for_each_by_name(event, sender, countries, roles):
    [candidate] = route(message(event), Directory([sender, TWO_SERVED]), reference(), home=GB, now=START).candidates
    assert (candidate.country, candidate.countries, candidate.roles) == (countries[0], countries, roles)


def test_a_partner_over_the_limit_is_refused_for_each_country_by_name():
    many = [partner(f"a-{n:03}", "BE", serves=frozenset({Country("DE"), Country("FR")})) for n in range(limits.RECIPIENTS_COUNT_MAX + 1)]
    found = route(message(TWO_ENTERED), Directory([register(), *many]), reference(), home=GB, now=START)
    assert [(r.partner, r.country) for r in found.refusals] == [("a-064", "FR"), ("a-064", "DE")]


def test_the_sender_s_own_profile_can_bar_a_country():
    legs, refusals = routed(None, FR, sender=register(excluded_countries=frozenset({Country("FR")})))
    assert legs == {}
    assert refusals == [("fr-police", "FR", (D,), "COUNTRY_EXCLUDED_BY_PROFILE", ("R-GEN-02",))]


def test_a_partner_is_not_told_of_its_own_notice():
    sender = partner("fr-police", "FR", serves=frozenset({Country("DE")}))
    event = changed("/body/itinerary/return", ..., way(segment(1, stop("FR", "2026-03-20"), stop("DE", "2026-03-20"))))
    found = routed(changed("/body/person/nationalities", ["FR"], event), sender=sender, home=Country("FR"))
    assert found == ({}, [(None, "DE", (D,), "NO_PARTNER", ("R-RTE-02",))])


def test_a_foreign_partner_s_notice_reaches_the_home_register():
    gb = register(receives=receives())
    legs, refusals = routed(way(segment(1, stop("FR", "2026-03-20"), stop("GB", "2026-03-20"))), gb, sender=FR, home=Country("FR"))
    assert legs == {"uk-register": ("GB", D, N)}
    assert refusals == []


def test_a_nationality_that_is_no_country_is_noted():
    found = route(
        message(changed("/body/person/nationalities", ["GB", "XXA"])), Directory([register(), FR]), reference(), home=GB, now=START
    )
    assert [(n.rule, n.severity.value, n.pointer) for n in found.notices] == [("R-RTE-08", "note", "/body/person/nationalities/1")]


def test_a_decision_not_to_transmit_is_noted():
    found = route(
        message(changed("/body/decision_not_to_transmit", {"reason": "OTHER"})),
        Directory([register(), FR]),
        reference(),
        home=GB,
        now=START,
    )
    assert [(n.rule, n.severity.value) for n in found.notices] == [("R-RTE-05", "note")]


def test_more_recipients_than_a_message_may_have_are_refused_and_warned_of():
    many = [partner(f"fr-{n:03}", "FR") for n in range(limits.RECIPIENTS_COUNT_MAX + 2)]
    found = route(message(), Directory([register(), *many]), reference(), home=GB, now=START)
    assert len(found.candidates) == limits.RECIPIENTS_COUNT_MAX
    assert [r.partner for r in found.refusals] == ["fr-064", "fr-065"]
    assert [n.severity.value for n in found.notices] == ["warning"]


@pytest.mark.parametrize(("family", "by_person"), [("registration-record", {"de-police": (N,)}), ("order-summary", {})])
def test_a_register_entry_goes_by_person_and_name_and_an_order_by_name_alone(family, by_person):
    event = changed("/body", {"person": {"nationalities": ["DE"]}}, changed(ENTRIES, [{"partner": "fr-police", "role": "NAMED"}]))
    fr, de = (partner(id_, id_[:2].upper(), receives=receives(family)) for id_ in ("fr-police", "de-police"))
    found = route(message(event, family=family), Directory([register(), fr, de]), reference(), home=GB, now=START)
    assert {c.partner: c.roles for c in found.candidates} == {"fr-police": (NAMED,)} | by_person


@pytest.mark.parametrize(
    ("code", "country"), [("FR", "FR"), ("XK", "XK"), ("RKS", None), ("GBN", "GB"), ("D", None), ("XXA", None), ("UTO", None), ("KS", None)]
)
def test_the_country_of_a_nationality(code, country):
    assert country_of(code, reference()) == country


def test_a_sender_without_a_profile_is_no_sender():
    with pytest.raises(UnknownPartnerError):
        route(message(), Directory([FR]), reference(), home=GB, now=START)


def test_a_hub_named_itself_may_pass_on():
    event = changed("/handling/onward_to", [{"partner": "hub"}], changed("/handling/onward_sharing", "NAMED"))
    assert routed(event, WORLD) == ({"hub": ("FR", D)}, [])


# --- by interest, by reply, by place --------------------------------------------------------------------------------------

SENDER = replace(register(), id=PartnerId("gb-register"))
INTERESTED = {
    name: partner(name, name[:2].upper(), receives=receives("risk-update", roles=[Role.INTEREST])) for name in ("fr-police", "es-police")
}
TOLD = before(
    notice("n", journey(("FR", "2026-03-10", "2026-03-14"), ("ES", "2026-03-14", None))),
    told("fr-police", "FR"),
    told("es-police", "ES"),
    told("be-border", "BE"),
)


def sent(message, *profiles, known=NO_FACTS, sender=SENDER, on=NOW):
    message = changed_at(message, "handling", purpose="PREVENT_CHILD_SEX_CRIME")
    found = route(message, Directory([SENDER, *profiles]), reference(), home=sender.country, now=on, facts=known)
    legs = {c.partner: (*c.countries, *c.roles) for c in found.candidates}
    return legs, [(r.partner, r.country, r.reason.value, *r.because) for r in found.refusals], [n.rule for n in found.notices]


def named(message, *recipients):
    """Return a message that names these recipients, or none."""
    routing = {name: value for name, value in message.event["routing"].items() if name != "recipients"}
    return replace(message, event={**message.event, "routing": routing | ({"recipients": list(recipients)} if recipients else {})})


RISK = named(said("risk-update"))


def test_a_risk_update_without_recipients_goes_to_who_holds_a_live_interest_and_to_nobody_else():
    bystander = partner("gb-police", "GB", receives=receives("risk-update", roles=[Role.INTEREST]))
    legs, refusals, _ = sent(RISK, *INTERESTED.values(), BE, bystander, known=facts(TOLD))
    assert legs == {"fr-police": ("FR", Role.INTEREST), "es-police": ("ES", Role.INTEREST)}
    assert refusals == [("be-border", "BE", "NOT_RECEIVING", "R-RTE-06")]


def test_a_stay_that_ended_ends_the_interest():
    legs, _, _ = sent(RISK, *INTERESTED.values(), known=facts(TOLD), on=datetime(2026, 3, 16, tzinfo=UTC))
    assert legs == {"es-police": ("ES", Role.INTEREST)}


def test_recipients_named_are_the_only_ones():
    legs, _, _ = sent(named(RISK, {"partner": "es-police", "role": "INTEREST"}), *INTERESTED.values(), known=facts(TOLD))
    assert legs == {"es-police": ("ES", Role.INTEREST)}


def test_where_nobody_is_interested_the_sender_is_told_so():
    assert sent(RISK, *INTERESTED.values()) == ({}, [], ["R-RTE-06"])


@pytest.mark.parametrize("family", ["acknowledgement", "information-response", "supervision-transfer"])
def test_a_reply_goes_to_who_asked_though_its_profile_receives_nothing(family):
    reply = named(said(family, iss="fr-police", answers="asked"), {"partner": "gb-register", "role": "NAMED"})
    legs, refusals, _ = sent(reply, partner("fr-police", "FR"), known=facts(answered=answered("information-request")))
    assert (legs, refusals) == ({"gb-register": ("GB", Role.REPLY)}, [])


def test_what_answers_an_acknowledgement_ends_there():
    assert sent(said("acknowledgement", iss="fr-police", answers="asked"), FR, known=facts(answered=answered("acknowledgement")))[0] == {}


def test_a_reply_to_who_has_left_is_refused_and_not_lost():
    gone = answered("information-request", of=Ref(PartnerId("xx-gone"), Jti("o")))
    assert sent(said("information-response", iss="fr-police", answers="asked"), FR, known=facts(answered=gone))[1] == [
        (None, None, "NO_PARTNER", "R-RTE-07")
    ]


def services(id_, *regions, country="GB"):
    entry = receives("intelligence-report", roles=[Role.SAFEGUARDING, NAMED])
    return replace(partner(id_, country, kind="SOCIAL_SERVICES", receives=entry), regions=frozenset(regions))


def concern(country="GB", region=None):
    place = {"country": country, "kind": "CITY", "text": "TEST CITY"} | ({"region": region} if region else {})
    return named(said("intelligence-report", kind="safeguarding-concern", event={"place": place}, safeguarding={"danger": "IMMEDIATE"}))


@pytest.mark.parametrize(
    ("place", "to", "refused"),
    [
        pytest.param(concern("GB", "GB-LND"), ["all-of-gb", "in-lnd"], [], id="a-region"),
        pytest.param(concern("GB", "GB-KEN"), ["all-of-gb"], [], id="a-region-nobody-is-there-for"),
        pytest.param(concern("GB"), ["all-of-gb", "in-lnd"], [], id="no-region-told"),
        pytest.param(concern("FR", "FR-75"), ["in-fr"], [], id="abroad"),
        pytest.param(concern("DE"), [], [(None, "DE", "NO_PARTNER", "R-RTE-02")], id="nobody-at-all"),
    ],
)
def test_a_safeguarding_concern_goes_to_its_place_at_home_too(place, to, refused):
    profiles = [services("all-of-gb"), services("in-lnd", "GB-LND"), services("in-fr", country="FR")]
    legs, refusals, _ = sent(place, *profiles)
    assert (sorted(legs), refusals) == (to, refused)
    assert all(roles[1:] == (Role.SAFEGUARDING,) for roles in legs.values())


def test_other_intelligence_goes_by_name_alone():
    report = named(said("intelligence-report"), {"partner": "in-fr", "role": "NAMED"})
    legs, _, _ = sent(report, services("all-of-gb"), services("in-fr", country="FR"))
    assert sorted(legs) == ["in-fr"]


@pytest.mark.parametrize("family", ["intelligence-report", "risk-update"])
def test_nothing_but_a_concern_takes_a_concern_s_way(family):
    entry = {"partner": "in-fr", "role": "SAFEGUARDING"}
    there = replace(services("in-fr", country="FR"), receives=receives(family, roles=[Role.SAFEGUARDING]))
    legs, refusals, _ = sent(named(said(family), entry), there)
    assert (legs, refusals) == ({}, [(None, None, "NOT_RECEIVING", "R-SAF-02")])


def test_a_correction_goes_to_past_recipients_and_asks_no_profile():
    correction = said("correction", "c", corrects={"iss": "gb-register", "jti": "n"})
    assert sorted(sent(correction, *INTERESTED.values(), BE, known=facts(TOLD))[0]) == ["be-border", "es-police", "fr-police"]
