"""Who is concerned by a message (R-RTE, R-TRV-08; 34 USC 21502(4)): each country entered ends in a candidate or in a recorded refusal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from gateway.contract.values import Country, PartnerId, Role
from gateway.core.correction import original_of, past_recipients
from gateway.core.decided import Candidate, Reason, Refusal, for_each_country
from gateway.core.directory import Directory
from gateway.core.facts import NO_FACTS, Facts, superseded
from gateway.core.families import (
    ACKNOWLEDGEMENT,
    BREACH,
    CORRECTION,
    ORDER,
    REFERRAL,
    REGISTRATION,
    RESPONSE,
    RISK,
    TRANSFER,
    TRAVEL,
    is_concern,
)  # fmt: skip
from gateway.core.interest import interested
from gateway.core.limits import RECIPIENTS_COUNT_MAX
from gateway.core.message import Message
from gateway.core.problems import Problem, Severity
from gateway.core.profiles import Profile
from gateway.core.reference import Reference
from gateway.core.rules.base import broken
from gateway.core.travel import read_travel

BY_COUNTRY: Final = frozenset({TRAVEL, REGISTRATION})  # families that countries concern, by the journey, nationality or residence
BY_INTEREST: Final = frozenset({ORDER, RISK, BREACH})  # unless they name their recipients
REPLIES: Final = frozenset({ACKNOWLEDGEMENT, RESPONSE, TRANSFER, REFERRAL})  # what answers a message goes back to its sender
ONLY_REPLIES: Final = frozenset({ACKNOWLEDGEMENT, RESPONSE})  # and to nobody else
IMPORTANCE: Final = (
    Role.NAMED, Role.SAFEGUARDING, Role.REPLY, Role.DESTINATION, Role.TRANSIT, Role.NATIONALITY, Role.RESIDENCE, Role.INTEREST, Role.HUB,
)  # fmt: skip
BRITISH: Final = frozenset({"GBD", "GBN", "GBO", "GBP", "GBS"})  # nationality codes of one country (ICAO 9303-3, section 5)
PASSES_ON: Final = frozenset({"NONE", "NAMED"})  # values of onward_sharing that can stop one who would pass the message on
NOTHING: Final[Mapping[str, Any]] = {}
Bar = tuple[Reason, str]  # and the rule that says so

assert set(IMPORTANCE) == set(Role)


@dataclass(frozen=True, slots=True)
class Routed:
    """What routing found. `notices` travel back in the receipt."""

    candidates: tuple[Candidate, ...]
    refusals: tuple[Refusal, ...]
    notices: tuple[Problem, ...]


@dataclass(slots=True)
class _Found:
    """What is gathered while countries and names are resolved: each partner with the countries that brought each role."""

    roles: dict[PartnerId, dict[Role, list[Country]]] = field(default_factory=dict)
    bounds: dict[PartnerId, frozenset[str]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def take(self, one: Candidate, bar: Bar | None) -> None:
        """Note the roles a country brings a partner, or why not."""
        if bar is not None:
            self.refusals.append(_refused(one, *bar))
            return
        if one.bound is not None:
            self.bounds[one.partner] = one.bound
        for role in one.roles:
            self.roles.setdefault(one.partner, {}).setdefault(role, []).extend(one.countries)

    def candidates(self) -> list[Candidate]:
        """Return one candidate for each partner, the most important first (R-RTE-01)."""
        made = [replace(_candidate(partner, roles), bound=self.bounds.get(partner)) for partner, roles in self.roles.items()]
        return sorted(made, key=lambda c: IMPORTANCE.index(c.roles[0]))


def route(message: Message, directory: Directory, reference: Reference, *, home: Country, now: datetime, facts: Facts = NO_FACTS) -> Routed:
    """Find the recipients of a message. What concerns one recipient alone is asked later, leg by leg.

    A travel notice and a register entry go where countries bring them; a safeguarding concern to its place; an order, a risk update and a
    breach to who holds a live interest; a reply to whom it answers; a correction to who may have got the original. Beside that, to who is
    named. Raises `UnknownPartnerError` if the sender has no profile.
    """
    sender = directory.by_id(message.iss)
    if message.family.name == CORRECTION:
        original = original_of(message, facts)
        return Routed(() if original is None else tuple(past_recipients(message, original)), (), ())
    if message.family.name == TRAVEL and read_travel(message.body).withheld:
        note = broken("R-RTE-05", "/body/decision_not_to_transmit", "recorded; sent to nobody, as you decided", severity=Severity.NOTE)
        return Routed((), (), (note,))
    found = _Found()
    _by_reply(message, facts, directory, found)
    if message.family.name not in ONLY_REPLIES:
        _by_content(message, facts, directory, found, reference=reference, home=home, now=now)
        _by_name(message, directory, found, sender=sender, home=home)
    candidates = found.candidates()
    kept, over = candidates[:RECIPIENTS_COUNT_MAX], candidates[RECIPIENTS_COUNT_MAX:]
    refusals = list(found.refusals)
    for candidate in over:
        refusals += for_each_country(_refused(candidate, Reason.NOT_RECEIVING, "recipients-count-max"), candidate)
    return Routed(tuple(kept), tuple(refusals), (*_notes(message, candidates, refusals, reference), *_too_many(len(over))))


def _by_reply(message: Message, facts: Facts, directory: Directory, found: _Found) -> None:
    """Resolve what a reply answers (R-RTE-07). The acknowledgement of an acknowledgement ends here."""
    answered = facts.answered
    if answered is None or message.family.name not in REPLIES or answered.family == ACKNOWLEDGEMENT:
        return
    asker = directory.find(answered.message.iss)
    if asker is None:
        found.refusals.append(_nobody(Role.REPLY, Reason.NO_PARTNER, "R-RTE-07"))
    else:
        found.take(Candidate(asker.id, (asker.country,), (Role.REPLY,)), None)


def _by_content(  # noqa: PLR0913 -- all that routing knows
    message: Message, facts: Facts, directory: Directory, found: _Found, *, reference: Reference, home: Country, now: datetime
) -> None:
    family = message.family.name
    if family in BY_COUNTRY:
        _by_country(message, directory, found, wanted=_countries(message, reference, home))
        _by_hub(message, directory, found, sender=directory.by_id(message.iss))
        _by_superseded(message, facts, directory, found)
    elif family in BY_INTEREST and not message.event["routing"].get("recipients"):
        _by_interest(message, facts, directory, found, now=now)
    elif is_concern(family, message.body):
        _by_place(message, directory, found)


def _by_superseded(message: Message, facts: Facts, directory: Directory, found: _Found) -> None:
    """Resolve who was told of the notice this takes the place of, and is not concerned by it any more: else they would wait for nobody."""
    ref = superseded(message)
    earlier = facts.find(ref) if ref is not None and ref.iss == message.iss else None
    for leg in () if earlier is None else earlier.legs:
        profile = directory.find(leg.partner)
        if leg.told and profile is not None and leg.partner not in found.roles:
            bar = country_bar(message, leg.countries[0], profile, sender=directory.by_id(message.iss))
            found.take(Candidate(leg.partner, leg.countries, (Role.INTEREST,), bound=leg.groups), bar)


def _by_interest(message: Message, facts: Facts, directory: Directory, found: _Found, *, now: datetime) -> None:
    """Resolve live interests (R-RTE-06). Its profile must receive this as INTEREST; nobody is told of what it said itself."""
    sender = directory.by_id(message.iss)
    for partner, countries in interested(facts, now).items():
        profile = directory.find(partner)
        if profile is None or partner == message.iss:
            continue
        if profile.delivery is None or not profile.receives_for(message.family.name, Role.INTEREST, _purpose(message)):
            found.refusals.append(_refused(Candidate(partner, countries, (Role.INTEREST,)), Reason.NOT_RECEIVING, "R-RTE-06"))
            continue
        for country in countries:
            found.take(Candidate(partner, (country,), (Role.INTEREST,)), country_bar(message, country, profile, sender=sender))


def _by_place(message: Message, directory: Directory, found: _Found) -> None:
    """Resolve the place of a safeguarding concern (R-SAF-02), at home too: a child in danger has no border."""
    place = message.body["event"]["place"]
    _by_country(message, directory, found, wanted={Country(place["country"]): (Role.SAFEGUARDING,)}, region=place.get("region"))


def serves_region(profile: Profile, country: Country, region: str | None) -> bool:
    """Say whether a partner is there for a region: its own regions bind it in its own country; a place without one concerns all."""
    return region is None or profile.country != country or not profile.regions or region in profile.regions


def _countries(message: Message, reference: Reference, home: Country) -> dict[Country, list[Role]]:
    """Return the countries concerned, each with its roles, without home (R-RTE-03)."""
    wanted: dict[Country, list[Role]] = {}
    for country, role in _concerned(message, reference):
        roles = wanted.setdefault(country, [])
        if role not in roles and not (role is Role.TRANSIT and Role.DESTINATION in roles):
            roles.append(role)
    wanted.pop(home, None)
    return wanted


def _concerned(message: Message, reference: Reference) -> Iterator[tuple[Country, Role]]:
    if message.family.name == TRAVEL:
        yield from read_travel(message.body).itinerary.countries()
    person = message.body.get("person", NOTHING)
    for code in person.get("nationalities", ()):
        if (country := country_of(code, reference)) is not None:
            yield country, Role.NATIONALITY
    for code in person.get("residence_countries", ()):
        yield Country(code), Role.RESIDENCE


def country_of(nationality: str, reference: Reference) -> Country | None:
    """Return the country of a nationality code, None for stateless persons, refugees and the unknown (domain.md d.12)."""
    code = "GB" if nationality in BRITISH else nationality
    return Country(code) if code in reference.countries else None


def _by_country(
    message: Message, directory: Directory, found: _Found, *, wanted: Mapping[Country, Iterable[Role]], region: str | None = None
) -> None:
    """Resolve countries. What bars one country bars that country alone: a partner that serves another too still gets its leg."""
    sender = directory.by_id(message.iss)
    for country, roles in wanted.items():
        receivers: dict[PartnerId, list[Role]] = {}
        for role in roles:
            for profile in _receivers(message, directory, country, role):
                if serves_region(profile, country, region):
                    receivers.setdefault(profile.id, []).append(role)
        for partner, its_roles in receivers.items():
            bar = country_bar(message, country, directory.by_id(partner), sender=sender)
            found.take(Candidate(partner, (country,), tuple(its_roles)), bar)
        if not receivers:
            found.refusals.append(
                Refusal(partner=None, country=country, roles=tuple(roles), reason=Reason.NO_PARTNER, because=("R-RTE-02",))
            )


def country_bar(message: Message, country: Country, profile: Profile, *, sender: Profile) -> Bar | None:
    """Return what keeps a partner from being told for a country (R-GEN-02): the message, the sender's profile, its own, or onward sharing.

    A partner in the country concerned is told by the sender itself: onward sharing limits what it does next, and travels with the copy.
    One that stands in for another country would pass the message on: not where nobody, or nobody there, may be told by it.
    """
    handling = message.event["handling"]
    told = {country, profile.country}
    if told & set(handling.get("excluded_countries", ())):
        return Reason.COUNTRY_EXCLUDED_BY_SENDER, "R-GEN-02"
    if told & sender.excluded_countries or {country, sender.country} & profile.excluded_countries:
        return Reason.COUNTRY_EXCLUDED_BY_PROFILE, "R-GEN-02"
    stands_in = country != profile.country and handling["onward_sharing"] in PASSES_ON
    named = {name for entry in handling.get("onward_to", ()) for name in entry.values()}
    if stands_in and not {country, profile.country, profile.id} & named:
        return Reason.HANDLING, "R-GEN-02"
    return None


def _receivers(message: Message, directory: Directory, country: Country, role: Role) -> list[Profile]:
    """Return who receives for a country; nobody is told of its own notice."""
    found = directory.receivers(country, message.family.name, role=role, purpose=_purpose(message))
    return [profile for profile in found if profile.id != message.iss]


def _by_hub(message: Message, directory: Directory, found: _Found, *, sender: Profile) -> None:
    if sender.hub is not None and sender.hub != sender.id:
        _named(message, sender, directory.find(sender.hub), role=Role.HUB, found=found)


def _by_name(message: Message, directory: Directory, found: _Found, *, sender: Profile, home: Country) -> None:
    """Resolve `routing.recipients` (R-RTE-04): a partner by its profile, a country like one of the journey."""
    for entry in message.event["routing"].get("recipients", ()):
        role = Role(entry.get("role", Role.NAMED))
        if entry.get("partner") in found.roles and Role.REPLY in found.roles[entry["partner"]]:
            continue  # a reply names whom it answers, who need not receive this from others
        if role is Role.SAFEGUARDING and not is_concern(message.family.name, message.body):
            found.refusals.append(_nobody(role, Reason.NOT_RECEIVING, "R-SAF-02"))  # nothing else takes a concern's way, or its policies
            continue
        if "partner" in entry:
            _named(message, sender, directory.find(entry["partner"]), role=role, found=found)
            continue
        country = Country(entry["country"])
        if country == home:
            found.refusals.append(Refusal(partner=None, country=home, roles=(role,), reason=Reason.NO_PARTNER, because=("R-RTE-03",)))
        elif not any(r.country == country and role in r.roles for r in found.refusals):
            _by_country(message, directory, found, wanted={country: (role,)})


def _named(message: Message, sender: Profile, profile: Profile | None, *, role: Role, found: _Found) -> None:
    """Take a named partner, or record that its profile does not receive this. An unknown name is not repeated into any record."""
    if profile is None:
        found.refusals.append(_nobody(role, Reason.NOT_RECEIVING, "R-RTE-04"))
    elif profile.id == message.iss or profile.delivery is None or not profile.receives_for(message.family.name, role, _purpose(message)):
        refusal = Refusal(partner=profile.id, country=profile.country, roles=(role,), reason=Reason.NOT_RECEIVING, because=("R-RTE-04",))
        found.refusals.append(refusal)
    else:
        found.take(Candidate(profile.id, (profile.country,), (role,)), country_bar(message, profile.country, profile, sender=sender))


def _candidate(partner: PartnerId, roles: Mapping[Role, Iterable[Country]]) -> Candidate:
    ordered = tuple(sorted(roles, key=IMPORTANCE.index))
    return Candidate(partner, tuple(dict.fromkeys(country for role in ordered for country in roles[role])), ordered)


def _refused(candidate: Candidate, reason: Reason, because: str) -> Refusal:
    return Refusal(partner=candidate.partner, country=candidate.country, roles=candidate.roles, reason=reason, because=(because,))


def _nobody(role: Role, reason: Reason, because: str) -> Refusal:
    return Refusal(partner=None, country=None, roles=(role,), reason=reason, because=(because,))


def _purpose(message: Message) -> str:
    purpose: str = message.event["handling"]["purpose"]
    return purpose


def _notes(message: Message, candidates: Sequence[Candidate], refusals: Sequence[Refusal], reference: Reference) -> Iterator[Problem]:
    """Yield what the sender should know of the way its message takes."""
    family, routing = message.family.name, message.event["routing"]
    if family in BY_INTEREST and not routing.get("recipients") and not candidates and not refusals:
        detail = "nobody holds a live interest in the subject: it is recorded, and sent to nobody"
        yield broken("R-RTE-06", "/routing", detail, expected="routing.recipients, if somebody is to know", severity=Severity.NOTE)
    if family not in BY_COUNTRY:
        return
    for index, code in enumerate(message.body.get("person", NOTHING).get("nationalities", ())):
        if country_of(code, reference) is None:
            pointer = f"/body/person/nationalities/{index}"
            yield broken("R-RTE-08", pointer, "no country: it routes nowhere", severity=Severity.NOTE)


def _too_many(over: int) -> Iterator[Problem]:
    if over:
        detail = f"{over} recipients more than one message may have: each is refused"
        yield broken("R-RTE-01", "/routing/recipients", detail, expected=f"at most {RECIPIENTS_COUNT_MAX} recipients")
