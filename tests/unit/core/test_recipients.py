"""What is asked of each recipient before any policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.contract.values import Country, Environment, Lane, Role
from gateway.core.decided import Candidate, HoldReason
from gateway.core.directory import Directory
from gateway.core.profiles import Delivery
from gateway.core.recipients import lane_of, lead_time_of, leg_expiry, leg_hold, leg_refusal
from tests.unit.core.samples import NOW, changed, message, partner, reference, register, shipped_tables

GB = Country("GB")
FR = partner("fr-police", "FR")
GRADED_3E = {"kind": "intelligence", "source_evaluation": "3", "information_assessment": "E"}
ORIGIN, CONSENT = "/handling/transfer_basis/origin_country", "/handling/transfer_basis/origin_consent"
EVENING = datetime(2026, 3, 1, tzinfo=UTC)


def refused(event=None, profile=FR, *, now=NOW, shows_conditions=True):
    candidate = Candidate(profile.id, (profile.country,), (Role.DESTINATION,))
    refusal = leg_refusal(message(event), candidate, profile, now=now, sender=register(), shows_conditions=shows_conditions)
    return None if refusal is None else (refusal.reason.value, *refusal.because)


@pytest.mark.parametrize(
    ("event", "profile", "expected"),
    [
        pytest.param(None, FR, None, id="valid"),
        pytest.param(None, replace(FR, delivery=None), ("NOT_RECEIVING", "R-RTE-04"), id="nothing-can-be-delivered"),
        pytest.param(None, replace(FR, environment=Environment.PRODUCTION), ("ENVIRONMENT", "R-GEN-16"), id="another-environment"),
        pytest.param(changed("/handling/retention/delete_by", "2026-02-28"), FR, ("EXPIRED", "R-GEN-04"), id="past-delete-by"),
        pytest.param(changed("/handling/retention/delete_by", "2026-03-01"), FR, None, id="the-day-itself-is-still-inside"),
        pytest.param(
            changed("/handling/excluded_countries", ["FR"]), FR, ("COUNTRY_EXCLUDED_BY_SENDER", "R-GEN-02"), id="excluded-by-the-sender"
        ),
        pytest.param(changed("/handling/excluded_countries", ["DE"]), FR, None, id="another-country-excluded"),
        pytest.param(
            None, replace(FR, excluded_countries=frozenset({GB})), ("COUNTRY_EXCLUDED_BY_PROFILE", "R-GEN-02"), id="excluded-by-the-partner"
        ),
        pytest.param(
            changed("/handling/codes", ["H1"]), replace(FR, kind="COURT"), ("HANDLING", "R-GEN-02"), id="not-in-judicial-proceedings"
        ),
        pytest.param(changed("/handling/codes", ["H1"]), FR, None, id="h1-does-not-bar-police"),
        pytest.param(
            changed("/handling/legal_basis/0/jurisdiction", "DE"), FR, ("NO_LEGAL_BASIS", "R-GEN-13"), id="the-law-of-a-third-state"
        ),
        pytest.param(changed("/handling/legal_basis/0/jurisdiction", "GB-NIR"), FR, None, id="the-law-of-a-region-of-home"),
        pytest.param(changed("/handling/legal_basis/0/jurisdiction", "FR"), FR, None, id="the-law-of-the-recipient"),
        pytest.param(changed("/handling/legal_basis/0/jurisdiction", "EU"), FR, None, id="a-law-above-both"),
        pytest.param(changed("/handling/transfer_basis", ...), FR, ("TRANSFER_BASIS", "R-GEN-13"), id="abroad-without-a-transfer-basis"),
        pytest.param(changed("/handling/transfer_basis", ...), partner("gb-border", "GB"), None, id="at-home-none-is-needed"),
        pytest.param(
            None,
            replace(FR, transfer_bases=frozenset({"ADEQUACY"})),
            ("TRANSFER_BASIS", "R-GEN-13"),
            id="a-transfer-basis-that-does-not-hold",
        ),
        pytest.param(None, replace(FR, transfer_bases=frozenset({"ADEQUACY", "SAFEGUARDS"})), None, id="one-that-holds"),
        pytest.param(changed(ORIGIN, "DE"), FR, ("TRANSFER_BASIS", "R-GEN-13"), id="data-of-another-state-without-its-consent"),
        pytest.param(changed(CONSENT, False, changed(ORIGIN, "DE")), FR, ("TRANSFER_BASIS", "R-GEN-13"), id="against-its-will"),
        pytest.param(changed(CONSENT, True, changed(ORIGIN, "DE")), FR, None, id="with-its-consent"),
        pytest.param(changed(ORIGIN, "FR"), FR, None, id="back-to-the-state-it-came-from"),
        pytest.param(
            changed("/handling/purpose", "SAFEGUARD", changed("/routing/priority", "IMMEDIATE", changed(ORIGIN, "DE"))),
            FR,
            None,
            id="an-immediate-threat",
        ),
        pytest.param(
            changed("/routing/priority", "IMMEDIATE", changed(ORIGIN, "DE")),
            FR,
            ("TRANSFER_BASIS", "R-GEN-13"),
            id="a-priority-is-no-threat",
        ),
    ],
)
def test_one_change_from_a_leg_that_may_be(event, profile, expected):
    assert refused(event, profile) == expected


@pytest.mark.parametrize(
    ("conditions", "shows", "expected"), [(["ask first"], False, ("HANDLING", "R-GEN-14")), (["ask first"], True, None), ([], False, None)]
)
def test_no_leg_to_a_format_that_cannot_show_the_conditions(conditions, shows, expected):
    assert refused(changed("/handling/conditions", conditions), shows_conditions=shows) == expected


def test_delete_by_ends_with_its_day_in_utc():
    event = changed("/handling/retention/delete_by", "2026-03-01")
    end = datetime(2026, 3, 2, tzinfo=UTC)
    assert refused(event, now=end - timedelta(microseconds=1)) is None
    assert refused(event, now=end) == ("EXPIRED", "R-GEN-04")


def test_a_leg_with_every_fault_has_the_first_reason_each_time():
    """Mend the faults one by one, in the order stated: each next reason shows."""
    profile = replace(FR, delivery=None, environment=Environment.PRODUCTION, excluded_countries=frozenset({GB}), kind="COURT")
    event = changed("/handling/retention/delete_by", "2026-01-01")
    for pointer, value in (
        ("/handling/excluded_countries", ["FR"]), ("/handling/codes", ["H1"]), ("/handling/conditions", ["x"]),
        ("/handling/legal_basis/0/jurisdiction", "DE"), ("/handling/transfer_basis", ...),
    ):  # fmt: skip
        event = changed(pointer, value, event)
    mends: list[tuple[dict[str, Any], tuple[str, Any] | None]] = [
        ({"delivery": FR.delivery}, None), ({"environment": FR.environment}, None), ({}, ("/handling/retention/delete_by", "2027-01-01")),
        ({}, ("/handling/excluded_countries", [])), ({"excluded_countries": frozenset()}, None), ({}, ("/handling/codes", ["H0"])),
        ({}, ("/handling/conditions", [])), ({}, ("/handling/legal_basis/0/jurisdiction", "GB")),
    ]  # fmt: skip
    seen = [refused(event, profile, shows_conditions=False)]
    for fields, change in mends:
        profile = replace(profile, **fields)
        event = changed(*change, event) if change else event
        seen.append(refused(event, profile, shows_conditions=False))
    assert [reason[0] for reason in seen if reason] == [
        "NOT_RECEIVING", "ENVIRONMENT", "EXPIRED", "COUNTRY_EXCLUDED_BY_SENDER", "COUNTRY_EXCLUDED_BY_PROFILE", "HANDLING", "HANDLING",
        "NO_LEGAL_BASIS", "TRANSFER_BASIS",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("is_minor", "family", "body", "expected"),
    [
        pytest.param("NO", "travel-notification", {}, None, id="an-adult"),
        pytest.param("YES", "travel-notification", {}, HoldReason.MINOR, id="a-minor"),
        pytest.param("UNKNOWN", "travel-notification", {}, HoldReason.MINOR, id="perhaps-a-minor"),
        pytest.param("YES", "intelligence-report", {"kind": "safeguarding-concern"}, None, id="a-safeguarding-concern-never-waits"),
        pytest.param("YES", "intelligence-report", {"kind": "intelligence"}, HoldReason.MINOR, id="other-intelligence-waits"),
        pytest.param("UNKNOWN", "support-referral", {"identity_mode": "ANONYMOUS"}, None, id="an-anonymous-referral"),
        pytest.param("YES", "support-referral", {"identity_mode": "ANONYMOUS"}, HoldReason.MINOR, id="an-anonymous-minor"),
        pytest.param("UNKNOWN", "support-referral", {"identity_mode": "IDENTIFIED"}, HoldReason.MINOR, id="an-identified-referral"),
        pytest.param("NO", "support-referral", {"safeguarding_flag": True}, HoldReason.SAFEGUARDING_FLAG, id="a-child-in-danger"),
        pytest.param("NO", "support-referral", {"safeguarding_flag": False}, None, id="nobody-in-danger"),
        pytest.param("NO", "intelligence-report", GRADED_3E, HoldReason.GRADED_3E, id="graded-3-E"),
        pytest.param("NO", "intelligence-report", GRADED_3E | {"source_evaluation": "2"}, None, id="graded-2-E"),
        pytest.param("NO", "intelligence-report", GRADED_3E | {"information_assessment": "D"}, None, id="graded-3-D"),
        pytest.param("YES", "acknowledgement", {"stage": "DELIVERED"}, None, id="an-acknowledgement-tells-who-knows"),
    ],
)
def test_what_waits_for_a_person_whatever_policy_says(is_minor, family, body, expected):
    event = changed("/subject/is_minor", is_minor, changed("/body", body))
    assert leg_hold(message(event, family=family), FR, home=GB) is expected


def test_what_is_graded_3_e_waits_only_on_its_way_abroad():
    assert leg_hold(message(changed("/body", GRADED_3E), family="intelligence-report"), partner("gb-police", "GB"), home=GB) is None


def test_a_leg_of_a_suspended_partner_is_held_and_a_minor_s_first_for_the_minor():
    suspended = replace(FR, suspended=True)
    assert leg_hold(message(), suspended, home=GB) is HoldReason.SUSPENDED
    assert leg_hold(message(changed("/subject/is_minor", "YES")), suspended, home=GB) is HoldReason.MINOR


@pytest.mark.parametrize(
    ("delete_by", "retention", "expire", "expires_at", "deleted_at"),
    [
        pytest.param("2026-03-10", None, 30 * 86400, "2026-03-11T00:00:00Z", "2026-03-11T00:00:00Z", id="the-message-s-own-day"),
        pytest.param("2027-03-01", None, 30 * 86400, "2026-03-31T13:00:00Z", "2027-03-02T00:00:00Z", id="the-profile-s-limit-of-a-leg"),
        pytest.param("2027-03-01", 10, 30 * 86400, "2026-03-11T12:00:00Z", "2026-03-11T12:00:00Z", id="the-recipient-s-rule"),
        pytest.param("2026-03-05", 10, 30 * 86400, "2026-03-06T00:00:00Z", "2026-03-06T00:00:00Z", id="the-earliest-of-both"),
        pytest.param("2027-03-01", None, None, "2027-03-02T00:00:00Z", "2027-03-02T00:00:00Z", id="one-that-only-sends"),
    ],
)
def test_a_leg_ends_at_the_earliest_limit(delete_by, retention, expire, expires_at, deleted_at):
    delivery = None if expire is None else Delivery(format="native", transport="inbox", expire_seconds=expire)
    profile = replace(FR, retention_days_max=retention, delivery=delivery)
    found = leg_expiry(message(changed("/handling/retention/delete_by", delete_by)), profile, accepted_at=NOW + timedelta(hours=1))
    assert found == (datetime.fromisoformat(expires_at), datetime.fromisoformat(deleted_at))


@pytest.mark.parametrize(
    ("basis", "priority", "lane"),
    [
        ("DECLARED", "ROUTINE", Lane.ROUTINE), ("DECLARED", "IMMEDIATE", Lane.IMMEDIATE), ("DETECTED", "ROUTINE", Lane.PRIORITY),
        ("ATTEMPTED", "ROUTINE", Lane.PRIORITY), ("ATTEMPTED", "PRIORITY", Lane.PRIORITY), ("DETECTED", "IMMEDIATE", Lane.IMMEDIATE),
    ],
)  # fmt: skip
def test_what_others_detect_goes_at_least_with_priority(basis, priority, lane):
    event = changed("/routing/priority", priority, changed("/body/notification_basis", basis))
    assert lane_of(message(event)) is lane


LEVELS = [
    ("travel-notification", "/body/risk_level", {"level": "VERY_HIGH"}, Lane.PRIORITY),
    ("travel-notification", "/body/risk_level", {"level": "HIGH"}, Lane.ROUTINE),
    ("risk-update", "/body/rm2000", {"band": "VERY_HIGH"}, Lane.PRIORITY),
    ("risk-update", "/body/arms", {"priority": "VERY_HIGH"}, Lane.PRIORITY),
    ("risk-update", "/body/oasys", {"rosh": "VERY_HIGH"}, Lane.PRIORITY),
    ("risk-update", "/body/oasys", {"rosh": "HIGH"}, Lane.ROUTINE),
]


@pytest.mark.parametrize(("family", "pointer", "value", "lane"), LEVELS)
def test_the_greatest_risk_goes_at_least_with_priority(family, pointer, value, lane):
    event = changed(pointer, value)
    assert lane_of(message(event, family=family)) is lane
    assert lane_of(message(changed("/routing/priority", "IMMEDIATE", event), family=family)) is Lane.IMMEDIATE


def test_other_families_keep_the_lane_they_ask_for():
    assert lane_of(message(changed("/body", {"stage": "RECEIVED"}), family="acknowledgement")) is Lane.ROUTINE


@dataclass(frozen=True)
class Knows:
    """The part of an admission's context a lead time needs."""

    directory: Directory
    reference: Any
    tables: Any
    environment: Environment = Environment.TEST


