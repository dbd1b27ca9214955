"""Who holds a live interest in a subject (R-RTE-06): it was told of a stay that has not ended, or asked to be kept informed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from gateway.contract.values import Country, Jti, PartnerId, Role
from gateway.core.correction import standing, taken_back
from gateway.core.facts import Earlier, EarlierLeg, Facts
from gateway.core.families import ACKNOWLEDGEMENT, TRAVEL
from gateway.core.message import Message
from gateway.core.travel import Itinerary, read_travel

LAST_ZONE: Final = timedelta(hours=12)  # where a day ends last: UTC-12


def interested(facts: Facts, now: datetime) -> dict[PartnerId, tuple[Country, ...]]:
    """Return the partners with a live interest, each with the countries it was told for and that it still holds one for.

    Who was told only that a journey does not concern it any more (as INTEREST) holds none by that.
    """
    found: dict[PartnerId, dict[Country, None]] = {}
    for notice in standing(facts, TRAVEL):
        itinerary = read_travel(notice.message.body).itinerary
        for leg in notice.legs:
            if leg.told and leg.countries and leg.roles != (Role.INTEREST,) and now < _until(leg, notice, itinerary):
                found.setdefault(leg.partner, {}).update(dict.fromkeys(leg.countries))
    for partner in _asked(facts, now):
        told = (leg for e in facts.earlier for leg in e.legs if leg.partner == partner and leg.countries)
        if partner not in found and (leg_of := next(told, None)) is not None:
            found[partner] = dict.fromkeys(leg_of.countries)
    return {partner: tuple(countries) for partner, countries in found.items()}


def _until(leg: EarlierLeg, notice: Earlier, itinerary: Itinerary) -> datetime:
    """Return when the interest that a notice gave a partner ends.

    A partner in a country of the journey: when the traveller has left it. Any other (nationality, residence, hub, by name): when the
    journey is over. A stay whose end is not told lasts as long as the notice may be kept.
    """
    days = [_last_day(itinerary, country) for country in leg.countries if country in _entered(itinerary)]
    last = max(days, key=lambda day: day or date.max) if days else itinerary.return_date
    return end_of(last or date.fromisoformat(notice.message.event["handling"]["retention"]["delete_by"]))


def _entered(itinerary: Itinerary) -> frozenset[Country]:
    return frozenset(country for country, _ in itinerary.countries())


def _last_day(itinerary: Itinerary, country: Country) -> date | None:
    """Return the last day in a country, None where the notice does not say: the next departure from it, or the return home."""
    arrived = [s.index for s in itinerary.segments if s.arrival.country == country]
    departed = [s.departure.date for s in itinerary.segments if s.departure.country == country and s.index > max(arrived, default=-1)]
    if departed:
        return departed[-1]
    passed = [s.departure.date for s in itinerary.segments if s.departure.country == country]
    return itinerary.return_date if arrived or not passed else passed[-1]


def _answers(message: Message) -> frozenset[Jti]:
    return frozenset() if message.in_response_to is None else frozenset({message.in_response_to.jti})


def end_of(day: date) -> datetime:
    """Return the instant at which a day has ended everywhere."""
    return datetime.combine(day, time.min, UTC) + timedelta(days=1) + LAST_ZONE


def _asked(facts: Facts, now: datetime) -> Iterable[PartnerId]:
    """Yield who asked to be kept informed, in its newest acknowledgement that says until when; not of what it should never have got."""
    gone = taken_back(facts)
    wrong = {leg.jti for e in facts.earlier if e.message.ref in gone for leg in e.legs}
    until = {
        answer.message.iss: date.fromisoformat(answer.message.body["keep_informed_until"])
        for answer in facts.of(ACKNOWLEDGEMENT)
        if "keep_informed_until" in answer.message.body and not (_answers(answer.message) & wrong)
    }
    return [partner for partner, day in until.items() if now < end_of(day)]
