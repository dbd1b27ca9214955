# ruff: noqa: RUF001 -- letters and digits that look alike are the point
"""Two validators, one verdict: whatever is put where, the fast and the explaining one agree, and what is refused is explained."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.groups import GROUPS
from gateway.core.schema import Entry
from gateway.core.schema_faults import Explainer
from gateway.testing.messages import MISSING, replaced
from tests.unit.core.schema_samples import DAY, FAMILIES, files, full, leaves, schemas

FULL = {family: full(family) for family in FAMILIES}
ASCII_DIGITS = "0123456789"
FOREIGN = ["٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"]  # Arabic, Devanagari, full width, mathematical
LATIN_LOOKALIKES = str.maketrans("ABCEHOPTX", "АВСЕНОРТХ")
NASTY = [
    "", " ", "\n", "\t", "\r\n", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff", "\u200b", "\ud7ff", "\U0010ffff",
    "é", "e\u0301", "ﬁ", "ſ", "K", "İ", "😀", "😀" * 50, "😀" * 51, "x" * 50, "x" * 51, "x" * 100, "x" * 101, "x" * 4000, "x" * 4001, "é" * 120,
    "2026-02-28", "2026-02-29", "2024-02-29", "2026-02-30", "2026-04-31", "2026-13-01", "2026-00-10", "2026-1-1", "0000-01-01", "1899-12-31", "2200-01-01",
    "+2026-01-01", "-2026-01-01", "20260101", "2026-W01-1", "2026-001", "2026-02", "2026", "2026-00", "1970-02-30", "01-01-2026",
    "2026-02-28T10:00:00Z", "2026-02-30T10:00:00Z", "2026-02-28T24:00:00Z", "2026-02-28T23:59:60Z", "2026-06-30T23:59:60Z", "2026-02-28t10:00:00z",
    "2026-02-28 10:00:00Z", "2026-02-28T10:00Z", "2026-02-28T10:00:00", "2026-02-28T10:00:00+24:00", "2026-02-28T10:00:00+05:60",
    "2026-02-28T10:00:00.1Z", "2026-02-28T10:00:00.1234567Z", "2026-02-28T10:00:00,1Z", "2026-02-28T10:00:00-00:00", "2026-02-28T10:00:00.Z",
    "09:30", "24:00", "9:30", "09:60", "GB", "gb", "UK", "XK", "XXA", "UTO", "NONE", "ALL", "en", "EN", "sr-Latn-RS", "a@b.cc", "a@b", "+441234567890",
    "FAMILY", "019a9d2e-5c00-7000-8000-000000000001", "019A9D2E-5C00-7000-8000-000000000001", "019a9d2e-5c00-4000-8000-000000000001", "null", "1e999",
]  # fmt: skip
LEAVES = [(family, pointer, value) for family in FAMILIES for pointer, value in leaves(FULL[family])]
TEXTS = [(family, pointer, value) for family, pointer, value in LEAVES if isinstance(value, str)]


def near(value: str) -> list[str]:
    foreign = [value.translate(str.maketrans(ASCII_DIGITS, digits)) for digits in FOREIGN]
    around = [f"{value}{end}" for end in ("\n", "\r", "\r\n", "\x00", " ", "\u2028", "\u202e", "\x85")]
    before = [f"{start}{value}" for start in ("\n", "\ufeff", "x\n")]
    return [*foreign, *around, *before, value.translate(LATIN_LOOKALIKES), value.lower(), value.upper(), value[:-1], value * 2]


def schema_at(family: Any, pointer: str) -> dict[str, Any]:
    node: Any = schemas().document(family)
    for step in pointer.split("/")[1:]:
        node = node["items"] if step.isdigit() else node["properties"][step.replace("~1", "/")]
    return dict(node)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "pointer", "value"), TEXTS, ids=[f"{family.name}{pointer}" for family, pointer, _ in TEXTS])
def test_nasty_strings_part_no_validators(family, pointer, value):
    for text in near(value):
        fast, slow = schemas().verdicts(family, replaced(FULL[family], pointer, text))
        assert fast == slow, ascii(text)
        if (family, pointer) not in TWO_LINED and text.endswith(("\n", "\r", "\x00", "\u2028", "\u202e")):
            assert not fast, ascii(text)
    schema = schema_at(family, pointer)
    one, other = jsonschema_rs.Draft202012Validator(schema, validate_formats=True), Explainer(schema)
    for text in NASTY:  # by itself, which is fast
        assert one.is_valid(text) == other.accepts(text), ascii(text)


NARRATIVE = files().common["/schemas/common/narrative.json"]["properties"]["text"]["pattern"]
TWO_LINED = {
    (family, pointer) for family, pointer, _ in TEXTS if schema_at(family, pointer).get("pattern") == NARRATIVE
}  # nothing else may
DATES = [(family, pointer) for family, pointer, value in TEXTS if len(value) == 10 and value[4] == value[7] == "-"]
INSTANTS = [(family, pointer) for family, pointer, value in TEXTS if len(value) == 20 and value[10] == "T"]
NO_DATES = [
    "2026-02-29",
    "2026-04-31",
    "2026-13-01",
    "0000-01-01",
    "20260101",
    "2026-W01-1",
    "2026-01-01\n",
    "٢٠٢٦-٠١-٠١",
    "2026-01-01T00:00:00Z",
]
NO_INSTANTS = [
    "2026-02-30T10:00:00Z",
    "2026-02-28T24:00:00Z",
    "2026-06-30T23:59:60Z",
    "2026-02-28t10:00:00z",
    "2026-02-28T10:00:00",
    "2026-02-28",
]


@pytest.mark.parametrize(("family", "pointer"), DATES)
@pytest.mark.parametrize("text", NO_DATES)
def test_a_day_that_does_not_exist_is_refused_everywhere(family, pointer, text):
    assert schemas().verdicts(family, replaced(FULL[family], pointer, text)) == (False, False)


@pytest.mark.parametrize(("family", "pointer"), INSTANTS)
@pytest.mark.parametrize("text", NO_INSTANTS)
def test_an_instant_that_does_not_exist_is_refused_everywhere(family, pointer, text):
    assert schemas().verdicts(family, replaced(FULL[family], pointer, text)) == (False, False)


def test_the_tables_above_found_the_dates_and_instants():
    assert {("/handling/retention/delete_by"), ("/body/itinerary/segments/0/departure/date")} <= {pointer for _, pointer in DATES}
    assert {("/routing/reply_by"), ("/body/notified_by_subject_at"), ("/body/at")} <= {pointer for _, pointer in INSTANTS}


def ways(value: Any, pointer: str = "") -> list[str]:
    """Pointers to everything below a value."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        w for name, item in below for at in [f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"] for w in (at, *ways(item, at))
    ]