def test_a_delivery_shows_the_lead_time_the_rules_reckoned():
    ctx: Any = Knows(Directory([register()]), reference(), shipped_tables())
    lead = lead_time_of(message(changed("/body/notified_by_subject_at", "2026-03-18T10:00:00Z")), ctx, received_at=NOW)
    assert lead is not None
    assert (lead.required, lead.given, lead.late, lead.row) == ("P7D", "P2D", True, "R-TRV-03a/GB/undated/guidance")
    assert lead_time_of(message(family="acknowledgement"), ctx, received_at=NOW) is None


ENTRY = {"disclosure": {"permitted_agencies": ["POLICE", "REGISTER"]}}
SCHEME = changed("/handling/purpose", "DISCLOSURE_SCHEME")


@pytest.mark.parametrize(
    ("family", "body", "kind", "permitted"),
    [
        pytest.param("registration-record", ENTRY, "POLICE", True, id="a-kind-the-entry-names"),
        pytest.param("registration-record", ENTRY, "SOCIAL_SERVICES", False, id="another-kind"),
        pytest.param(
            "information-response", {"records": [{"registration-record": ENTRY}]}, "POLICE", True, id="carried-to-a-kind-it-names"
        ),
        pytest.param("information-response", {"records": [{"registration-record": ENTRY}]}, "COURT", False, id="carried-to-another"),
        pytest.param("information-response", {"records": [{"order-summary": {}}]}, "COURT", True, id="no-entry-no-bar"),
    ],
)
def test_a_register_entry_goes_to_the_kinds_of_agency_it_names(family, body, kind, permitted):
    candidate = Candidate(FR.id, (FR.country,), (Role.NAMED,))
    said = message(changed("/body", body), family=family)
    refusal = leg_refusal(said, candidate, replace(FR, kind=kind), now=NOW, sender=register(), shows_conditions=True)
    assert (None if refusal is None else (refusal.reason.value, refusal.because)) == (
        None if permitted else ("AGENCY_NOT_PERMITTED", ("R-REG-13",))
    )


