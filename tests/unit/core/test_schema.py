"""What the schemas take and refuse, in which words, and how a message is cut by field group."""

from __future__ import annotations

import copy
import time
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest

from gateway.contract.errors import InvariantError
from gateway.contract.values import Country, Family, Jti, PartnerId
from gateway.core import acknowledge, limits
from gateway.core.decided import Alert
from gateway.core.groups import ALWAYS, GROUPS
from gateway.core.message import Message
from gateway.core.problems import Code
from gateway.core.reference import CodeList, CodeLists, Entry
from gateway.core.schema import Schemas, family_uri, parse_family_uri
from gateway.core.schema_source import SchemaError
from gateway.core.schema_tree import group_tree, imo_number
from gateway.testing.messages import MISSING, replaced, travel_notice
from tests.unit.core.schema_samples import (
    ACKNOWLEDGEMENT,
    DAY,
    FAMILIES,
    TRAVEL,
    WINDOW,
    expected,
    files,
    full,
    leaves,
    reference,
    schemas,
    shipped,
)

BASE = "https://gateway.example/events"
VALID = {TRAVEL: shipped(TRAVEL, "valid"), ACKNOWLEDGEMENT: shipped(ACKNOWLEDGEMENT, "valid")}
SEGMENT = "/body/itinerary/segments/0"
REF = {"iss": "gb-register", "jti": "019a9d2e-5c00-7000-8000-000000000001"}
ORDER = {"order": {"id": "T-1", "kind": "SHPO", "jurisdiction": "GB-EAW"}, "scope": "ALL"}


def check(event: dict[str, Any], family: Family = TRAVEL, on: date = DAY):
    fast, slow = schemas().verdicts(family, event)
    assert fast == slow
    return schemas().check(family, event, on=on)


# --- shipped examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["valid", "warnings"])
def test_a_shipped_example_fits(family, name):
    assert check(shipped(family, name), family) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_an_event_with_every_property_fits(family):
    assert check(full(family), family) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_all_faults_are_told_at_once(family):
    found = {(p.code.value, p.pointer) for p in check(shipped(family, "rejected"), family)}
    assert found == set(expected(family)["rejected"])


