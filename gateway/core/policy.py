"""Access policies: may this partner get this message, unreviewed, and which field groups? Default deny, with a reason on both sides.

Cedar evaluates; three things are ours. A referral reaches providers of support alone (R-REF-02): asked before Cedar, so that no file can
permit otherwise, and no error hold it for somebody to release. Any evaluation error makes the answer a hold, because Cedar alone skips a
`forbid` that errs, and allows. And the context is closed and of low cardinality (no `jti`, no subject), so that answers are memoised: an
evaluation of all actions costs about a millisecond, a remembered one about a microsecond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import cedarpy

from gateway.contract.values import Country, Lane, PartnerId, Role
from gateway.core import limits, referral
from gateway.core.groups import ALWAYS, EXTENSIONS, GOVERNED
from gateway.core.message import Message
from gateway.core.policy_source import Policy, digest_of
from gateway.core.profiles import Profile

SEND: Final = "send"
SEND_UNREVIEWED: Final = "send_unreviewed"
ACTIONS: Final = (SEND, SEND_UNREVIEWED, *(f"see_{group}" for group in GOVERNED))
DEFAULT_DENY: Final = ("default-deny",)
POLICY_ERROR: Final = ("policy-error",)


class Effect(StrEnum):
    """What the policies say to one question."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"  # could not be evaluated: a person decides