@pytest.mark.parametrize(
    ("family", "asks", "answers", "permitted"),
    [
        ("information-request", "CHILDREN_SERVICES", "POLICE", True), ("information-response", "POLICE", "CHILDREN_SERVICES", True),
        ("information-request", "SOCIAL_SERVICES", "POLICE", False), ("information-response", "POLICE", "REGISTER", False),
        ("acknowledgement", "POLICE", "REGISTER", True),
    ],
)  # fmt: skip
def test_a_disclosure_scheme_check_runs_between_police_and_children_s_services(family, asks, answers, permitted):
    candidate = Candidate(FR.id, (FR.country,), (Role.NAMED,))
    said = message(changed("/body", {}, SCHEME), family=family)
    sender, receiver = replace(register(), kind=asks), replace(FR, kind=answers)
    refusal = leg_refusal(said, candidate, receiver, now=NOW, sender=sender, shows_conditions=True)
    assert (None if refusal is None else refusal.because) == (None if permitted else ("R-REQ-07",))


@pytest.mark.parametrize(
    ("event", "barred"),
    [
        pytest.param(changed("/handling/excluded_countries", ["FR"]), None, id="a-country-barred-since"),
        pytest.param(changed("/handling/transfer_basis", ...), None, id="no-transfer-basis"),
        pytest.param(changed("/handling/retention/delete_by", "2026-02-28"), "EXPIRED", id="past-its-own-end"),
    ],
)
def test_what_corrects_goes_to_who_was_told_whatever_bars_new_messages(event, barred):
    candidate = Candidate(FR.id, (FR.country,), (Role.DESTINATION,))
    refusal = leg_refusal(message(event, family="correction"), candidate, FR, now=NOW, sender=register(), shows_conditions=False)
    assert (None if refusal is None else refusal.reason.value) == barred
