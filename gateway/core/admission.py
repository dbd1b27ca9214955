"""Admission, the first pure half: bytes in, `Accepted` or `Rejected` out. Nothing here waits, looks at a clock or raises to its caller.

The order of the checks is a security property, argued in docs/admission.md. Do not reorder it without a decision record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from gateway.contract.values import Environment, Family, KeyId, PartnerId
from gateway.core import limits, tokens
from gateway.core.directory import Directory
from gateway.core.keyring import Keyring
from gateway.core.keys import DecryptionKey, Use
from gateway.core.message import Message, Signed
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError, RuleId, UntrustedError
from gateway.core.profiles import Profile
from gateway.core.readable import readable, touches
from gateway.core.reference import Reference
from gateway.core.rules import RuleContext, RuleTables, check_all
from gateway.core.schema import Schemas, parse_family_uri
from gateway.core.tokens import Verified

ACKNOWLEDGEMENT: Final = "acknowledgement"  # every partner may answer what it was told
CLAIMS: Final = frozenset({"iss", "aud", "jti", "iat", "toe", "txn", "events"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What admission knows of the world: made at start and at each reload, never changed in between."""

    gateway: PartnerId
    environment: Environment
    uri_base: str
    keyring: Keyring
    decryption_keys: Mapping[KeyId, DecryptionKey]
    encrypted: Literal["required", "allowed"]  # "required", or "allowed" where a dev profile waives it
    directory: Directory
    schemas: Schemas
    reference: Reference
    tables: RuleTables


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is right for everybody, with the warnings and notes for its receipt."""

    message: Message
    token: bytes  # the compact JWS as received: kept as proof
    notices: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is wrong for everybody.

    `signed` is known from a good signature on: intake then asks whether these very bytes were accepted before.
    `trusted` says that the key was within its period too: only then the rejection goes into evidence.
    `reason` is for our log, a fixed phrase.
    """

    problems: tuple[Problem, ...]
    signed: Signed | None = None
    trusted: bool = False
    reason: str = ""


def admit(raw: bytes, *, channel: PartnerId, ctx: Context, now: datetime) -> Accepted | Rejected:
    """Judge bytes that came by the channel of one partner. Any bytes give an outcome; it never raises for what a peer sent."""
    signed: Signed | None = None
    trusted = False
    try:
        token = tokens.unwrap(raw, ctx.decryption_keys, typ=tokens.EVENT, encrypted=ctx.encrypted)  # 1 size, shape, decryption
        entry = ctx.keyring.find(channel, token.kid, use=Use.SUBMIT)  # 2 chosen by the channel, not the text; unknown and revoked end here
        verified = tokens.verify(token, entry)  # 3 signature first, meaning second
        signed = verified.signed  # from here on intake asks first whether these very bytes were accepted before
        entry.check_period(now)  # 4 a repeat may outlive its key; something new may not
        trusted = True
        message = _read(verified, channel, ctx, now)  # 5 claims, audience, age, family
    except RefusedInputError as exc:
        reason = exc.reason if isinstance(exc, UntrustedError) else exc.problem.code.value
        return Rejected((exc.problem,), signed, trusted, reason)
    problems = _check(message, ctx, now)  # 6 schema, then rules: every problem, not just the first
    if any(p.is_error for p in problems):
        return Rejected(tuple(problems), signed, trusted, "faults")
    return Accepted(message, token.compact, tuple(problems))


def _read(verified: Verified, channel: PartnerId, ctx: Context, now: datetime) -> Message:
    profile = ctx.directory.find(channel)
    if profile is None:
        raise UntrustedError("key without a profile")
    claims = read_claims(verified.claims, channel, gateway=ctx.gateway)
    family, event = read_event(claims["events"], ctx.uri_base)
    _same_environment(event, ctx.environment)
    check_sends(family, profile)
    return Message(
        iss=channel, jti=verified.jti, digest=verified.digest, aud=ctx.gateway, iat=_issued(claims, profile, now),
        toe=read_instant(claims, "toe"), txn=claims["txn"], family=family, event=event,
    )  # fmt: skip


def check_sends(family: Family, profile: Profile) -> None:
    """Refuse a family that the sender's profile does not send. Raises `MalformedError`."""
    if family.name not in profile.sends and family.name != ACKNOWLEDGEMENT:
        raise _fault("events", Code.NOT_ALLOWED, "your profile does not send this family", f"one of {_names(profile.sends)}")