# --- one change from valid ------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Any, str]] = [  # what to put where, and where the fault is
    ("/handling", MISSING, "/handling"),
    ("/handling/purpose", MISSING, "/handling/purpose"),
    ("/handling/legal_basis", [], "/handling/legal_basis"),
    ("/handling/classification", MISSING, "/handling/classification"),
    ("/handling/classification", "SECRET", "/handling/classification"),
    ("/handling/codes", [], "/handling/codes"),
    ("/handling/codes", ["H0", "H0"], "/handling/codes"),
    ("/handling/codes", ["H9"], "/handling/codes/0"),
    ("/handling/codes", ["H3"], "/handling/conditions"),
    ("/handling/codes", ["H0", "C"], "/handling/conditions"),
    ("/handling/onward_sharing", "NAMED", "/handling/onward_to"),
    ("/handling/onward_to", [{"country": "FR", "partner": "fr-police"}], "/handling/onward_to/0"),
    ("/handling/environment", "PROD", "/handling/environment"),
    ("/handling/retention/review_by", "2027-02-29", "/handling/retention/review_by"),
    ("/handling/excluded_countries", ["UK"], "/handling/excluded_countries/0"),
    ("/handling/transfer_basis", {"code": "TRUST_ME"}, "/handling/transfer_basis/code"),
    ("/handling/data_quality", [{"group": "identity", "kind": "RUMOUR"}], "/handling/data_quality/0/kind"),
    ("/handling/data_quality/0/group", "everything", "/handling/data_quality/0/group"),
    ("/routing/action_requested", "REPLY", "/routing/reply_by"),
    ("/routing/priority", "URGENT", "/routing/priority"),
    ("/routing/language", "english", "/routing/language"),
    ("/routing/recipients", [{"role": "NAMED"}], "/routing/recipients/0"),
    ("/routing/recipients", [{"role": "REPLY", "country": "FR"}], "/routing/recipients/0/role"),
    ("/routing/recipients", [{"role": "NAMED", "country": "FR"}] * 65, "/routing/recipients"),
    ("/routing/contact", {"unit": "Desk"}, "/routing/contact/email"),
    ("/routing/contact/phone", "0207 946 0000", "/routing/contact/phone"),
    ("/routing/contact/email", "desk@localhost", "/routing/contact/email"),
    ("/routing/case_reference", "x" * 51, "/routing/case_reference"),
    ("/subject/ref", MISSING, "/subject/ref"),
    ("/subject/ref", "John Person", "/subject/ref"),
    ("/subject/iss", "GB Register", "/subject/iss"),
    ("/subject/status", "GUILTY", "/subject/status"),
    ("/subject/is_minor", True, "/subject/is_minor"),
    ("/body/person/names", [], "/body/person/names"),
    ("/body/person/names/0/kind", "ALIAS", "/body/person/names"),
    ("/body/person/names/0", {"kind": "LEGAL", "given": "TEST"}, "/body/person/names/0/full"),
    ("/body/person/names/1/latin", MISSING, "/body/person/names/1/latin"),
    ("/body/person/names/1/script", MISSING, "/body/person/names/1/script"),
    ("/body/person/names/1/language", MISSING, "/body/person/names/1/language"),
    ("/body/person/names/1/script", "Xxxx", "/body/person/names/1/script"),
    ("/body/person/names/1/latin", "ÉMILE", "/body/person/names/1/latin"),
    ("/body/person/birth/date", "1970-13", "/body/person/birth/date"),
    ("/body/person/birth/date", "1970-02-30", "/body/person/birth/date"),
    ("/body/person/sex", 3, "/body/person/sex"),
    ("/body/person/sex", "1", "/body/person/sex"),
    ("/body/person/nationalities", [], "/body/person/nationalities"),
    ("/body/person/nationalities", ["XXD"], "/body/person/nationalities/0"),
    ("/body/person/nationalities", ["UK"], "/body/person/nationalities/0"),
    ("/body/person/identity_documents", MISSING, "/body/person/identity_documents"),
    ("/body/person/identity_documents/0/number", "x 0000", "/body/person/identity_documents/0/number"),
    ("/body/person/identity_documents/0/type", "LIBRARY_CARD", "/body/person/identity_documents/0/type"),
    ("/body/person/religion", "none", "/body/person"),
    ("/body/notified_by_subject_at", MISSING, "/body/notified_by_subject_at"),
    ("/body/notified_by_subject_at", "2026-11-10T09:00:00", "/body/notified_by_subject_at"),
    ("/body/notified_by_subject_at", "2026-06-30T23:59:60Z", "/body/notified_by_subject_at"),
    ("/body/purpose_of_travel", [], "/body/purpose_of_travel"),
    ("/body/itinerary/segments", [], "/body/itinerary/segments"),
    (SEGMENT + "/carrier", MISSING, SEGMENT + "/carrier"),
    (SEGMENT + "/service_no", MISSING, SEGMENT + "/service_no"),
    (SEGMENT + "/departure/date", MISSING, SEGMENT + "/departure/date"),
    (SEGMENT + "/departure/place", MISSING, SEGMENT + "/departure/place"),
    (SEGMENT + "/departure/time", "24:00", SEGMENT + "/departure/time"),
    (SEGMENT + "/arrival/country", "EU", SEGMENT + "/arrival/country"),
    (SEGMENT + "/arrival/date", "02.12.2026", SEGMENT + "/arrival/date"),
    (SEGMENT + "/seq", 0, SEGMENT + "/seq"),
    (SEGMENT + "/vessel_imo", "9074728", SEGMENT + "/vessel_imo"),
    ("/body/emergency", True, "/body/emergency_reason"),
    ("/body/emergency", "false", "/body/emergency"),
    ("/body/offence_summary", MISSING, "/body/offence_summary"),
    ("/body/active_travel_restriction", "SOME", "/body/active_travel_restriction"),
    ("/body/active_travel_restriction", {"scope": "ALL"}, "/body/active_travel_restriction/order"),
    ("/body/active_travel_restriction", MISSING, "/body/active_travel_restriction"),
    ("/body/victim_profile/0/relationship", "NEIGHBOUR", "/body/victim_profile/0/relationship"),
    ("/body/victim_profile/0/name", "TEST", "/body/victim_profile/0"),
    ("/body/decision_not_to_transmit", {"reason": "TIRED"}, "/body/decision_not_to_transmit/reason"),
    ("/body/narratives", [{"kind": "OTHER", "text": "x" * 4001, "language": "en"}], "/body/narratives/0/text"),
    ("/extensions", {"https://elsewhere.example/1.0": {}}, "/extensions"),
    ("/extensions", {WINDOW: {"country": "FR"}}, f"/extensions/{WINDOW.replace('/', '~1')}/from"),
    ("/original", {"iss": "gb-register", "jti": "019a9d2e-5c00-7000-8000-000000000001"}, ""),
    ("/previous", "019a9d2e-5c00-7000-8000-000000000001", ""),
    ("/prior_undelivered", False, ""),
    ("/withheld", [], ""),
    ("/checkpoint", "x", ""),
]


