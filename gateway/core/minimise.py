"""Minimising: a message becomes the view of one partner. What no policy permits is gone, and every removal has a reason (domain.md d.15).

Beside the policies some things are fixed here, because no policy may undo them: identifiers that never leave their country, health
without the reason it must travel, and recipients other than this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.contract.values import Country, Family, Jti, PartnerId, Ref, Removed, Role, View
from gateway.core.groups import ALWAYS, HEALTH, HEALTH_WITH_REASON
from gateway.core.message import Message
from gateway.core.policy import DEFAULT_DENY, Answer
from gateway.core.profiles import Profile

DOMESTIC: Final[Mapping[str, Country]] = {"SSN": Country("US"), "FBI": Country("US")}  # d.12: scheme, and the one country it stays in
VISITING: Final = frozenset({"POLICE", "PROBATION"})  # kinds whose staff visit: for others staff warnings have no use at all
WHOLE_GROUP: Final = {"associates": "THIRD_PARTY", "extensions": "EXTENSION"}  # groups that nobody sees unless a policy says so outright
MARKED_IN: Final = {"TRAVEL_RESTRICTION": "orders"}  # a mark that says what a group says goes only to who sees the group
FIXED: Final = {"DOMESTIC_ONLY": ("domestic-only",), "SPECIAL_CATEGORY": ("special-category",)}  # what stands in place of a policy id


class Cutter(Protocol):
    """What minimising asks of the schemas: `core/schema.py` has it."""

    def cut(self, family: Family, event: Mapping[str, Any], allowed: frozenset[str]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """Return the event with the allowed groups alone, and the groups that were present and are gone."""


class LeadTimeTold(Protocol):
    """How long before the journey the sender was told, as rules say it (c.2)."""

    @property
    def required(self) -> object:
        """The time asked for."""

    @property
    def given(self) -> object:
        """The time there was."""

    @property
    def late(self) -> bool:
        """Whether that was too short."""

    @property
    def row(self) -> str:
        """The row of the rule table that says so."""


def reasons(missing: Iterable[str], answers: Mapping[str, Answer], profile: Profile) -> tuple[Removed, ...]:
    """Return why `profile` does not see the `missing` groups, by group. A group without an answer is one no policy permits."""
    return tuple(_reason(group, answers.get(group), profile) for group in sorted(missing))


def minimise(
    message: Message,
    allowed: frozenset[str],
    profile: Profile,
    schemas: Cutter,
    *,
    removed: Sequence[Removed] = (),
    roles: tuple[Role, ...] = (),
) -> View:
    """Return the view of `message` for `profile` with the `allowed` groups. `removed` are the reasons recorded with the decision.

    The environment, and so its mark in every format, is the message's.
    """
    shown = allowed | ALWAYS
    fixed: list[Removed] = []
    if HEALTH in shown:
        shown = shown - {HEALTH} | {HEALTH_WITH_REASON}
    event, missing = schemas.cut(message.family, message.event, shown)
    if HEALTH in missing and HEALTH in allowed:
        fixed.append(Removed(HEALTH, "SPECIAL_CATEGORY", FIXED["SPECIAL_CATEGORY"]))
    body, domestic = _without_domestic(event.get("body", {}), profile.country)
    if domestic:
        fixed.append(Removed("identifiers", "DOMESTIC_ONLY", FIXED["DOMESTIC_ONLY"]))
    recorded = {r.group: r for r in removed}
    others = missing - {r.group for r in fixed}
    said = [recorded.get(r.group, r) for r in reasons(others, {}, profile)]
    kept = {**event, "body": body, "routing": _routing(event["routing"], profile, roles), "handling": _handling(event)}
    return View(message.family, kept, tuple(sorted([*said, *fixed], key=lambda r: r.group)), message.environment)


def deliver_event(  # noqa: PLR0913 -- the members domain.md b.0 says a delivery adds
    view: View,
    *,
    original: Ref,
    subject_iss: str,
    previous: Jti | None,
    prior_undelivered: bool,
    lead_time: LeadTimeTold | None,
    checkpoint: str | None,
    marks: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Return the view's event with what the gateway adds in a delivery (domain.md b.0, last row)."""
    event = dict(view.event)
    event["subject"] = {**event["subject"], "iss": subject_iss}
    event["original"] = {"iss": original.iss, "jti": original.jti}
    event["prior_undelivered"] = prior_undelivered
    event["withheld"] = [{"group": r.group, "reason": r.reason} for r in view.removed]
    if previous is not None:
        event["previous"] = previous
    if lead_time is not None:
        event["lead_time"] = {"required": lead_time.required, "given": lead_time.given, "late": lead_time.late, "row": lead_time.row}
    if checkpoint is not None:
        event["checkpoint"] = checkpoint
    withheld = {r.group for r in view.removed}
    if shown := [mark for mark in marks if MARKED_IN.get(mark) not in withheld]:
        event["marks"] = shown
    return event


