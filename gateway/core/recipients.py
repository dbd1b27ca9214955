"""What is asked of each recipient before any policy: may it be sent, must it wait, until when, how fast, and was notice given in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from gateway.contract.values import Country, Lane
from gateway.core.admission import Context
from gateway.core.correction import TAKEN_BACK
from gateway.core.decided import Candidate, HoldReason, Reason, Refusal
from gateway.core.families import ACKNOWLEDGEMENT, CORRECTION, INTELLIGENCE, REFERRAL, REGISTRATION, REQUEST, RESPONSE, TRAVEL, is_concern
from gateway.core.message import Message
from gateway.core.profiles import Profile
from gateway.core.referral import is_anonymous
from gateway.core.routing import Bar
from gateway.core.rules import LeadTime, RuleContext, lead_time
from gateway.core.travel import is_declared

__all__ = ["LeadTime", "lane_of", "lead_time_of", "leg_expiry", "leg_hold", "leg_refusal", "own_refusal"]

ABOVE_STATES: Final = frozenset({"EU"})  # law of no single state: whom it binds is for the policies to say
LEVELS: Final = (("risk_level", "level"), ("rm2000", "band"), ("arms", "priority"), ("oasys", "rosh"))  # where a body has levels of risk
DISCLOSURE_SCHEME: Final = frozenset({"POLICE", "CHILDREN_SERVICES"})  # kinds between which its checks run
NOT_IN_COURT: Final = frozenset({"COURT", "PROSECUTOR"})  # kinds that H1 keeps out: "not in judicial proceedings"


def leg_refusal(
    message: Message, candidate: Candidate, profile: Profile, *, now: datetime, sender: Profile, shows_conditions: bool
) -> Refusal | None:
    """Return why a leg must not be, or None. The order is stated, so that a leg has one reason and always the same.

    Routing has asked before, country by country, what R-GEN-02 bars. 1 NOT_RECEIVING: nothing can be delivered to it. 2 ENVIRONMENT
    (R-GEN-16). 3 EXPIRED (R-GEN-04). 4 COUNTRY_EXCLUDED_BY_SENDER, 5 COUNTRY_EXCLUDED_BY_PROFILE: again, as replies are not routed.
    6 HANDLING (a code, R-GEN-02; conditions, R-GEN-14). 7 AGENCY_NOT_PERMITTED (R-REG-13, R-REQ-07). 8 NO_LEGAL_BASIS, 9 TRANSFER_BASIS
    (R-GEN-13). A correction goes to whoever may have got the original: of these only the first three can bar it (R-GEN-05).
    """
    for reason, because in _reasons(message, profile, now=now, sender=sender, shows_conditions=shows_conditions):
        return Refusal(partner=profile.id, country=candidate.country, roles=candidate.roles, reason=reason, because=(because,))
    return None


def own_refusal(candidate: Candidate, profile: Profile) -> Refusal | None:
    """Return why what the gateway itself says cannot be delivered, or None.

    It goes to the sender and to the managing authority its profile names, about a message of that sender: what the message bars for others
    (its end, its legal basis, its countries) must not keep its own sender from being told.
    """
    if profile.delivery is not None:
        return None
    return Refusal(partner=profile.id, country=candidate.country, roles=candidate.roles, reason=Reason.NOT_RECEIVING, because=("R-RTE-04",))


def _reasons(message: Message, profile: Profile, *, now: datetime, sender: Profile, shows_conditions: bool) -> Iterator[Bar]:
    handling = message.event["handling"]
    if profile.delivery is None:
        yield Reason.NOT_RECEIVING, "R-RTE-04"
    if profile.environment is not message.environment:
        yield Reason.ENVIRONMENT, "R-GEN-16"
    if _end_of(handling["retention"]["delete_by"]) <= now:
        yield Reason.EXPIRED, "R-GEN-04"
    if message.family.name == CORRECTION:
        return
    if profile.country in handling.get("excluded_countries", ()):
        yield Reason.COUNTRY_EXCLUDED_BY_SENDER, "R-GEN-02"
    if sender.country in profile.excluded_countries:
        yield Reason.COUNTRY_EXCLUDED_BY_PROFILE, "R-GEN-02"
    if "H1" in handling["codes"] and profile.kind in NOT_IN_COURT:
        yield Reason.HANDLING, "R-GEN-02"
    if handling.get("conditions") and not shows_conditions:
        yield Reason.HANDLING, "R-GEN-14"
    yield from _agency(message, profile, sender)
    yield from _basis(message, profile, home=sender.country)


def _agency(message: Message, profile: Profile, sender: Profile) -> Iterator[Bar]:
    """Register entries go to the kinds of agency they name, disclosure-scheme checks between police and children's services."""
    for record in _records(message):
        if profile.kind not in record["disclosure"]["permitted_agencies"]:
            yield Reason.AGENCY_NOT_PERMITTED, "R-REG-13"
    scheme = message.family.name in {REQUEST, RESPONSE} and message.event["handling"]["purpose"] == "DISCLOSURE_SCHEME"
    if scheme and not {sender.kind, profile.kind} <= DISCLOSURE_SCHEME:
        yield Reason.AGENCY_NOT_PERMITTED, "R-REQ-07"


def _records(message: Message) -> Iterator[Mapping[str, Any]]:
    """Yield the register entries of a message: one that is an entry, or those a response carries."""
    if message.family.name == REGISTRATION:
        yield message.body
    if message.family.name == RESPONSE:
        yield from (record[REGISTRATION] for record in message.body.get("records", ()) if REGISTRATION in record)