@pytest.mark.parametrize(("pointer", "value", "at"), REFUSED)
def test_one_fault_is_found_where_it_is(pointer, value, at):
    problems = check(replaced(VALID[TRAVEL], pointer, value))
    assert at in {p.pointer for p in problems}
    assert all(p.is_error and p.detail and p.expected for p in problems)


TAKEN: list[tuple[str, Any]] = [
    ("/handling/codes", ["P"]),
    ("/handling/transfer_basis", MISSING),
    ("/handling/conditions", ["Ask first."]),
    ("/handling/excluded_countries", ["XK", "ZA"]),
    ("/routing/recipients", [{"role": "NAMED", "country": "FR"}] * 64),
    ("/routing/language", "sr-Latn-RS"),
    ("/routing/contact", {"unit": "Desk", "phone": "+33100000000"}),
    ("/subject/iss", "gb-register"),
    ("/body/person/names/0", {"kind": "LEGAL", "full": "TEST PERSON"}),
    ("/body/person/names/0", {"kind": "LEGAL", "family": "Nguyễn-Łódź", "given": "Ærøskøbing O’Test"}),  # noqa: RUF001
    ("/body/person/birth/date", "1970"),
    ("/body/person/birth/date", "1972-02-29"),
    ("/body/person/nationalities", ["XK"]),
    ("/body/person/nationalities", ["XXA", "GBO"]),
    ("/body/person/nationalities", ["UTO"]),
    ("/body/notified_by_subject_at", "2026-11-10T09:00:00.123456+05:45"),
    (SEGMENT + "/departure/time", MISSING),
    (SEGMENT + "/vessel_imo", "9074729"),
    ("/body/active_travel_restriction", ORDER),
    ("/body/offence_summary", []),
    ("/body/supersedes", {"iss": "gb-register", "jti": "019a9d2e-5c00-7000-8000-000000000001"}),
    ("/extensions", {}),
]


@pytest.mark.parametrize(("pointer", "value"), TAKEN)
def test_one_change_that_is_right_is_taken(pointer, value):
    event = replaced(VALID[TRAVEL], pointer, value)
    said = {entry["group"] for entry in event["handling"]["data_quality"]}
    event["handling"]["data_quality"] += [{"group": g, "kind": "FACT"} for g in schemas().cut(TRAVEL, event, frozenset())[1] - said]
    assert check(event) == []


def test_what_others_detected_need_not_be_known_in_full():
    event = replaced(VALID[TRAVEL], "/body/notification_basis", "DETECTED")
    for pointer in ("/body/notified_by_subject_at", "/body/person/identity_documents", SEGMENT + "/carrier", SEGMENT + "/departure/date"):
        event = replaced(event, pointer, MISSING)
    assert check(event) == []


def test_a_specimen_nationality_stays_out_of_production():
    event = replaced(VALID[TRAVEL], "/body/person/nationalities", ["GB", "UTO"])
    assert check(event) == []
    (problem,) = check(replaced(event, "/handling/environment", "PRODUCTION"))
    assert problem.pointer == "/body/person/nationalities/1"


STAGES = [
    ({"stage": "RECEIVED"}, None),
    ({"stage": "VALID", "text": "line one\nline two"}, None),
    ({"stage": "MATCHED"}, "/body/outcome"),
    ({"stage": "ACTIONED", "outcome": "ARRIVED", "entered_country": "FR"}, None),
    ({"stage": "ACTIONED", "outcome": "DEPORT_HIM"}, "/body/outcome"),
    ({"stage": "REFUSED"}, "/body/reason"),
    ({"stage": "REFUSED", "reason": "POLICY"}, None),
    ({"stage": "ALERT", "reason": "TRAVEL_RESTRICTION"}, None),
    ({"stage": "DEAD", "reason": "ATTEMPTS"}, "/body/leg"),
    ({"stage": "DELIVERED"}, "/body/leg"),
    ({"stage": "READ"}, "/body/stage"),
]


@pytest.mark.parametrize(("body", "at"), STAGES)
def test_a_stage_of_an_acknowledgement_says_what_belongs_to_it(body, at):
    problems = check(replaced(VALID[ACKNOWLEDGEMENT], "/body", body), ACKNOWLEDGEMENT)
    assert {p.pointer for p in problems} == ({at} if at else set())


