"""Decision, the second pure half: an accepted message and the facts in; legs, refusals, holds and alerts out, each with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.contract.values import Country, Environment, Jti, LegId, Removed, Role
from gateway.core.admission import Accepted, Rejected
from gateway.core.alerts import alerts_of, marks_of
from gateway.core.correction import original_of, recalls
from gateway.core.decided import Candidate, Decision, HoldReason, PlannedLeg, Reason, Recall, Refusal, for_each_country
from gateway.core.directory import Directory
from gateway.core.facts import Facts
from gateway.core.families import CORRECTION
from gateway.core.message import Message, Signed
from gateway.core.minimise import minimise, reasons
from gateway.core.policy import Effect, PartnerAnswer, PolicySet, context_of
from gateway.core.problems import Code, Problem, Severity
from gateway.core.profiles import Profile
from gateway.core.recipients import lane_of, leg_expiry, leg_hold, leg_refusal, own_refusal
from gateway.core.reference import Reference
from gateway.core.routing import Routed, route
from gateway.core.rules import RuleContext, RuleTables
from gateway.core.rules.earlier import check_earlier, is_marked_wrong
from gateway.core.schema import Schemas

QUOTA_SPENT: Final = Problem(
    code=Code.RATE_LIMITED, detail="more messages in the fastest lane than its sender has an hour: this one goes in the next",
    expected="IMMEDIATE where a minute counts, or a larger quota agreed with the desk", pointer="/routing/priority",
    severity=Severity.WARNING,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a decision rests on beside message and facts. `digests` are kept with each decision, so that it can be replayed."""

    environment: Environment
    directory: Directory
    policies: PolicySet
    schemas: Schemas
    reference: Reference
    tables: RuleTables
    shows_conditions: Mapping[str, bool]  # by format id (R-GEN-14)
    digests: Mapping[str, str]


def decide(accepted: Accepted, facts: Facts, *, grounds: Grounds, now: datetime, new_id: Callable[[], str]) -> Decision | Rejected:
    """Decide what follows from a message. `new_id` gives fresh UUIDv7s: core owns no dice.

    What is right by itself can still be wrong with what was said before (a stage out of order, a correction of nothing): then `Rejected`.
    """
    message = accepted.message
    sender = grounds.directory.by_id(message.iss)
    ctx = RuleContext(
        reference=grounds.reference, tables=grounds.tables, sender=sender, environment=grounds.environment, now=now
    )  # fmt: skip
    found = tuple(check_earlier(message, facts, ctx))
    if any(problem.is_error for problem in found):
        signed = Signed(message.iss, message.jti, message.digest)
        return Rejected(found, signed, trusted=True, reason="faults")
    routed = route(message, grounds.directory, grounds.reference, home=sender.country, now=now, facts=facts)
    routed = replace(routed, notices=(*found, *_slower(message, facts), *routed.notices))
    decision = decide_for(message, routed, facts, home=sender.country, grounds=grounds, now=now, new_id=new_id)
    alerts = alerts_of(message, facts, ctx, directory=grounds.directory)
    return replace(decision, alerts=alerts, recalls=_recalls(message, facts), marks=marks_of(message, facts, ctx))


def decide_for(  # noqa: PLR0913 -- the two halves of routing and deciding meet here, for senders' messages and for ours
    message: Message,
    routed: Routed,
    facts: Facts,
    *,
    home: Country,
    grounds: Grounds,
    now: datetime,
    new_id: Callable[[], str],
) -> Decision:
    """Decide for candidates already found: also for the gateway's own acknowledgements."""
    legs: list[PlannedLeg] = []
    refusals = list(routed.refusals)
    for candidate in routed.candidates:
        if grounds.directory.find(candidate.partner) is None:  # who may have got what is corrected, and is no partner any more
            refusals += for_each_country(_gone(candidate), candidate)
            continue
        outcome = _one(message, candidate, facts, home=home, grounds=grounds, now=now, new_id=new_id)
        if isinstance(outcome, PlannedLeg):
            legs.append(outcome)
        else:
            refusals += for_each_country(outcome, candidate)
    return Decision(legs=tuple(legs), refusals=tuple(refusals), notices=tuple(routed.notices))


def look_again(
    message: Message, profile: Profile, roles: tuple[Role, ...], *, home: Country, grounds: Grounds, now: datetime
) -> PartnerAnswer:
    """Ask the policies in force now, as the first sealing and every later attempt do."""
    context = context_of(message, profile, roles, home=home, on=now.date())
    return grounds.policies.decide_partner(replace(context, lane=lane_of(message)))  # what a rule hurries is judged as in a hurry


