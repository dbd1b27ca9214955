"""Valid messages, profiles and a small world for tests of rules and routing: each test makes one change."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.contract.values import Country, Environment, Family, Jti, PartnerId, Role
from gateway.core.message import Message
from gateway.core.profiles import Delivery, Profile, Receives
from gateway.core.reference import Airport, CodeLists, Reference, Zone, ZoneTable
from gateway.core.rules import RuleContext, RuleTables
from gateway.ops.rulefiles import load_rule_tables

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
ZONES_BY_COUNTRY = {
    "GB": ("Europe/London",), "FR": ("Europe/Paris",), "BE": ("Europe/Brussels",), "ES": ("Europe/Madrid", "Atlantic/Canary"),
    "IE": ("Europe/Dublin",), "DE": ("Europe/Berlin",), "US": ("America/New_York", "America/Los_Angeles", "Pacific/Honolulu"),
    "NZ": ("Pacific/Auckland",), "XK": ("Europe/Belgrade",), "TH": ("Asia/Bangkok",), "TR": ("Europe/Istanbul",),
}  # fmt: skip
AIRPORTS = {
    "LHR": Airport("GB", "Europe/London"), "CDG": Airport("FR", "Europe/Paris"), "BRU": Airport("BE", "Europe/Brussels"),
    "MAD": Airport("ES", "Europe/Madrid"), "AKL": Airport("NZ", "Pacific/Auckland"), "HNL": Airport("US", "Pacific/Honolulu"),
    "JFK": Airport("US", "America/New_York"), "BKK": Airport("TH", "Asia/Bangkok"), "IST": Airport("TR", "Europe/Istanbul"),
}  # fmt: skip


def _zone(name: str) -> Zone:
    """Read a zone's changes from the real time-zone database, hour by hour: an oracle of its own."""
    info, at, end = ZoneInfo(name), datetime(2024, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    transitions: list[int] = []
    offsets = [_offset(info, at)]
    while at < end:
        at += timedelta(days=1)
        if _offset(info, at) != offsets[-1]:
            hour = next(h for h in (at - timedelta(hours=k) for k in range(24, -1, -1)) if _offset(info, h) != offsets[-1])
            transitions.append(int(hour.timestamp()))
            offsets.append(_offset(info, at))
    return Zone(tuple(transitions), tuple(offsets))


def _offset(info: ZoneInfo, at: datetime) -> int:
    shift = at.astimezone(info).utcoffset()
    assert shift is not None
    return int(shift.total_seconds())


@cache
def reference() -> Reference:
    names = {zone for zones in ZONES_BY_COUNTRY.values() for zone in zones} | {a.zone for a in AIRPORTS.values()} | {"UTC"}
    return Reference(
        codes=CodeLists({}), countries=frozenset({*ZONES_BY_COUNTRY, "CA", "PT"}), airports=AIRPORTS,
        zones_by_country=ZONES_BY_COUNTRY, zone_offsets=ZoneTable({name: _zone(name) for name in names}),
    )  # fmt: skip


@cache
def shipped_tables() -> RuleTables:
    return load_rule_tables(ROOT / "schemas" / "rules")


def stop(country: str, when: str, *, at: str | None = None, **place: str) -> dict[str, Any]:
    made: dict[str, Any] = {"country": country, "date": when, "place": place or {"kind": "STATION", "text": "TEST STATION"}}
    return made | ({"time": at} if at else {})


def segment(seq: int, departure: dict[str, Any], arrival: dict[str, Any], *, role: str = "DESTINATION") -> dict[str, Any]:
    return {"seq": seq, "role": role, "mode": "AIR", "carrier": "ZZ", "service_no": "100", "departure": departure, "arrival": arrival}


def travel_event() -> dict[str, Any]:
    return copy.deepcopy(_EVENT)


GROUPS = (
    "accommodation", "identity", "identity_documents", "itinerary", "offences", "orders", "registration", "sender_contact",
)  # fmt: skip
_EVENT: dict[str, Any] = {
    "handling": {
        "environment": "TEST", "purpose": "PREVENT_CHILD_SEX_CRIME", "legal_basis": [{"jurisdiction": "GB", "code": "TEST", "citation": "test"}],
        "transfer_basis": {"code": "SAFEGUARDS", "citation": "test"}, "classification": "OFFICIAL", "codes": ["H0"],
        "onward_sharing": "ORIGINATOR_CONSENT", "retention": {"review_by": "2026-09-01", "delete_by": "2027-03-01"},
        "data_quality": [{"group": group, "kind": "FACT"} for group in GROUPS],
    },
    "routing": {"priority": "ROUTINE", "language": "en", "action_requested": "INFORMATION_ONLY", "contact": {"unit": "TEST UNIT", "email": "desk@example.invalid"}},
    "subject": {"ref": "TEST-1", "status": "CONVICTED", "is_minor": "NO"},
    "body": {
        "person": {"names": [{"kind": "LEGAL", "full": "TEST PERSON"}], "birth": {"date": "1970-01-01"}, "sex": 1, "nationalities": ["GB"],
                   "identity_documents": [{"type": "PASSPORT", "number": "X0000000", "issuer": "GB"}]},
        "notification_basis": "DECLARED", "notified_by_subject_at": "2026-02-20T10:00:00Z", "purpose_of_travel": [{"code": "VACATION"}],
        "itinerary": {
            "segments": [
                segment(1, stop("GB", "2026-03-20", at="09:30", kind="AIRPORT", iata="LHR"),
                        stop("FR", "2026-03-20", at="11:50", kind="AIRPORT", iata="CDG")),
            ],
            "return": {"date": "2026-03-27", "point_of_arrival": {"kind": "AIRPORT", "iata": "LHR", "country": "GB"}},
        },
        "accommodation": {"first_night": {"lines": ["1 TEST STREET"], "country": "FR"}},
        "emergency": False, "registration_status": "ACTIVE", "offence_summary": [], "active_travel_restriction": "NONE",
    },
}  # fmt: skip


def message(
    event: dict[str, Any] | None = None, *, family: str = "travel-notification", iss: str = "uk-register", iat: datetime = NOW
) -> Message:
    return Message(
        iss=PartnerId(iss), jti=Jti("0195-test"), digest="0" * 64, aud=PartnerId("gateway"), iat=iat, toe=iat, txn="t",
        family=Family(family, "1.0"), event=travel_event() if event is None else event,
    )  # fmt: skip


def changed(pointer: str, value: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an event with one change; `value` ... takes the member away."""
    made = travel_event() if event is None else copy.deepcopy(event)
    *path, last = pointer.strip("/").split("/")
    node: Any = made
    for step in path:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    key: Any = int(last) if isinstance(node, list) else last
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return made


EVERY_ROLE = frozenset(Role)


def receives(
    *families: str, roles: Iterable[Role] = EVERY_ROLE, purposes: Iterable[str] = ("PREVENT_CHILD_SEX_CRIME",)
) -> tuple[Receives, ...]:
    return tuple(Receives(family, frozenset(roles), frozenset(purposes)) for family in families or ("travel-notification",))


def partner(partner_id: str, country: str, **fields: Any) -> Profile:
    base = Profile(
        id=PartnerId(partner_id), name=partner_id, country=Country(country), kind="POLICE", sector="STATUTORY",
        environment=Environment.TEST, delivery=Delivery(format="native", transport="inbox"), receives=receives(),
    )  # fmt: skip
    return replace(base, **fields)


def register(**fields: Any) -> Profile:
    return partner("uk-register", "GB", **{"kind": "REGISTER", "receives": (), "sends": frozenset({"travel-notification"}), **fields})


def context(sender: Profile | None = None, *, tables: RuleTables | None = None, now: datetime = NOW) -> RuleContext:
    return RuleContext(
        reference=reference(), tables=shipped_tables() if tables is None else tables, sender=register() if sender is None else sender,
        environment=Environment.TEST, now=now,
    )  # fmt: skip


def day(text: str) -> date:
    return date.fromisoformat(text)