ENDS = [
    acknowledge.LegEnd(
        jti=Jti(REF["jti"]), partner=PartnerId("fr-police"), country=Country("FR"), role="DESTINATION", stage="DELIVERED", reason=None
    ),
    acknowledge.LegEnd(jti=Jti(REF["jti"]), partner=PartnerId("fr-police"), country=None, role="REPLY", stage="DEAD", reason="ATTEMPTS"),
    acknowledge.LegEnd(
        jti=Jti(REF["jti"]), partner=PartnerId("nl-border"), country=Country("NL"), role="TRANSIT", stage="HELD", reason="MINOR"
    ),
    None,
]


@pytest.mark.parametrize("end", ENDS)
def test_what_the_gateway_itself_says_fits_the_schema(end):
    now = datetime(2026, 11, 21, 13, tzinfo=UTC)
    notice = travel_notice(Random(1), now)
    original = Message(
        iss=PartnerId("gb-register"), jti=Jti(notice.jti), digest="", aud=PartnerId("gateway"), iat=now, toe=now, txn=notice.txn,
        family=TRAVEL, event=notice.event,
    )  # fmt: skip
    author = acknowledge.Author(
        gateway=PartnerId("gateway"), contact={"unit": "Desk", "email": "desk@gateway.example"}, jti=Jti(REF["jti"]), now=now
    )
    said = acknowledge.of_leg(original, end, author) if end else acknowledge.of_alert(original, Alert("TRAVEL_RESTRICTION", ()), author)
    assert check(dict(said.event), ACKNOWLEDGEMENT) == []


# --- words ----------------------------------------------------------------------------------------------------------------


def test_no_problem_quotes_what_was_sent():
    event = copy.deepcopy(VALID[TRAVEL])
    for pointer, value in leaves(event):
        if isinstance(value, str):
            event = replaced(event, pointer, "Zq7 SECRET\x00 Zq7")
    event["body"]["person"]["Zq7"] = event["Zq7"] = {"Zq7": "Zq7"}
    event["extensions"] = {"https://zq7.example/": "Zq7"}
    problems = check(event)
    assert len(problems) > 40
    assert "zq7" not in repr(problems).lower()


def test_a_place_has_one_problem_even_if_it_breaks_two_keywords():
    problems = check(replaced(VALID[TRAVEL], "/routing/case_reference", "\n" * 51))
    assert [p.pointer for p in problems] == ["/routing/case_reference"]


def test_an_unknown_property_is_told_by_its_parent_beside_the_parent_s_other_faults():
    event = replaced(replaced(VALID[TRAVEL], "/subject/x", 1), "/subject/ref", MISSING)
    assert sorted((p.pointer or "", p.detail) for p in check(event)) == [
        ("/subject", "has an unknown property"),
        ("/subject/ref", "is missing"),
    ]


def test_very_many_faults_are_cut_and_said_to_be():
    offences = [{"title": "", "start": "x", "mode": "x"}] * 50
    problems = check(replaced(VALID[TRAVEL], "/body/offence_summary", offences))
    assert len(problems) == limits.PROBLEMS_COUNT_MAX
    assert "more" in problems[-1].detail


FLOODS = {
    "/handling/excluded_countries": [{"a": i} for i in range(25_000)],
    "/routing/recipients": [{"role": "NAMED", "country": "FR"}] * 8_000,
    "/body/offence_summary": [{}] * 60_000,
    "/body/person/nationalities": [[i] for i in range(40_000)],
}


@pytest.mark.parametrize("pointer", FLOODS)
def test_a_flood_is_refused_in_bounded_time(pointer):
    event = replaced(VALID[TRAVEL], pointer, FLOODS[pointer])
    start = time.process_time()
    assert schemas().check(TRAVEL, event, on=DAY)
    assert time.process_time() - start < 2


def test_every_group_present_says_whether_it_is_fact_or_assessment():
    quality = VALID[TRAVEL]["handling"]["data_quality"]
    problems = check(replaced(VALID[TRAVEL], "/handling/data_quality", [q for q in quality if q["group"] not in {"risk", "identity"}]))
    assert [(p.pointer, p.expected.split()[3].rstrip(":")) for p in problems] == [
        ("/handling/data_quality", "identity"),
        ("/handling/data_quality", "risk"),
    ]


# --- code lists -----------------------------------------------------------------------------------------------------------


