from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract.values import Country, Environment, Family, Jti, PartnerId, Ref, Removed, Role
from gateway.core.groups import ALWAYS, GOVERNED, HEALTH, HEALTH_WITH_REASON
from gateway.core.message import Message
from gateway.core.minimise import deliver_event, minimise, reasons
from gateway.core.policy import Answer, Effect
from gateway.core.profiles import Profile

OF = {
    "names": "identity", "identifiers": "identifiers", "itinerary": "itinerary", "offences": "offences", "staff_warning": "staff_safety",
    "medical": "health", "strictly_necessary": "health", "companions": "associates", "routing": "routing", "handling": "handling",
    "subject": "subject", "contact": "sender_contact", "extensions": "extensions",
}  # fmt: skip


class Schemas:
    """Cuts a flat body by the names above: what a schema with one leaf per group does."""

    def cut(self, _family: Family, event: Mapping[str, Any], allowed: frozenset[str]) -> tuple[Mapping[str, Any], frozenset[str]]:
        if HEALTH_WITH_REASON in allowed and event["body"].get("strictly_necessary"):
            allowed |= {HEALTH}
        kept = {**event, "body": {k: v for k, v in event["body"].items() if OF[k] in allowed}}
        gone = {OF[k] for k in event["body"] if OF[k] not in allowed}
        if "extensions" in event and "extensions" not in allowed:
            del kept["extensions"]
            gone.add("extensions")
        return kept, frozenset(gone)


def message(body: Mapping[str, Any] | None = None, *, is_minor: str = "NO", routing: Mapping[str, Any] | None = None) -> Message:
    event = {
        "handling": {"environment": "TEST", "classification": "OFFICIAL"},
        "routing": {"priority": "ROUTINE", "action_requested": "REPLY"} if routing is None else routing,
        "subject": {"ref": "r-1", "status": "CONVICTED", "is_minor": is_minor},
        "body": body or {"names": ["TEST PERSON"], "offences": ["x"], "itinerary": {"segments": []}},
    }
    at = datetime(2026, 11, 5, tzinfo=UTC)
    return Message(
        iss=PartnerId("gb-register"), jti=Jti("j-1"), digest="0" * 64, aud=PartnerId("gateway"), iat=at, toe=at, txn="t",
        family=Family("travel-notification", "1.0"), event=event,
    )  # fmt: skip


def partner(id_: str = "fr-police", *, country: str = "FR", kind: str = "POLICE", serves: frozenset[str] = frozenset()) -> Profile:
    return Profile(
        id=PartnerId(id_), name="x", country=Country(country), kind=kind, sector="STATUTORY", environment=Environment.TEST, delivery=None,
        serves=frozenset(map(Country, serves)),
    )  # fmt: skip


@given(st.sets(st.sampled_from(sorted(set(OF) - ALWAYS - {"extensions"})), min_size=1), st.frozensets(st.sampled_from(GOVERNED)))
def test_what_is_not_allowed_never_reaches_a_view_and_every_removal_has_a_reason(names, allowed):
    """P3: whatever is present and whatever is allowed, the view holds allowed groups only, and names each one that is gone."""
    view = minimise(message(dict.fromkeys(names, "x")), allowed, partner(), Schemas())
    shown = {OF[name] for name in view.event["body"]}
    present = {OF[name] for name in names}
    assert shown <= allowed | ALWAYS
    assert {r.group for r in view.removed} == present - shown
    assert all(r.reason and r.because for r in view.removed)


def test_the_recorded_reason_is_the_one_told():
    recorded = Removed("offences", "POLICY_FORBID", ("no-offences",))
    view = minimise(message(), frozenset({"identity"}), partner(), Schemas(), removed=[recorded])
    assert view.removed == (Removed("itinerary", "NO_PERMIT", ("default-deny",)), recorded)


@pytest.mark.parametrize(
    ("group", "answer", "kind", "expected"),
    [
        pytest.param("risk", Answer(Effect.DENY, ("default-deny",)), "POLICE", ("NO_PERMIT", ("default-deny",)), id="no-permit"),
        pytest.param("risk", None, "POLICE", ("NO_PERMIT", ("default-deny",)), id="no-answer"),
        pytest.param("risk", Answer(Effect.DENY, ("a", "b")), "POLICE", ("POLICY_FORBID", ("a", "b")), id="forbid"),
        pytest.param("risk", Answer(Effect.HOLD, ("policy-error",)), "POLICE", ("POLICY_FORBID", ("policy-error",)), id="error"),
        pytest.param("associates", None, "POLICE", ("THIRD_PARTY", ("default-deny",)), id="third-party"),
        pytest.param("staff_safety", None, "BORDER", ("STAFF_SAFETY", ("default-deny",)), id="staff-of-others"),
        pytest.param("staff_safety", None, "PROBATION", ("NO_PERMIT", ("default-deny",)), id="staff-that-visits"),
        pytest.param("extensions", None, "POLICE", ("EXTENSION", ("default-deny",)), id="extension"),
    ],
)
def test_a_removed_group_has_the_reason_of_its_answer(group, answer, kind, expected):
    (removed,) = reasons({group}, {} if answer is None else {group: answer}, partner(kind=kind))
    assert (removed.group, removed.reason, removed.because) == (group, *expected)


def test_identifiers_that_never_leave_their_country_stay_there_whatever_a_policy_permits():
    ids = [{"scheme": "SSN", "value": "000"}, {"scheme": "NATIONAL_ID", "value": "1"}, {"scheme": "FBI", "value": "2"}]
    abroad = minimise(message({"identifiers": ids}), frozenset(GOVERNED), partner(), Schemas())
    assert [i["scheme"] for i in abroad.event["body"]["identifiers"]] == ["NATIONAL_ID"]
    assert abroad.removed == (Removed("identifiers", "DOMESTIC_ONLY", ("domestic-only",)),)
    home = minimise(message({"identifiers": ids}), frozenset(GOVERNED), partner(country="US"), Schemas())
    assert home.event["body"]["identifiers"] == ids
    assert home.removed == ()