WAYS = {family: ways(FULL[family]) for family in FAMILIES}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(NASTY)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["kind", "code", "country", "role", "date", "x", ""]), inner, max_size=4)
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Any, Any]:
    family = draw(st.sampled_from(FAMILIES))
    event = copy.deepcopy(FULL[family])
    for pointer in draw(st.lists(st.sampled_from(WAYS[family]), max_size=4)):
        value = draw(st.one_of(st.just(MISSING), JSON))
        try:
            event = replaced(event, pointer, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took the way to it
    return family, event


@pytest.mark.slow
@given(mutated(), st.sampled_from(["submission", "delivery"]))
@settings(max_examples=300, deadline=None)
def test_whatever_is_changed_both_validators_say_the_same(changed: tuple[Any, Any], entry: Entry) -> None:
    family, event = changed
    fast, slow = schemas().verdicts(family, event, entry)
    assert fast == slow
    problems = schemas().check(family, event, on=DAY) if entry == "submission" else schemas().check_delivery(family, event)
    assert fast or problems
    assert all(p.detail and p.pointer is not None for p in problems)


@given(st.sampled_from(FAMILIES), st.sets(st.sampled_from(sorted(GROUPS))), st.dates(date(2020, 1, 1), date(2040, 1, 1)))
@settings(max_examples=150, deadline=None)
def test_what_is_cut_away_is_named_and_the_rest_is_untouched(family: Any, allowed: set[str], day: date) -> None:
    event = FULL[family]
    kept, removed = schemas().cut(family, event, frozenset(allowed))
    assert not removed & allowed
    before, after = dict(leaves(event)), dict(leaves(kept))
    assert after.items() <= before.items()
    assert schemas().cut(family, kept, frozenset(allowed)) == (kept, frozenset())
    assert bool(removed) == (len(after) < len(before))
    assert schemas().check(family, event, on=day) == []