def _slower(message: Message, facts: Facts) -> tuple[Problem, ...]:
    """Say that a message goes in a slower lane than it asks for: it is accepted all the same, for urgency is no reason to lose anything."""
    if lane_of(message, urgent_spent=facts.urgent_spent) is lane_of(message):
        return ()
    return (QUOTA_SPENT,)


def _recalls(message: Message, facts: Facts) -> tuple[Recall, ...]:
    original = original_of(message, facts) if message.family.name == CORRECTION else None
    return () if original is None else tuple(recalls(message, original))


def _one(  # noqa: PLR0913 -- see decide_for
    message: Message, candidate: Candidate, facts: Facts, *, home: Country, grounds: Grounds, now: datetime, new_id: Callable[[], str]
) -> PlannedLeg | Refusal:
    profile, sender = grounds.directory.by_id(candidate.partner), grounds.directory.find(message.iss)
    if sender is None:  # the gateway itself has no profile
        refusal = own_refusal(candidate, profile)
    elif is_marked_wrong(message, facts):
        refusal = Refusal(
            partner=profile.id, country=candidate.country, roles=candidate.roles, reason=Reason.DO_NOT_SEND, because=("R-TRV-14",)
        )
    else:
        refusal = leg_refusal(message, candidate, profile, now=now, sender=sender, shows_conditions=_shows(profile, grounds))
    if refusal is not None:
        return refusal
    answer = look_again(message, profile, candidate.roles, home=home, grounds=grounds, now=now)
    if answer.send.effect is Effect.DENY:
        return Refusal(
            partner=profile.id, country=candidate.country, roles=candidate.roles, reason=Reason.POLICY, because=answer.send.because
        )
    hold, because = hold_of(message, profile, answer, facts=facts, home=home)
    if hold is None and candidate.hold is not None:
        hold, because = candidate.hold, ("R-GEN-05",)
    groups = answer.allowed if candidate.bound is None else answer.allowed & candidate.bound
    expires_at, delete_by = leg_expiry(message, profile, accepted_at=now)
    return PlannedLeg(
        leg_id=LegId(new_id()), jti=Jti(new_id()), partner=profile.id, countries=candidate.countries, roles=candidate.roles,
        lane=lane_of(message, urgent_spent=facts.urgent_spent), groups=groups,
        removed=_removed(message, profile, answer, groups=groups, grounds=grounds),
        because=answer.send.because, expires_at=expires_at, delete_by=delete_by, hold=hold, hold_because=because,
    )  # fmt: skip


def _gone(candidate: Candidate) -> Refusal:
    return Refusal(
        partner=candidate.partner, country=candidate.country, roles=candidate.roles, reason=Reason.NO_PARTNER, because=("R-GEN-05",)
    )


def _shows(profile: Profile, grounds: Grounds) -> bool:
    return profile.delivery is not None and grounds.shows_conditions[profile.delivery.format]


def hold_of(
    message: Message, profile: Profile, answer: PartnerAnswer, *, facts: Facts, home: Country
) -> tuple[HoldReason | None, tuple[str, ...]]:
    """Return why a leg must wait for a person, most serious first; what could not be evaluated holds (P8)."""
    errors = [a.because for a in (answer.send, answer.unreviewed, *answer.groups.values()) if a.effect is Effect.HOLD]
    if errors:
        return HoldReason.POLICY_ERROR, errors[0]
    if facts.unread:
        return HoldReason.FACT_UNREAD, facts.unread
    hold = leg_hold(message, profile, home=home)
    if hold is not None:
        return hold, ()
    if answer.unreviewed.effect is not Effect.ALLOW:
        return HoldReason.REVIEW, answer.unreviewed.because
    return None, ()


def _removed(message: Message, profile: Profile, answer: PartnerAnswer, *, groups: frozenset[str], grounds: Grounds) -> tuple[Removed, ...]:
    """Return what the view will lack, by making it: what is recorded with the decision is what the partner will be told."""
    _, missing = grounds.schemas.cut(message.family, message.event, groups)
    bounded = {group for group in missing if group in answer.allowed}
    recorded = [*reasons(missing - bounded, answer.groups, profile), *(Removed(g, "NOT_IN_ORIGINAL", ("R-GEN-05",)) for g in bounded)]
    return minimise(message, groups, profile, grounds.schemas, removed=recorded).removed