def test_no_empty_list_tells_of_an_identifier_that_was_there():
    view = minimise(message({"identifiers": [{"scheme": "SSN", "value": "000"}]}), frozenset(GOVERNED), partner(), Schemas())
    assert "identifiers" not in view.event["body"]


def test_identifiers_below_persons_are_found_too():
    companions = [{"person": {"identifiers": [{"scheme": "FBI", "value": "2"}], "names": []}}]
    view = minimise(message({"companions": companions}), frozenset(GOVERNED), partner(), Schemas())
    assert view.event["body"]["companions"] == [{"person": {"names": []}}]


@pytest.mark.parametrize(("body", "gone"), [({"medical": "x"}, True), ({"medical": "x", "strictly_necessary": "why"}, False)])
def test_health_travels_only_with_its_reason(body, gone):
    view = minimise(message(body), frozenset(GOVERNED), partner(), Schemas())
    assert ("medical" not in view.event["body"]) is gone
    assert view.removed == ((Removed("health", "SPECIAL_CATEGORY", ("special-category",)),) if gone else ())


def test_health_that_no_policy_permits_is_not_called_a_special_category():
    (removed,) = minimise(message({"medical": "x"}), frozenset(), partner(), Schemas()).removed
    assert removed.reason == "NO_PERMIT"


FR, NL, ES = ({"country": c, "role": "DESTINATION"} for c in ("FR", "NL", "ES"))
NAMED, OTHER = {"partner": "fr-police", "role": "NAMED"}, {"partner": "fr-border", "role": "NAMED"}


@pytest.mark.parametrize(
    ("entries", "profile", "roles", "own"),
    [
        pytest.param([FR, NL, NAMED, OTHER], partner(), (), [FR, NAMED], id="own-country-and-id"),
        pytest.param([FR, NL], partner("hub", country="BE", serves=frozenset({"NL"})), (), [NL], id="a-country-it-serves"),
        pytest.param([FR, NAMED], partner(), (Role.NAMED,), [NAMED], id="not-a-role-it-does-not-have"),
        pytest.param([OTHER, ES], partner(), (), None, id="none-of-its-own"),
    ],
)
def test_a_recipient_sees_its_own_entries_only(entries, profile, roles, own):
    routing = {"priority": "ROUTINE", "action_requested": "REPLY", "recipients": entries}
    view = minimise(message(routing=routing), frozenset(GOVERNED), profile, Schemas(), roles=roles)
    assert view.event["routing"].get("recipients") == own


@pytest.mark.parametrize(("said", "told"), [({}, "INFORMATION_ONLY"), ({"action_requested": "MONITOR"}, "MONITOR")])
def test_a_notice_is_information_only_unless_the_sender_asked_for_more(said, told):
    view = minimise(message(routing={"priority": "ROUTINE", **said}), frozenset(), partner(), Schemas())
    assert view.event["routing"]["action_requested"] == told


@pytest.mark.parametrize(("is_minor", "mark"), [("NO", "OFFICIAL"), ("YES", "OFFICIAL-SENSITIVE"), ("UNKNOWN", "OFFICIAL-SENSITIVE")])
def test_what_is_about_a_minor_is_marked(is_minor, mark):
    view = minimise(message(is_minor=is_minor), frozenset(), partner(), Schemas())
    assert view.event["handling"] == {"environment": "TEST", "classification": mark}
    assert view.environment is Environment.TEST


def test_minimising_changes_nothing_of_the_message():
    original = message(
        {"identifiers": [{"scheme": "SSN", "value": "000"}]}, is_minor="YES", routing={"priority": "ROUTINE", "recipients": [NL]}
    )
    before = repr(original)
    minimise(original, frozenset(GOVERNED), partner(), Schemas())
    assert repr(original) == before


@dataclass(frozen=True)
class Told:
    required: str = "P7D"
    given: str = "P3D"
    late: bool = True
    row: str = "gb-travel-7d"


def test_a_delivery_says_what_it_comes_from_and_what_is_withheld():
    view = minimise(message(), frozenset({"identity", "itinerary"}), partner(), Schemas())
    event = deliver_event(
        view, original=Ref(PartnerId("gb-register"), Jti("j-1")), subject_iss="gb-register", previous=Jti("j-0"), prior_undelivered=True,
        lead_time=Told(), checkpoint="note",
    )  # fmt: skip
    added = {k: event[k] for k in event.keys() - view.event.keys()}
    assert added == {
        "original": {"iss": "gb-register", "jti": "j-1"}, "previous": "j-0", "prior_undelivered": True, "checkpoint": "note",
        "withheld": [{"group": "offences", "reason": "NO_PERMIT"}],
        "lead_time": {"required": "P7D", "given": "P3D", "late": True, "row": "gb-travel-7d"},
    }  # fmt: skip
    assert event["subject"]["iss"] == "gb-register"
    assert "iss" not in view.event["subject"]


def test_what_a_delivery_does_not_know_is_left_out():
    view = minimise(message(), frozenset(), partner(), Schemas())
    event = deliver_event(
        view,
        original=Ref(PartnerId("a"), Jti("b")),
        subject_iss="a",
        previous=None,
        prior_undelivered=False,
        lead_time=None,
        checkpoint=None,
    )
    assert event.keys() - view.event.keys() == {"original", "prior_undelivered", "withheld"}
