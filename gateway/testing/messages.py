"""Messages for tests and the demonstration: realistic in shape, fictional in every name and number.

Nothing here looks at a clock or throws dice of its own: the same `random.Random` and the same `now` give the same messages.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any, Final

from gateway.contract.values import Family, Ref
from gateway.core import icao9303
from gateway.core.schema import family_uri
from gateway.testing import journeys

TRAVEL: Final = Family("travel-notification", "1.0")
ACKNOWLEDGEMENT: Final = Family("acknowledgement", "1.0")
MISSING: Final = object()  # as a value of `replaced`: takes the member out


class Label(StrEnum):
    """What a message of the fictional register is an example of."""

    OK = "ok"
    LATE = "late"
    EMERGENCY = "emergency"
    DETECTED = "detected"
    ATTEMPTED = "attempted"
    RESTRICTED = "restricted"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A message before it is signed. `claims` makes it one for a sender and an addressee."""

    family: Family
    event: Mapping[str, Any]
    jti: str
    txn: str
    iat: datetime
    toe: datetime

    def claims(self, *, iss: str, aud: str, uri_base: str) -> dict[str, Any]:
        """Return the claims of the security event token (RFC 8417)."""
        times = {"iat": int(self.iat.timestamp()), "toe": int(self.toe.timestamp())}
        return {
            "iss": iss,
            "aud": aud,
            "jti": self.jti,
            **times,
            "txn": self.txn,
            "events": {family_uri(uri_base, self.family): dict(self.event)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One notice of the fictional register, what it is an example of, and in words."""

    number: int
    label: Label
    title: str
    sample: Sample


def travel_notice(  # noqa: PLR0913 -- each says one thing about the notice, all but two have a default
    dice: Random,
    now: datetime,
    *,
    label: Label = Label.OK,
    journey: journeys.Journey | None = None,
    subject_ref: str | None = None,
    environment: str = "TEST",
    overrides: Mapping[str, Any] | None = None,
) -> Sample:
    """Return a travel notice. `overrides` are values by JSON Pointer, put in last; `MISSING` takes a member out."""
    journey = journey or dice.choice(journeys.JOURNEYS)
    declared = label not in {Label.DETECTED, Label.ATTEMPTED}
    notified = now - timedelta(minutes=dice.randrange(30, 24 * 60))
    body = {
        "person": person_of(dice),
        "notification_basis": "DECLARED" if declared else label.value.upper(),
        **({"notified_by_subject_at": instant(notified)} if declared else {}),
        "purpose_of_travel": [{"code": dice.choice(["VACATION", "FAMILY", "BUSINESS", "EMPLOYMENT"])}],
        "itinerary": journey.itinerary(_first_day(dice, now, label), nights=dice.randrange(4, 20)),
        **({"accommodation": {"first_night": journey.first_night}} if declared else {}),
        "emergency": label is Label.EMERGENCY,
        **({"emergency_reason": "A relative fell ill (fictional)"} if label is Label.EMERGENCY else {}),
        "registration_status": "ACTIVE",
        "offence_summary": [dice.choice(OFFENCES)],
        "risk_level": {
            "tool": "RM2000",
            "level": dice.choices(["LOW", "MEDIUM", "HIGH", "VERY_HIGH"], [30, 40, 20, 10])[0],
            "assessed_on": (now - timedelta(days=dice.randrange(20, 300))).date().isoformat(),
            "assessor_kind": "POLICE",
        },
        "victim_profile": [dice.choice(VICTIM_PROFILES)],
        "active_travel_restriction": RESTRICTION if label is Label.RESTRICTED else "NONE",
    }
    if dice.random() < 0.3:  # a third or so, so that both are seen
        body["destination_contacts"] = [{"phone": f"+99900{dice.randrange(10**6):06d}"}]
    priority = {Label.OK: "ROUTINE", Label.LATE: "PRIORITY"}.get(label, "IMMEDIATE" if label is Label.ATTEMPTED else "PRIORITY")
    subject = {"ref": subject_ref or f"s-{dice.randrange(10**6):06d}", "status": "CONVICTED", "is_minor": "NO"}
    event = {"handling": handling_of(now, environment=environment), "routing": routing_of(priority), "subject": subject, "body": body}
    event["routing"]["case_reference"] = f"TEST-{dice.randrange(10**6):06d}"
    for pointer, value in (overrides or {}).items():
        event = replaced(event, pointer, value)
    if "/handling/data_quality" not in (overrides or {}):
        event = replaced(event, "/handling/data_quality", data_quality(event))
    return made(TRAVEL, event, dice, now, toe=notified if declared else now)


def acknowledgement(
    dice: Random,
    now: datetime,
    *,
    of: Ref,
    event: Mapping[str, Any],
    txn: str | None = None,
    body: Mapping[str, Any] | None = None,
) -> Sample:
    """Return an answer to a delivered `event`, known to the replier as `of`. Its handling and subject are repeated (R-CNV-01)."""
    said = dict(body or {"stage": "RECEIVED"})
    routing = {**routing_of("ROUTINE"), "in_response_to": {"iss": of.iss, "jti": of.jti}}
    answer = {
        "handling": dict(event["handling"]),
        "routing": routing,
        "subject": dict(event["subject"]),
        "body": {"at": instant(now), **said},
    }
    return made(ACKNOWLEDGEMENT, replaced(answer, "/handling/data_quality", data_quality(answer)), dice, now, toe=now, txn=txn)


def fictional_register(seed: int, count: int, now: datetime, *, environment: str = "TEST") -> Iterator[Scenario]:
    """Yield the notices of a fictional register: most right, some late, some faulty, and one of each rarer kind in the first twenty."""
    dice = Random(seed)  # noqa: S311 -- repeatable on purpose, and nothing is secret here
    for number in range(count):
        label = _label(number)
        journey = journeys.JOURNEYS[number % len(journeys.JOURNEYS)]
        faults = dice.sample(sorted(FAULTS), dice.randrange(2, 5)) if label is Label.FAULTY else []
        sample = travel_notice(
            dice,
            now,
            label=label,
            journey=journey,
            subject_ref=f"s-{number:06d}",
            environment=environment,
            overrides={pointer: value for fault in faults for pointer, value in FAULTS[fault].items()},
        )
        words = [f"{journey.title}, {label.value}", *faults]
        yield Scenario(number=number, label=label, title="; ".join(words), sample=sample)


def replaced(event: Mapping[str, Any], pointer: str, value: object) -> dict[str, Any]:
    """Return a deep copy of an event with the value at a JSON Pointer put in, or taken out where it is `MISSING`.

    `-` at the end appends to a list (RFC 6902). Raises `KeyError` or `IndexError` where the way to it does not exist.
    """
    copied: dict[str, Any] = copy.deepcopy(dict(event))
    *way, last = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    node: Any = copied
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    if isinstance(node, list) and last == "-":
        node.append(copy.deepcopy(value))
        return copied
    key = int(last) if isinstance(node, list) else last
    if value is MISSING:
        del node[key]
    else:
        node[key] = copy.deepcopy(value)
    return copied


def data_quality(event: Mapping[str, Any], groups: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return an entry for each field group that an event holds. `groups`: of the members of the body, or `member/member` below."""
    body, routing = event["body"], event["routing"]
    found = {"sender_contact"} if {"contact", "case_reference"} & routing.keys() else set()
    found |= {group for name, group in GROUP_OF_PERSON.items() if name in body.get("person", {})}
    found |= {group for way, group in (GROUP_OF_BODY if groups is None else groups).items() if _there(body, way)}
    if "extensions" in event:
        found.add("extensions")
    return [{"group": group, "kind": "ASSESSMENT" if group in ASSESSMENTS else "FACT"} for group in sorted(found)]


def _there(body: Mapping[str, Any], way: str) -> bool:
    name, _, below = way.partition("/")
    return name in body and (not below or below in body[name])


ASSESSMENTS: Final = frozenset({"risk", "health", "staff_safety", "intelligence"})
GROUP_OF_PERSON: Final = {
    "names": "identity", "identifiers": "identifiers", "identity_documents": "identity_documents", "description": "description",
    "photo": "photo", "residence_countries": "contact", "parents": "household",
}  # fmt: skip
GROUP_OF_BODY: Final = {
    "itinerary": "itinerary", "accommodation": "accommodation", "destination_contacts": "contact", "registration_status": "registration",
    "offence_summary": "offences", "risk_level": "risk", "victim_profile": "victim_profile", "active_travel_restriction": "orders",
    "narratives": "narrative", "stage": "exchange",
}  # fmt: skip
CONTACT: Final = {"unit": "Fictional Travel Desk", "name": "Duty officer", "phone": "+442079460000", "email": "desk@register.example"}
RESTRICTION: Final = {
    "order": {"id": "TEST-ORDER-0001", "kind": "SHPO", "jurisdiction": "GB-EAW", "court": "Example Court"},
    "scope": "ALL",
}
OFFENCES: Final[Sequence[Mapping[str, Any]]] = (
    {"title": "Fictional offence A (test)", "start": "2011-05", "mode": "OFFLINE", "context": ["CONTACT"]},
    {"title": "Fictional offence B (test)", "start": "2016", "end": "2017", "mode": "ONLINE", "context": ["IMAGES", "ONLINE_ABUSE"]},
    {"title": "Fictional offence C (test)", "start": "1998-02-14", "mode": "OFFLINE", "context": ["INTRAFAMILIAL"]},
)
VICTIM_PROFILES: Final[Sequence[Mapping[str, Any]]] = (
    {"age_band": "10_12", "sex": 2, "relationship": "STRANGER"},
    {"age_band": "13_15", "sex": 1, "relationship": "ONLINE_ONLY"},
    {"age_band": "UNKNOWN", "sex": 0, "relationship": "UNKNOWN"},
)
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {  # in words: what to put where
    "no handling code": {"/handling/codes": []},
    "a purpose nobody knows": {"/handling/purpose": "CURIOSITY"},
    "a day that does not exist": {"/body/itinerary/segments/0/departure/date": "2027-02-30"},
    "a country that does not exist": {"/body/itinerary/segments/0/arrival/country": "QQ"},
    "a name in the victim profile": {"/body/victim_profile/0/name": "TEST VICTIM"},
    "no word on retention": {"/handling/retention": MISSING},
    "an emergency without its reason": {"/body/emergency": True},
    "no legal name": {"/body/person/names/0/kind": "ALIAS"},
    "a reply asked for without a time": {"/routing/action_requested": "REPLY"},
}


def by_icao(name: Mapping[str, str]) -> Mapping[str, str]:
    """Return a name with its Latin form by ICAO Doc 9303. Raises `ValueError` for a script that its tables do not cover."""
    native = " ".join(name[member] for member in ("family", "second_family", "given", "full") if member in name)
    latin = icao9303.latin_form(native, name.get("language", ""))
    if latin is None:
        raise ValueError(name.get("script"))
    return {**name, "latin": latin}


NAMES: Final[Sequence[Mapping[str, str]]] = (
    {"family": "PERSON", "given": "TEST"},
    {"family": "EXAMPLE", "given": "TEST", "second_family": "MUESTRA"},
    {"family": "BEISPIEL-PRÜFER", "given": "TEST"},
    by_icao({"family": "ОСОБА", "given": "ТЕСТ", "script": "Cyrl", "language": "uk"}),  # noqa: RUF001 -- Cyrillic is meant
    {"family": "ΠΡΟΣΩΠΟ", "given": "ΔΟΚΙΜΗ", "script": "Grek", "language": "el", "latin": "PROSOPO DOKIMI"},
    by_icao({"full": "شخص تجريبي", "script": "Arab", "language": "ar"}),
    {"full": "試験 人物", "script": "Jpan", "language": "ja", "latin": "SHIKEN JINBUTSU"},
)


def person_of(dice: Random) -> dict[str, Any]:
    """Return a person, fictional in every part."""
    born = datetime(1950, 1, 1) + timedelta(days=dice.randrange(40 * 365))  # noqa: DTZ001 -- a day has no zone
    nationality = dice.choices(["GB", "IE", "XXA"], [90, 9, 1])[0]
    names = [{"kind": "LEGAL", **dice.choice(NAMES)}]
    if dice.random() < 0.3:  # as above
        names.append({"kind": "ALIAS", "full": f"TEST ALIAS {dice.choice('ABCDEFG')}"})
    return {
        "names": names,
        "birth": {"date": born.date().isoformat()[: dice.choices([10, 7, 4], [90, 5, 5])[0]], "country": "GB"},
        "sex": dice.choices([1, 2], [95, 5])[0],
        "nationalities": [nationality],
        "identifiers": [{"scheme": "VISOR", "value": f"TEST-{dice.randrange(10**6):06d}", "country": "GB"}],
        "identity_documents": [{"type": "PASSPORT", "number": f"X{dice.randrange(10**7):07d}", "issuer": "GB", "valid_to": "2032-12-31"}],
        "description": {"height_cm": dice.randrange(155, 200), "hair": dice.choice(["BROWN", "GREY", "BLACK"]), "eyes": "BROWN"},
    }


def _first_day(dice: Random, now: datetime, label: Label) -> datetime:
    """Return a day that makes the notice what its label says, by the lead time of 7 days (R-TRV-03a)."""
    first, last = {
        Label.LATE: (2, 6),
        Label.EMERGENCY: (2, 4),
        Label.DETECTED: (1, 4),
        Label.ATTEMPTED: (0, 1),
    }.get(label, (10, 60))
    return now + timedelta(days=dice.randrange(first, last))


def handling_of(now: datetime, environment: str) -> dict[str, Any]:
    """Return how a message is to be handled, with its `data_quality` still to be filled."""
    return {
        "environment": environment,
        "purpose": "PREVENT_CHILD_SEX_CRIME",
        "legal_basis": [{"jurisdiction": "GB", "code": "TRAVEL_NOTICE", "citation": "Fictional Act 2003, section 1"}],
        "transfer_basis": {"code": "ADEQUACY", "citation": "Fictional decision 2021/1"},
        "classification": "OFFICIAL-SENSITIVE",
        "codes": ["H1"],
        "onward_sharing": "ORIGINATOR_CONSENT",
        "retention": {
            "review_by": (now + timedelta(days=180)).date().isoformat(),
            "delete_by": (now + timedelta(days=700)).date().isoformat(),
        },
        "data_quality": [],
    }


def routing_of(priority: str) -> dict[str, Any]:
    """Return a routing without recipients."""
    return {"priority": priority, "language": "en", "action_requested": "INFORMATION_ONLY", "contact": dict(CONTACT)}


def made(family: Family, event: Mapping[str, Any], dice: Random, now: datetime, *, toe: datetime, txn: str | None = None) -> Sample:
    """Return an event as a message, with identifiers of its own."""
    return Sample(family=family, event=event, jti=uuid7(dice, now), txn=txn or uuid7(dice, now), iat=now, toe=toe)


def _label(number: int) -> Label:
    rare = {3: Label.EMERGENCY, 9: Label.DETECTED, 13: Label.ATTEMPTED, 17: Label.RESTRICTED}
    if number in rare:
        return rare[number]
    if number % 25 == 7:
        return Label.FAULTY
    return Label.LATE if number % 12 == 5 else Label.OK


def uuid7(dice: Random, now: datetime) -> str:
    """Return a UUID of version 7 (RFC 9562 section 5.7) made of `now` and the given dice."""
    value = int(now.timestamp() * 1000) << 80 | 0x7 << 76 | dice.getrandbits(12) << 64 | 0b10 << 62 | dice.getrandbits(62)
    return str(uuid.UUID(int=value))


def instant(when: datetime) -> str:
    """Return an instant as messages have it."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