def edition(first: date, last: date | None, *codes: str) -> CodeList:
    entries = {code: Entry(code, code) for code in codes}
    return CodeList(
        id="purpose", title="Purposes", source="test", verified=True, effective_from=first, effective_to=last, entries=entries
    )  # fmt: skip


def test_a_code_is_judged_by_the_list_in_force_on_the_day_of_issue():
    old = edition(date(2020, 1, 1), date(2026, 12, 31), "PREVENT_CHILD_SEX_CRIME")
    new = edition(date(2027, 1, 1), None, "PREVENTION")
    dated = Schemas(files(), CodeLists({**reference().codes.editions, "purpose": (old, new)}))
    event = VALID[TRAVEL]
    assert dated.check(TRAVEL, event, on=date(2026, 12, 31)) == []
    (problem,) = dated.check(TRAVEL, event, on=date(2027, 1, 1))
    assert (problem.code, problem.pointer) == (Code.CODE_UNKNOWN, "/handling/purpose")
    assert "PREVENTION" in problem.expected
    assert "/handling/purpose" in {p.pointer for p in dated.check(TRAVEL, event, on=date(2019, 12, 31)) if p.code is Code.CODE_UNKNOWN}


def test_a_schema_that_names_a_list_nobody_shipped_stops_the_start():
    with pytest.raises(SchemaError, match="purpose"):
        Schemas(files(), CodeLists({k: v for k, v in reference().codes.editions.items() if k != "purpose"}))


IMO = [("9074729", True), ("9074728", False), ("907472", False), ("90747290", False), ("٩٠٧٤٧٢٩", False), ("", False)]


@pytest.mark.parametrize(("text", "right"), IMO)
def test_an_imo_number_has_its_check_digit(text, right):
    assert imo_number(text) is right


# --- groups ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_cutting_nothing_away_keeps_everything(family):
    event = full(family)
    assert schemas().cut(family, event, GROUPS) == (event, frozenset())


@pytest.mark.parametrize("family", FAMILIES)
def test_cutting_everything_away_leaves_the_envelope_alone(family):
    event = full(family)
    before = copy.deepcopy(event)
    kept, removed = schemas().cut(family, event, frozenset())
    assert event == before
    assert kept.keys() - {"body"} == {"handling", "routing", "subject"}
    members = schemas().document(family)["properties"]["body"]["properties"]
    assert {members[name]["x-field-group"] for name in kept.get("body", {})} <= ALWAYS  # who may have the record
    assert (kept["handling"], kept["subject"]) == (event["handling"], event["subject"])
    assert event["routing"].keys() - kept["routing"].keys() == {"contact", "case_reference"}
    assert removed == {entry["group"] for entry in event["handling"]["data_quality"]}


@pytest.mark.parametrize("group", sorted(schemas().cut(TRAVEL, full(TRAVEL), frozenset())[1]))
def test_a_group_is_cut_whole_and_nothing_else_with_it(group):
    event = full(TRAVEL)
    alone, _ = schemas().cut(TRAVEL, event, frozenset({group}))
    without, removed = schemas().cut(TRAVEL, event, GROUPS - {group})
    envelope, _ = schemas().cut(TRAVEL, event, frozenset())
    assert removed == {group}
    everything, of_group, others, always = (set(dict(leaves(e))) for e in (event, alone, without, envelope))
    assert of_group | others == everything
    assert of_group & others == always


def test_a_place_in_an_itinerary_and_an_address_of_a_hotel_follow_what_is_around_them():
    kept, _ = schemas().cut(TRAVEL, full(TRAVEL), frozenset({"accommodation"}))
    assert kept["body"].keys() == {"accommodation"}
    kept, _ = schemas().cut(TRAVEL, full(TRAVEL), frozenset({"contact"}))
    assert kept["body"].keys() == {"person", "destination_contacts"}
    assert kept["body"]["person"].keys() == {"residence_countries"}


def test_extensions_are_kept_by_their_uri_alone_or_all():
    event = full(TRAVEL)
    assert schemas().cut(TRAVEL, event, GROUPS - {"extensions"})[1] == {"extensions"}
    kept, removed = schemas().cut(TRAVEL, event, (GROUPS - {"extensions"}) | {f"extensions:{WINDOW}"})
    assert (kept, removed) == (event, frozenset())
    other = (GROUPS - {"extensions"}) | {"extensions:https://gateway.example/extensions/other/1.0"}
    assert "extensions" not in schemas().cut(TRAVEL, event, other)[0]


