"""What the schemas take of a person: names in any script, partial dates, every kind of nationality, ISO 5218 sex, aliases."""

# ruff: noqa: RUF001 -- names in other scripts

from __future__ import annotations

import pytest

from gateway.contract.values import Family
from gateway.core.limits import PROBLEMS_COUNT_MAX
from gateway.core.problems import Code, Severity
from gateway.testing.messages import replaced
from tests.unit.core.schema_samples import DAY, FAMILIES, TRAVEL, reference, schemas, shipped

PERSON = "/body/person"
UKRAINIAN = {"kind": "LEGAL", "family": "ОСОБА", "given": "ТЕСТ", "script": "Cyrl", "language": "uk", "latin": "OSOBA TEST"}
ARABIC = {"kind": "ALIAS", "full": "شخص تجريبي", "script": "Arab", "language": "ar", "latin": "XSHXKHXSS TJRYBY"}
JAPANESE = {"kind": "ALIAS", "full": "試験 人物", "script": "Jpan", "language": "ja", "latin": "SHIKEN JINBUTSU"}


def problems(pointer, value, event=None):
    return schemas().check(TRAVEL, replaced(event or shipped(TRAVEL, "valid"), f"{PERSON}{pointer}", value), on=DAY)


def errors(pointer, value):
    return [p.pointer for p in problems(pointer, value) if p.is_error]


def without(name, *members):
    return {member: value for member, value in name.items() if member not in members}


@pytest.mark.parametrize(("date", "right"), [
    ("1970", True), ("1970-02", True), ("1970-02-28", True), ("1970-02-30", False), ("1970-13", False), ("70", False), ("1970-00-00", False), ("", False),
])  # fmt: skip
def test_a_birth_date_is_of_any_precision_and_of_the_calendar(date, right):
    assert errors("/birth/date", date) == ([] if right else [f"{PERSON}/birth/date"])


@pytest.mark.parametrize("codes", [["GB", "IE", "XK"], ["XXA"], ["XXB"], ["XXC"], ["XXX"], ["GBD", "GBN", "GBO", "GBP", "GBS"], ["UTO"]])
def test_nationalities_are_several_and_of_those_without_one_too(codes):
    assert errors("/nationalities", codes) == []


@pytest.mark.parametrize(
    ("codes", "at"), [(["XXD"], "/0"), (["GBR"], "/0"), (["GB", "QQ"], "/1"), ([], ""), (["GB", "GB"], ""), (["D"], "/0"), (["RKS"], "/0")]
)
def test_no_other_nationality_is_taken(codes, at):
    assert errors("/nationalities", codes) == [f"{PERSON}/nationalities{at}"]


def test_every_code_of_icao_is_in_the_list_and_says_that_utopia_is_a_specimen():
    entries = reference().codes.in_force(DAY)["icao-nationality"]
    assert set(entries) == {"XXA", "XXB", "XXC", "XXX", "GBD", "GBN", "GBO", "GBP", "GBS", "UTO"}
    assert "outside PRODUCTION" in entries["UTO"].title


@pytest.mark.parametrize(
    ("sex", "right"), [(0, True), (1, True), (2, True), (9, True), (3, False), ("1", False), (None, False), ("M", False)]
)
def test_sex_is_a_code_of_iso_5218(sex, right):
    assert errors("/sex", sex) == ([] if right else [f"{PERSON}/sex"])


@pytest.mark.parametrize(
    "names", [[UKRAINIAN], [UKRAINIAN, ARABIC, JAPANESE], [{"kind": "LEGAL", "family": "PERSON"}, {"kind": "ALIAS", "full": "TEST"}]]
)
def test_names_of_any_script_stand_beside_each_other(names):
    assert problems("/names", names) == []


@pytest.mark.parametrize("member", ["script", "language", "latin"])
@pytest.mark.parametrize("name", [UKRAINIAN, {**ARABIC, "kind": "LEGAL"}, {**JAPANESE, "kind": "LEGAL"}], ids=["Cyrl", "Arab", "Jpan"])
def test_what_is_not_in_latin_letters_has_script_language_and_latin_form(name, member):
    assert errors("/names", [without(name, member)]) == [f"{PERSON}/names/0/{member}"]


@pytest.mark.parametrize("latin", ["Osoba Test", "OSOBA  TEST", "ОСОБА ТЕСТ", "OSOBA1", "ÖSOBA", ""])
def test_a_latin_form_is_of_a_to_z(latin):
    assert errors("/names", [{**UKRAINIAN, "latin": latin}]) == [f"{PERSON}/names/0/latin"]


def test_one_name_is_legal():
    assert errors("/names", [ARABIC]) == [f"{PERSON}/names"]


def persons(event):
    body = event["body"]
    return [one for one in (body.get("person"), *(each.get("person") for each in body.get("persons", ()))) if one]


@pytest.mark.parametrize(("environment", "right"), [("TEST", True), ("ACCEPTANCE", True), ("PRODUCTION", False)])
@pytest.mark.parametrize("family", [family for family in FAMILIES if persons(shipped(family, "valid"))], ids=str)
def test_a_specimen_has_no_place_in_production(family, environment, right):
    event = shipped(family, "valid")
    event["handling"]["environment"] = environment
    persons(event)[0]["nationalities"] = ["GB", "UTO"]
    (*found,) = (p.pointer for p in schemas().check(family, event, on=DAY) if p.is_error)
    assert [pointer.endswith("/person/nationalities/1") for pointer in found] == ([] if right else [True])


@pytest.mark.parametrize("family", [family for family in FAMILIES if persons(shipped(family, "valid"))], ids=str)
def test_a_latin_form_that_is_not_the_name_s_is_a_warning_that_quotes_nothing(family):
    event = shipped(family, "valid")
    person = persons(event)[0]
    before = schemas().check(family, event, on=DAY)
    person["names"][0] = {**UKRAINIAN, "latin": "SOMEBODY ELSE"}
    (warning,) = [p for p in schemas().check(family, event, on=DAY) if p not in before]
    assert (warning.code, warning.severity, warning.rule) == (Code.SCHEMA_INVALID, Severity.WARNING, None)
    assert warning.pointer.endswith("/names/0/latin")
    assert not any(word in warning.detail + warning.expected for word in ("SOMEBODY", "OSOBA", "ОСОБА"))


def test_the_warnings_of_many_names_never_reject_a_message():
    family = Family("intelligence-report", "1.0")
    event = shipped(family, "valid")
    named = {**event["body"]["persons"][0]["person"], "names": [{**UKRAINIAN, "latin": "SOMEBODY ELSE"}] * 20}
    event["body"]["persons"] = [{"role": "SUBJECT", "person": named}, *[{"role": "COMPANION", "person": named}] * 7]
    found = schemas().check(family, event, on=DAY)
    assert len(found) == PROBLEMS_COUNT_MAX
    assert {p.severity for p in found} == {Severity.WARNING}