def read_claims(claims: Mapping[str, Any], channel: PartnerId, *, gateway: PartnerId) -> Mapping[str, Any]:
    """Return the claims of a message from a partner to this gateway, once they are the seven there are. Raises `MalformedError`."""
    if missing := sorted(CLAIMS - set(claims)):
        raise _fault(missing[0], Code.CLAIM_INVALID, f"claims missing: {', '.join(missing)}", f"exactly {', '.join(sorted(CLAIMS))}")
    if extra := len(set(claims) - CLAIMS):
        raise _fault("(others)", Code.CLAIM_INVALID, f"{extra} claims that do not belong", f"exactly {', '.join(sorted(CLAIMS))}")
    if not isinstance(claims["jti"], str) or not tokens.is_uuid7(claims["jti"]):
        raise _fault("jti", Code.CLAIM_INVALID, "jti is not a UUIDv7", "a UUID of version 7 (RFC 9562), lower case")
    if claims["iss"] != channel:
        raise _fault("iss", Code.CLAIM_INVALID, "iss is not the partner of this channel", "your partner id")
    if claims["aud"] != gateway:
        raise _fault("aud", Code.AUDIENCE_WRONG, "aud is not this gateway", f"exactly one: {gateway}")
    if not isinstance(claims["txn"], str) or not tokens.is_uuid(claims["txn"]):
        raise _fault("txn", Code.CLAIM_INVALID, "txn is not a UUID", "a UUID naming the conversation")
    return claims


def _issued(claims: Mapping[str, Any], profile: Profile, now: datetime) -> datetime:
    """Return `iat` if it lies in the channel's window."""
    iat = read_instant(claims, "iat")
    if iat > now + timedelta(seconds=limits.IAT_SKEW_SECONDS_MAX):
        raise _fault("iat", Code.ISSUED_TOO_EARLY, "iat lies in the future", "the time of signing, UTC")
    if iat < now - timedelta(seconds=profile.iat_age_seconds):
        expected = f"at most {profile.iat_age_seconds} seconds ago on this channel: sign again"
        raise _fault("iat", Code.ISSUED_TOO_LATE, "iat is too old", expected)
    return iat


def _fault(claim: str, code: Code, detail: str, expected: str) -> MalformedError:
    return MalformedError(detail, code=code, expected=expected, claim=claim)


def _same_environment(event: Mapping[str, Any], ours: Environment) -> None:
    """Refuse what says it is of another environment, before its content is looked at (R-GEN-16). What says nothing is the schema's."""
    handling = event.get("handling")
    said = handling.get("environment") if isinstance(handling, dict) else None
    if isinstance(said, str) and said in set(Environment) and said != ours:
        raise RefusedInputError(
            Problem(
                code=Code.ENVIRONMENT_WRONG, detail="the message is of another environment", expected=ours.value,
                pointer="/handling/environment", rule=RuleId("R-GEN-16"),
            )
        )  # fmt: skip


def _names(families: frozenset[str]) -> str:
    return ", ".join(sorted(families | {ACKNOWLEDGEMENT}))


def read_instant(claims: Mapping[str, Any], name: str) -> datetime:
    """Return a NumericDate of whole seconds (RFC 7519 section 2). Raises `MalformedError`."""
    value = claims[name]
    if type(value) is not int or not 0 <= value < 2**33:
        raise _fault(name, Code.CLAIM_INVALID, f"{name} is no time", "whole seconds since 1970-01-01 UTC")
    return datetime.fromtimestamp(value, UTC)


def read_event(events: object, base: str) -> tuple[Family, Mapping[str, Any]]:
    """Return the family and the value of the one event. Raises `MalformedError`."""
    if not isinstance(events, dict) or len(events) != 1:
        raise _fault("events", Code.CLAIM_INVALID, "events has not exactly one member", "one family URI")
    ((uri, event),) = events.items()
    family = parse_family_uri(base, uri)
    if family is None or not isinstance(event, dict):
        raise _fault("events", Code.FAMILY_UNKNOWN, "the family is not known here", f"{base}/<family>/<version>")
    return family, event


def _check(message: Message, ctx: Context, now: datetime) -> list[Problem]:
    sender = ctx.directory.by_id(message.iss)
    rules = RuleContext(reference=ctx.reference, tables=ctx.tables, sender=sender, environment=ctx.environment, now=now)
    return judge(message, ctx.schemas, rules=rules)


def judge(message: Message, schemas: Schemas, *, rules: RuleContext) -> list[Problem]:
    """Return every problem in what a message says: shape, codes of its day, rules. Needs no key, so a sender can ask beforehand too."""
    if not schemas.knows(message.family):
        expected = ", ".join(f"{f.name}/{f.version}" for f in sorted(schemas.families))
        return [Problem(code=Code.FAMILY_UNKNOWN, detail="the family or version is not known here", expected=expected, claim="events")]
    problems = schemas.check(message.family, message.event, on=message.iat.date())
    faulty = [p.pointer for p in problems if p.is_error and p.pointer is not None]
    event = readable(message.event, faulty) if faulty else message.event
    if event is None:
        return problems[: limits.PROBLEMS_COUNT_MAX]
    broken = [p for p in check_all(replace(message, event=event), rules) if not touches(p.pointer, faulty)]
    found = sorted([*problems, *broken], key=lambda problem: not problem.is_error)  # however many warnings there are, they hide no error
    return found[: limits.PROBLEMS_COUNT_MAX]