REPORT = group_tree(
    {
        "properties": {
            "persons": {
                "x-field-group-rest": "associates",
                "items": {"properties": {"name": {"x-field-group": "identity"}, "health": {"x-field-group": "health"}}},
            }
        }
    }
)
PERSONS = {"persons": [{"name": "A", "health": "x"}, {"name": "B"}, {"name": "C"}]}
CUTS = [
    ({"identity"}, [{"name": "A"}], {"associates", "health"}),
    ({"identity", "associates"}, [{"name": "A"}, {"name": "B"}, {"name": "C"}], {"health"}),
    ({"health"}, [{"health": "x"}], {"associates", "identity"}),
    ({"associates"}, [{}, {"name": "B"}, {"name": "C"}], {"health", "identity"}),
]


@pytest.mark.parametrize(("allowed", "left", "gone"), CUTS)
def test_every_person_of_a_report_but_the_first_is_an_associate(allowed, left, gone):
    kept, removed = REPORT.cut(PERSONS, frozenset(allowed))
    assert (kept, removed) == ({"persons": left}, gone)


@pytest.mark.parametrize("event", [{"unknown": 1}, {"body": {"unknown": 1}}, {"body": 7}, {"body": [1]}])
def test_what_is_outside_the_schema_is_in_no_group_and_goes_to_nobody(event):
    with pytest.raises(InvariantError):
        schemas().cut(TRAVEL, event, GROUPS)


# --- deliveries -----------------------------------------------------------------------------------------------------------

ADDED = {"original": REF, "prior_undelivered": False, "withheld": [{"group": "risk", "reason": "NO_PERMIT"}]}


def delivered(family: Family, allowed: frozenset[str]) -> dict[str, Any]:
    kept, _ = schemas().cut(family, full(family), allowed)
    return {**kept, "body": kept.get("body", {}), "subject": {**kept["subject"], "iss": "gb-register"}, **ADDED}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("group", [*sorted(GROUPS), "nothing"])
def test_every_view_fits_the_delivery_schema(family, group):
    for allowed in (frozenset({group}), GROUPS - {group}):
        event = delivered(family, allowed)
        assert schemas().verdicts(family, event, "delivery") == (True, True)
        assert schemas().check_delivery(family, event) == []


@pytest.mark.parametrize(
    "pointer", ["/original", "/prior_undelivered", "/withheld", "/subject/iss", "/handling/purpose", "/routing/priority"]
)
def test_a_delivery_lacks_nothing_that_is_never_withheld(pointer):
    (problem,) = schemas().check_delivery(TRAVEL, replaced(delivered(TRAVEL, GROUPS), pointer, MISSING))
    assert problem.pointer == pointer


def test_a_delivery_is_as_closed_as_a_submission():
    assert schemas().check_delivery(TRAVEL, {**delivered(TRAVEL, GROUPS), "x": 1})
    assert schemas().check_delivery(TRAVEL, replaced(delivered(TRAVEL, GROUPS), "/body/person/birth", {}))


# --- families -------------------------------------------------------------------------------------------------------------

URIS = [
    (f"{BASE}/travel-notification/1.0", TRAVEL),
    (f"{BASE}/a/10.20", Family("a", "10.20")),
    (f"{BASE}/travel-notification/1", None),
    (f"{BASE}/travel-notification/01.0", None),
    (f"{BASE}/travel-notification/1.0/", None),
    (f"{BASE}/travel-notification/1.0\n", None),
    (f"{BASE}/Travel/1.0", None),
    (f"{BASE}//1.0", None),
    (f"{BASE}x/travel-notification/1.0", None),
    (f"{BASE}/travel-notification/١.0", None),  # noqa: RUF001 -- a foreign digit is meant
    ("travel-notification/1.0", None),
    ("", None),
]


@pytest.mark.parametrize(("uri", "family"), URIS)
def test_a_family_uri_is_read_exactly(uri, family):
    assert parse_family_uri(BASE, uri) == family
    if family is not None:
        assert family_uri(BASE, family) == uri


def test_a_family_nobody_has_a_schema_for_is_not_known():
    unknown = Family("travel-notification", "9.9")
    assert schemas().families == set(FAMILIES)
    assert not schemas().knows(unknown)
    with pytest.raises(InvariantError):
        schemas().check(unknown, {}, on=DAY)


def test_the_digest_tells_one_set_of_schemas_from_another():
    same = Schemas(files(), reference().codes)
    other = Schemas(type(files())(common=files().common, families=files().families, extensions={}), reference().codes)
    assert schemas().digest == same.digest != other.digest