@dataclass(frozen=True, slots=True)
class Answer:
    """An effect and the `@id`s of the policies behind it: never empty, also for ALLOW."""

    effect: Effect
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartnerAnswer:
    """All answers for one partner and one kind of message."""

    send: Answer
    unreviewed: Answer
    groups: Mapping[str, Answer]  # by field group, each governed one

    @property
    def allowed(self) -> frozenset[str]:
        """The field groups this partner may see; `handling`, `routing` and `subject` always."""
        return ALWAYS | {group for group, answer in self.groups.items() if answer.effect is Effect.ALLOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyContext:
    """Everything a policy may know. Closed, and the same for many messages: it is the key of the memo."""

    partner: PartnerId
    kind: str
    sector: str
    country: Country
    family: str
    purpose: str
    legal_basis: tuple[str, ...]  # codes, sorted
    classification: str
    handling: tuple[str, ...]  # codes, sorted
    lane: Lane
    roles: tuple[Role, ...]  # sorted
    abroad: bool  # the partner is not in the sender's country
    is_minor: str
    status: str  # of the subject
    same_environment: bool
    day: date
    provider: str | None = None  # the kind that a referral is for; None for other families
    anonymous: bool = False  # a referral of somebody it does not name
    extensions: tuple[str, ...] = ()  # URIs in the message, sorted


def context_of(message: Message, profile: Profile, roles: tuple[Role, ...], *, home: Country, on: date) -> PolicyContext:
    """Return what policies may know of `message` on its way to `profile` in `roles`; `home` is the sender's country."""
    handling, subject = message.event["handling"], message.event["subject"]
    return PolicyContext(
        partner=profile.id, kind=profile.kind, sector=profile.sector, country=profile.country, family=message.family.name,
        purpose=handling["purpose"], legal_basis=_codes(b["code"] for b in handling["legal_basis"]),
        classification=handling["classification"], handling=_codes(handling["codes"]), lane=message.lane,
        roles=tuple(sorted(set(roles))), abroad=profile.country != home, is_minor=subject["is_minor"], status=subject["status"],
        same_environment=message.environment is profile.environment, day=on, provider=referral.provider_of(message),
        anonymous=referral.is_anonymous(message), extensions=_codes(message.event.get("extensions", ())),
    )  # fmt: skip


def _codes(values: Any) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


class PolicySet:
    """The policies in force, parsed once. Immutable; replaced as a whole when policies are reloaded."""

    def __init__(self, policies: Sequence[Policy], schema: str) -> None:
        """Take policies that `policy_source.read_policies` found right, and the Cedar schema they were checked against."""
        self.policies = tuple(policies)
        self.digest = digest_of(self.policies, schema)
        self._schema = cedarpy.Schema.from_str(schema)
        self._whole = _Handle(self.policies)
        self._slice = lru_cache(maxsize=limits.POLICY_SLICES_COUNT_MAX)(self._cut)
        self._memo = lru_cache(maxsize=limits.POLICY_ANSWERS_COUNT_MAX)(self._decide)  # of this set alone, so the digest is implied

    def decide_partner(self, ctx: PolicyContext) -> PartnerAnswer:
        """Answer every action for one partner: from the memo, else from the policies that can concern it."""
        return self._memo(ctx)

    def decide_in_full(self, ctx: PolicyContext) -> PartnerAnswer:
        """Answer from the whole set, without memo or slice: what `decide_partner` must equal."""
        return self._evaluate(ctx, self._whole)

    def _decide(self, ctx: PolicyContext) -> PartnerAnswer:
        return self._evaluate(ctx, self._slice(ctx.partner, ctx.family))

    def _cut(self, partner: PartnerId, family: str) -> _Handle:
        """Leave out policies whose scope names another partner or family: Cedar would not look at their conditions either."""
        return _Handle([p for p in self.policies if p.partner in {None, partner} and p.family in {None, family}])

    def _evaluate(self, ctx: PolicyContext, handle: _Handle) -> PartnerAnswer:
        if referral.is_barred(ctx.family, ctx.kind):
            return _BARRED
        plain, named = _context(ctx), [(EXTENSIONS, uri) for uri in ctx.extensions]
        questions = [_question(ctx, action, plain) for action in ACTIONS if action != f"see_{EXTENSIONS}"]
        questions += [_question(ctx, f"see_{group}", _context(ctx, extension_uri=uri)) for group, uri in named]
        results = cedarpy.is_authorized_batch(questions, handle.parsed, _entities(ctx), self._schema)
        answers = [_answer(result) for result in results]
        send, unreviewed, *groups = answers[: len(ACTIONS) - 1]
        by_group = dict(zip((g for g in GOVERNED if g != EXTENSIONS), groups, strict=True))
        by_group[EXTENSIONS] = _all(answers[len(ACTIONS) - 1 :])
        return PartnerAnswer(send, unreviewed, MappingProxyType(by_group))


class _Handle:
    """Some policies as one parsed Cedar set."""

    __slots__ = ("parsed",)

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.parsed = cedarpy.PolicySet.from_str("\n".join(p.text for p in policies))


_NO: Final = Answer(Effect.DENY, (referral.RULE,))
_BARRED: Final = PartnerAnswer(_NO, _NO, MappingProxyType(dict.fromkeys(GOVERNED, _NO)))


def _answer(result: cedarpy.AuthzResult) -> Answer:
    diagnostics = result.diagnostics
    if diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:  # even where Cedar says Allow
        return Answer(Effect.HOLD, POLICY_ERROR)
    ids = tuple(sorted(diagnostics.id_annotations_by_reason.values()))
    return Answer(Effect.ALLOW, ids) if result.allowed else Answer(Effect.DENY, ids or DEFAULT_DENY)


def _all(answers: Sequence[Answer]) -> Answer:
    """Join the answers for each extension: shown only if every one is; what could not be evaluated comes first."""
    for effect in (Effect.HOLD, Effect.DENY):
        said = [a for a in answers if a.effect is effect]
        if said:
            return Answer(effect, tuple(sorted({policy for a in said for policy in a.because})))
    return Answer(Effect.ALLOW, tuple(sorted({p for a in answers for p in a.because}))) if answers else Answer(Effect.DENY, DEFAULT_DENY)


def _question(ctx: PolicyContext, action: str, context: str) -> dict[str, Any]:
    return {
        "principal": {"type": "Partner", "id": ctx.partner},
        "action": {"type": "Action", "id": action},
        "resource": {"type": "Family", "id": ctx.family},
        "context": context,
    }


def _entities(ctx: PolicyContext) -> list[dict[str, Any]]:
    attributes = {"kind": _entity("Kind", ctx.kind), "sector": _entity("Sector", ctx.sector), "country": ctx.country}
    return [{"uid": {"type": "Partner", "id": ctx.partner}, "attrs": attributes, "parents": []}]


def _context(ctx: PolicyContext, **more: str) -> str:
    """Write the context record of gateway.cedarschema. Code lists are enumerated entities there, so an unknown code is an error: a hold."""
    record: dict[str, Any] = {
        "purpose": _entity("Purpose", ctx.purpose),
        "legal_basis": ctx.legal_basis,
        "classification": _entity("Classification", ctx.classification),
        "handling": ctx.handling,
        "lane": _entity("Lane", ctx.lane.upper()),
        "roles": [_entity("Role", role) for role in ctx.roles],
        "abroad": ctx.abroad,
        "is_minor": _entity("Minor", ctx.is_minor),
        "status": _entity("Status", ctx.status),
        "same_environment": ctx.same_environment,
        "day": {"__extn": {"fn": "datetime", "arg": ctx.day.isoformat()}},
        "anonymous": ctx.anonymous,
    }
    if ctx.provider is not None:
        record["provider"] = _entity("Provider", ctx.provider)
    return json.dumps(record | more)


def _entity(kind: str, value: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": value}}