def _basis(message: Message, profile: Profile, *, home: Country) -> Iterator[Bar]:
    handling = message.event["handling"]
    if not any(_holds(basis["jurisdiction"], home, profile) for basis in handling["legal_basis"]):
        yield Reason.NO_LEGAL_BASIS, "R-GEN-13"
    if profile.country == home:
        return
    basis = handling.get("transfer_basis")
    if not _transfer_holds(basis, profile) or not (_origin_consents(basis, profile) or _is_threat(message)):
        yield Reason.TRANSFER_BASIS, "R-GEN-13"


def _is_threat(message: Message) -> bool:
    """Say whether an immediate serious threat is spoken of, as in R-REQ-04: a priority that the sender chose is none by itself."""
    safeguards = message.event["handling"]["purpose"] == "SAFEGUARD" and lane_of(message) is Lane.IMMEDIATE
    return safeguards or message.body.get("immediate_risk") is True


def _origin_consents(basis: Mapping[str, Any] | None, profile: Profile) -> bool:
    """Say whether the state that data came from, if any, lets it go on; to that state itself it may always go back."""
    origin = None if basis is None else basis.get("origin_country")
    return basis is None or origin is None or origin == profile.country or basis.get("origin_consent") is True


def _holds(jurisdiction: str, home: Country, profile: Profile) -> bool:
    """Say whether a law can be the ground of this leg: the sender's, the recipient's, or one above both; never a third state's."""
    return jurisdiction in ABOVE_STATES or jurisdiction.partition("-")[0] in {home, profile.country}


def _transfer_holds(basis: dict[str, Any] | None, profile: Profile) -> bool:
    return basis is not None and (not profile.transfer_bases or basis["code"] in profile.transfer_bases)


def leg_hold(message: Message, profile: Profile, *, home: Country) -> HoldReason | None:
    """Return why a leg must wait for a person whatever policy says.

    A minor (R-GEN-09); intelligence graded 3-E, abroad (R-INT-04); a referral that speaks of a child in danger (R-SAF-05); a suspended
    partner (R-RTE-09), which comes last, because sealing looks for it again. An acknowledgement is not held for a minor: it goes to the
    one who told us of the subject, and says nothing new of it. Nor is a withdrawal, which
    says nothing of the subject and undoes what was said.
    """
    if message.event["subject"]["is_minor"] != "NO" and not _minor_exempt(message):
        return HoldReason.MINOR
    body = message.body
    if message.family.name == INTELLIGENCE and profile.country != home and _graded_3e(body):
        return HoldReason.GRADED_3E
    if message.family.name == REFERRAL and body.get("safeguarding_flag") is True:
        return HoldReason.SAFEGUARDING_FLAG
    return HoldReason.SUSPENDED if profile.suspended else None


def _graded_3e(body: Mapping[str, Any]) -> bool:
    return (body.get("source_evaluation"), body.get("information_assessment")) == ("3", "E")


def _minor_exempt(message: Message) -> bool:
    family, body = message.family.name, message.body
    return (
        family == ACKNOWLEDGEMENT
        or (family == CORRECTION and body.get("kind") in TAKEN_BACK)
        or is_concern(family, body)
        or (is_anonymous(message) and message.event["subject"]["is_minor"] == "UNKNOWN")
    )


def leg_expiry(message: Message, profile: Profile, *, accepted_at: datetime) -> tuple[datetime, datetime]:
    """Return until when a leg may go, and until when its copy is kept (R-GEN-17): the earliest of the message's and the recipient's rule.

    A partner whose format is INTERPOL-shaped states that rule (5 years from `iat`) as its `retention_days_max`.
    """
    delete_by = _end_of(message.event["handling"]["retention"]["delete_by"])
    if profile.retention_days_max is not None:
        delete_by = min(delete_by, message.iat + timedelta(days=profile.retention_days_max))
    if profile.delivery is None:
        return delete_by, delete_by
    return min(delete_by, accepted_at + timedelta(seconds=profile.delivery.expire_seconds)), delete_by


def lane_of(message: Message, *, urgent_spent: bool = False) -> Lane:
    """Return the lane asked for, and no slower one than a rule says; `urgent_spent`: its sender has asked for the fastest too often.

    IMMEDIATE for an immediate risk (R-INT-05) and a safeguarding concern (R-SAF-02); PRIORITY for a journey DETECTED or ATTEMPTED
    (R-TRV-19) and a level VERY_HIGH (R-RSK-17).
    """
    if message.body.get("immediate_risk") is True or is_concern(message.family.name, message.body):
        return Lane.IMMEDIATE
    asked = Lane.PRIORITY if urgent_spent and message.lane is Lane.IMMEDIATE else message.lane
    undeclared = message.family.name == TRAVEL and not is_declared(message.body)
    if undeclared or _very_high(message.body):
        return max(asked, Lane.PRIORITY, key=lambda lane: lane.rank)
    return asked


def _very_high(body: Mapping[str, Any]) -> bool:
    return any(body.get(part, {}).get(name) == "VERY_HIGH" for part, name in LEVELS)


def lead_time_of(message: Message, ctx: Context, *, received_at: datetime) -> LeadTime | None:
    """Return the lead time a delivery shows: as the rules reckoned it when the message came."""
    if message.family.name != TRAVEL:
        return None
    sender = ctx.directory.by_id(message.iss)
    rules = RuleContext(reference=ctx.reference, tables=ctx.tables, sender=sender, environment=ctx.environment, now=received_at)
    return lead_time(message, rules)


def _end_of(day: str) -> datetime:
    """Return the first instant after a day, UTC: the day itself is still inside."""
    return datetime.combine(date.fromisoformat(day), time.min, UTC) + timedelta(days=1)
