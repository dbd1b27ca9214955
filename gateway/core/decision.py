"""Decision, the second pure half: an accepted message and the facts in; legs, refusals, holds and alerts out, each with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.contract.values import Country, Environment, Jti, LegId, Removed, Role
from gateway.core.admission import ACKNOWLEDGEMENT, Accepted
from gateway.core.decided import Alert, Candidate, Decision, HoldReason, PlannedLeg, Reason, Refusal, for_each_country
from gateway.core.directory import Directory
from gateway.core.facts import Facts
from gateway.core.message import Message
from gateway.core.minimise import minimise, reasons
from gateway.core.policy import Effect, PartnerAnswer, PolicySet, context_of
from gateway.core.profiles import Profile
from gateway.core.recipients import lane_of, leg_expiry, leg_hold, leg_refusal, own_refusal
from gateway.core.reference import Reference
from gateway.core.routing import Routed, route
from gateway.core.schema import Schemas


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a decision rests on beside message and facts. `digests` are kept with each decision, so that it can be replayed."""

    environment: Environment
    directory: Directory
    policies: PolicySet
    schemas: Schemas
    reference: Reference
    shows_conditions: Mapping[str, bool]  # by format id (R-GEN-14)
    digests: Mapping[str, str]


def decide(accepted: Accepted, facts: Facts, *, grounds: Grounds, now: datetime, new_id: Callable[[], str]) -> Decision:
    """Decide what follows from a message. `new_id` gives fresh UUIDv7s: core owns no dice."""
    message = accepted.message
    sender = grounds.directory.by_id(message.iss)
    routed = _routed(message, facts, sender, grounds)
    return decide_for(message, routed, facts, home=sender.country, grounds=grounds, now=now, new_id=new_id, alerts=_alerts(message, sender))


def decide_for(  # noqa: PLR0913 -- the two halves of routing and deciding meet here, for senders' messages and for ours
    message: Message,
    routed: Routed,
    facts: Facts,
    *,
    home: Country,
    grounds: Grounds,
    now: datetime,
    new_id: Callable[[], str],
    alerts: tuple[Alert, ...] = (),
) -> Decision:
    """Decide for candidates already found: also for the gateway's own acknowledgements."""
    legs: list[PlannedLeg] = []
    refusals = list(routed.refusals)
    for candidate in routed.candidates:
        outcome = _one(message, candidate, facts, home=home, grounds=grounds, now=now, new_id=new_id)
        if isinstance(outcome, PlannedLeg):
            legs.append(outcome)
        else:
            refusals += for_each_country(outcome, candidate)
    return Decision(legs=tuple(legs), refusals=tuple(refusals), alerts=alerts, notices=tuple(routed.notices))


def look_again(
    message: Message, profile: Profile, roles: tuple[Role, ...], *, home: Country, grounds: Grounds, now: datetime
) -> PartnerAnswer:
    """Ask the policies in force now, as the first sealing and every later attempt do."""
    return grounds.policies.decide_partner(context_of(message, profile, roles, home=home, on=now.date()))


def _routed(message: Message, facts: Facts, sender: Profile, grounds: Grounds) -> Routed:
    if message.family.name != ACKNOWLEDGEMENT:
        return route(message, grounds.directory, grounds.reference, home=sender.country)
    answered = facts.answered
    if answered is None or answered.family == ACKNOWLEDGEMENT:  # an acknowledgement of one of ours ends there
        return Routed((), (), ())
    original = grounds.directory.by_id(answered.message.iss)  # R-RTE-07
    return Routed((Candidate(original.id, (original.country,), (Role.REPLY,)),), (), ())


def _alerts(message: Message, sender: Profile) -> tuple[Alert, ...]:
    """R-TRV-09: an order in force forbids the journey. It alerts, and never suppresses."""
    if message.family.name != "travel-notification" or message.body.get("active_travel_restriction", "NONE") == "NONE":
        return ()
    to = {sender.id: None} | ({sender.managing_authority: None} if sender.managing_authority else {})
    return (Alert("TRAVEL_RESTRICTION", tuple(to)),)


def _one(  # noqa: PLR0913 -- see decide_for
    message: Message, candidate: Candidate, facts: Facts, *, home: Country, grounds: Grounds, now: datetime, new_id: Callable[[], str]
) -> PlannedLeg | Refusal:
    profile = grounds.directory.by_id(candidate.partner)
    if grounds.directory.find(message.iss) is None:  # the gateway itself has no profile
        refusal = own_refusal(candidate, profile)
    else:
        refusal = leg_refusal(message, candidate, profile, now=now, home=home, shows_conditions=_shows(profile, grounds))
    if refusal is not None:
        return refusal
    answer = look_again(message, profile, candidate.roles, home=home, grounds=grounds, now=now)
    if answer.send.effect is Effect.DENY:
        return Refusal(
            partner=profile.id, country=candidate.country, roles=candidate.roles, reason=Reason.POLICY, because=answer.send.because
        )
    hold, because = hold_of(message, profile, answer, facts)
    expires_at, delete_by = leg_expiry(message, profile, accepted_at=now)
    return PlannedLeg(
        leg_id=LegId(new_id()), jti=Jti(new_id()), partner=profile.id, countries=candidate.countries, roles=candidate.roles,
        lane=lane_of(message), groups=answer.allowed, removed=_removed(message, profile, answer, grounds),
        because=answer.send.because, expires_at=expires_at, delete_by=delete_by, hold=hold, hold_because=because,
    )  # fmt: skip


def _shows(profile: Profile, grounds: Grounds) -> bool:
    return profile.delivery is not None and grounds.shows_conditions[profile.delivery.format]


def hold_of(message: Message, profile: Profile, answer: PartnerAnswer, facts: Facts) -> tuple[HoldReason | None, tuple[str, ...]]:
    """Return why a leg must wait for a person, most serious first; what could not be evaluated holds (P8)."""
    errors = [a.because for a in (answer.send, answer.unreviewed, *answer.groups.values()) if a.effect is Effect.HOLD]
    if errors:
        return HoldReason.POLICY_ERROR, errors[0]
    if facts.unread:
        return HoldReason.FACT_UNREAD, facts.unread
    hold = leg_hold(message, profile)
    if hold is not None:
        return hold, ()
    if answer.unreviewed.effect is not Effect.ALLOW:
        return HoldReason.REVIEW, answer.unreviewed.because
    return None, ()


def _removed(message: Message, profile: Profile, answer: PartnerAnswer, grounds: Grounds) -> tuple[Removed, ...]:
    """Return what the view will lack, by making it: what is recorded with the decision is what the partner will be told."""
    _, missing = grounds.schemas.cut(message.family, message.event, answer.allowed)
    recorded = reasons(missing, answer.groups, profile)
    return minimise(message, answer.allowed, profile, grounds.schemas, removed=recorded).removed