def _reason(group: str, answer: Answer | None, profile: Profile) -> Removed:
    because = DEFAULT_DENY if answer is None else answer.because
    if because != DEFAULT_DENY:
        return Removed(group, "POLICY_FORBID", because)
    if group == "staff_safety" and profile.kind not in VISITING:
        return Removed(group, "STAFF_SAFETY", because)
    return Removed(group, WHOLE_GROUP.get(group, "NO_PERMIT"), because)


def _routing(routing: Mapping[str, Any], profile: Profile, roles: tuple[Role, ...]) -> dict[str, Any]:
    """Keep the recipient's own entries, and say that the notice is information only unless the sender asked for more (R-TRV-15)."""
    kept = {"action_requested": "INFORMATION_ONLY", **routing}
    own = [entry for entry in kept.pop("recipients", ()) if _is_own(entry, profile, roles)]
    return {**kept, "recipients": own} if own else kept


def _is_own(entry: Mapping[str, Any], profile: Profile, roles: tuple[Role, ...]) -> bool:
    if "partner" in entry:
        return PartnerId(entry["partner"]) == profile.id
    return profile.covers(Country(entry["country"])) and (not roles or entry["role"] in roles)


def _handling(event: Mapping[str, Any]) -> dict[str, Any]:
    """Mark what is about somebody who is or may be a minor (R-GEN-09). A mark is only ever raised."""
    minor = event["subject"]["is_minor"] != "NO"
    return {**event["handling"]} | ({"classification": "OFFICIAL-SENSITIVE"} if minor else {})


def _without_domestic(node: Any, country: Country) -> tuple[Any, bool]:
    """Return `node` without identifiers that may not leave for `country`, and whether there were any."""
    return _cut_domestic(node, country) if _holds_domestic(node, country) else (node, False)


def _holds_domestic(node: Any, country: Country) -> bool:
    """Look for what hardly any message has, before all of one is copied."""
    below = [[node]]
    while below:
        for value in below.pop():
            if isinstance(value, list):
                below.append(value)
            elif isinstance(value, dict):
                held = value.get("identifiers")
                if isinstance(held, list) and not all(_may_leave(item, country) for item in held):
                    return True
                below.append(list(value.values()))
    return False


def _may_leave(identifier: Mapping[str, Any], country: Country) -> bool:
    return DOMESTIC.get(identifier["scheme"], country) == country


def _cut_domestic(node: Any, country: Country) -> tuple[Any, bool]:
    if isinstance(node, list):
        pairs = [_cut_domestic(item, country) for item in node]
        return [item for item, _ in pairs], any(found for _, found in pairs)
    if not isinstance(node, dict):
        return node, False
    result: dict[str, Any] = {}
    found = False
    for name, value in node.items():
        kept, below = _cut_domestic(value, country)
        if name == "identifiers" and isinstance(kept, list):
            stays = [item for item in kept if _may_leave(item, country)]
            below = below or len(stays) < len(kept)
            if not stays and kept:
                found = True
                continue  # an empty list would tell that there was one
            kept = stays
        result[name] = kept
        found = found or below
    return result, found
