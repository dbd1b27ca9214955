"""Whether an order that the gateway carried forbids a journey (R-TRV-09; Sexual Offences Act 2003 s.103D): it alerts, never suppresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Final

from gateway.contract.values import Country
from gateway.core.correction import standing
from gateway.core.facts import Facts
from gateway.core.families import ORDER
from gateway.core.message import Message
from gateway.core.travel import read_travel

IN_FORCE: Final = frozenset({"ACTIVE", "VARIED"})  # domain.md b.3, order.status


def orders(facts: Facts) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
    """Return the orders carried about the subject by who told of them, jurisdiction and id, each as it last told.

    Nobody's word ends the order another told of: a restriction that was lifted alerts once too often rather than never.
    """
    return {(e.message.iss, *_key(e.message.body)): e.message.body for e in standing(facts, ORDER)}


def forbids(carried: Iterable[Mapping[str, Any]], notice: Message, home: Country) -> bool:
    """Say whether any of these orders forbids a country the journey enters, on a day it is under way."""
    carried = tuple(carried)
    if not carried:  # hardly any subject has one: the journey is not read for nothing
        return False
    itinerary = read_travel(notice.body).itinerary
    abroad = {country for country, _ in itinerary.countries()} - {home}
    days = [stop.date for s in itinerary.segments for stop in (s.departure, s.arrival) if stop.date is not None]
    return any(_holds(body, min(days), max(days)) and abroad & _forbidden(body, abroad) for body in carried) if days else False


def _holds(body: Mapping[str, Any], first: date, last: date) -> bool:
    """Say whether an order is in force on a day of a journey. An order whose end is not told is."""
    order = body["order"]
    starts, ends = _day(order.get("start")), _day(order.get("end"))
    return order["status"] in IN_FORCE and (starts is None or starts <= last) and (ends is None or ends >= first)


def _forbidden(body: Mapping[str, Any], countries: set[Country]) -> set[Country]:
    prohibition = body.get("travel_prohibition")
    if prohibition is None:
        return set()
    named = set(prohibition.get("countries", ()))
    return {"ALL": countries, "ALL_EXCEPT": countries - named, "NAMED_COUNTRIES": countries & named}[prohibition["scope"]]


def _key(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["order"]["jurisdiction"], body["order"]["id"]


def scottish_prevention_orders(facts: Facts) -> Iterator[Mapping[str, Any]]:
    """Yield the Scottish sexual harm prevention orders that stand as active (R-ORD-14)."""
    for body in orders(facts).values():
        order = body["order"]
        if order["kind"] == "SHPO" and order["jurisdiction"] == "GB-SCT" and order["status"] in IN_FORCE:
            yield order


def _day(text: object) -> date | None:
    return date.fromisoformat(text) if isinstance(text, str) else None
