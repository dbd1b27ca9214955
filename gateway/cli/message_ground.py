"""What `gateway message draft` and `check` judge by: schemas, code lists and rules of this installation, and who is thought to send.

The very pieces of admission, without keys: what is right here is right at the gateway, unless it knows more (conversations, policies).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import typer

from gateway.bootstrap import load_adapters
from gateway.contract.values import Country, Environment, Family, Jti, PartnerId
from gateway.core import admission, strict_json
from gateway.core.directory import Directory
from gateway.core.limits import MESSAGE_BYTES_MAX
from gateway.core.message import Message
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError
from gateway.core.profiles import Profile
from gateway.core.reference import Reference
from gateway.core.rules import RULES, RuleContext, RuleTables
from gateway.core.rules.page import SOURCES
from gateway.core.schema import Schemas, family_uri, parse_family_uri
from gateway.core.schema_source import Schema
from gateway.ops.profiles import Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables

MEMBERS: Final = frozenset({"family", "toe", "txn", "jti", "event"})  # of a message before it is signed, as `sign` takes it
ANY_BASE: Final = "<base of the gateway>"
_KEYS: Final = re.compile(r"V:([A-Z0-9]+)|\bS00([0-9])\b|\bG\b|(?:^|(?<=[;,] ))(?:P|own)\b")
_MARKS: Final = {"G": "general knowledge, not verified", "P": "our own choice", "own": "our own rule"}
_PLACE: Final = re.compile("[A-Z]{2}(-[A-Z0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Ground:
    """The lists of an installation."""

    reference: Reference
    schemas: Schemas
    tables: RuleTables

    @classmethod
    def load(cls, folder: Path) -> Ground:
        """Read a schemas folder. Raises `OperatorError`s, each with what to mend."""
        reference = load_reference(folder)
        return cls(reference, load_schemas(folder, reference), load_rule_tables(folder / "rules"))

    def family(self, text: str) -> Family:
        """Return the family of a name, or a name and version; without a version its newest. A usage error where there is none."""
        name, _, version = text.partition("/")
        found = [known for known in sorted(self.schemas.families, key=_age) if known.name == name and version in {"", known.version}]
        if not found:
            names = ", ".join(sorted({known.name for known in self.schemas.families}))
            raise typer.BadParameter(f"no such family; one of {names}", param_hint="FAMILY")
        return found[-1]

    def source_of(self, problem: Problem, family: Family, on: datetime) -> str:
        """Return where it is written that this is wrong: the law of a rule, the list of a code, the source of a field."""
        if problem.rule is not None:
            return spelt(RULES[problem.rule].source)
        if problem.pointer is None or not self.schemas.knows(family):
            return "docs/problems.md"
        nodes = way(self.schemas.document(family), problem.pointer)
        listed = nodes[-1].get("x-code-list")
        if problem.code is Code.CODE_UNKNOWN and listed is not None:
            edition = self.reference.codes.listing(listed, on.date())
            return spelt(edition.source) if edition is not None else f"list {listed}"
        return spelt(next(str(node["x-source"]) for node in reversed(nodes) if "x-source" in node))


def _age(family: Family) -> tuple[int, ...]:
    return tuple(int(part) for part in family.version.split("."))


@lru_cache(maxsize=1024)  # sources are few and faults many
def spelt(source: str) -> str:
    """Return a source with its keys in words."""
    return _KEYS.sub(_named, source)


def _named(found: re.Match[str]) -> str:
    if found[1]:
        return SOURCES.get(found[1], found[1])
    return f"seed document {found[2]}" if found[2] else _MARKS[found[0]]


def way(schema: Schema, pointer: str) -> list[Schema]:
    """Return the schemas from the root to what a pointer names, as far as they go."""
    nodes = [schema]
    for step in pointer.split("/")[1:]:
        node = nodes[-1]
        below = node.get("properties", {}).get(step.replace("~1", "/").replace("~0", "~")) or (
            node.get("items") if step.isdigit() else None
        )
        if below is None:
            break
        nodes.append(below)
    return nodes


@dataclass(frozen=True, slots=True)
class Senders:
    """Whose law and whose profile a message is judged by: a partner's where profiles are at hand, else a register of some country."""

    place: str  # GB, or GB-NIR
    sender: str | None = None
    directory: Directory = field(default_factory=lambda: Directory(()))

    @classmethod
    def load(cls, place: str, sender: str | None, folder: Path, *, ground: Ground) -> Senders:
        """Check the country; read the profiles where a sender is named. Usage errors, and `OperatorError`s with what to mend."""
        if not _PLACE.fullmatch(place) or place[:2] not in ground.reference.countries:
            raise typer.BadParameter("a country, or a region of it: GB, GB-NIR", param_hint="--country")
        if sender is None:
            return cls(place)
        manifests = {id_: adapter.manifest for id_, adapter in load_adapters().items()}
        profiles = load_partners(folder, vocabulary=Vocabulary.of(ground.schemas, ground.reference), adapters=manifests).profiles
        directory = Directory(profiles.values())
        if directory.find(sender) is None:
            raise typer.BadParameter(f"no profile {sender} in {folder}", param_hint="--sender")
        return cls(place, sender, directory)

    def of(self, environment: str) -> Profile:
        """Return the sender; of a stand-in the environment is what the message says, as nobody else says one."""
        known = self.directory.find(self.sender) if self.sender else None
        return known or _stand_in(self.place, environment)

    @property
    def words(self) -> str:
        """Say who it is."""
        return f"partner {self.sender}" if self.sender else f"a register in {self.place} (--country, or --sender)"


@lru_cache(maxsize=16)
def _stand_in(place: str, environment: str) -> Profile:
    said = Environment(environment) if environment in set(Environment) else Environment.TEST
    return Profile(
        id=PartnerId("sender"), name="Sender", country=Country(place[:2]), kind="REGISTER", sector="STATUTORY", environment=said,
        delivery=None, regions=frozenset({place} if "-" in place else ()),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges what was read as admission would, all but the signature."""

    ground: Ground
    senders: Senders
    now: datetime
    family: Family | None = None  # of events that stand alone

    def judge(self, value: Mapping[str, Any]) -> tuple[Family | None, list[Problem]]:
        """Return family and problems of a message: claims of a token, {family, event, …}, or an event alone."""
        family = None
        try:
            if len(strict_json.canonical(value)) > MESSAGE_BYTES_MAX:
                raise MalformedError(
                    "larger than a message may be", code=Code.MESSAGE_TOO_LARGE, expected=f"at most {MESSAGE_BYTES_MAX} bytes"
                )
            message = self._message(value)
            family = message.family
            handling = message.event.get("handling")
            said = handling.get("environment") if isinstance(handling, Mapping) else None
            sender = self.senders.of(str(said))
            if self.senders.sender is not None:
                admission.check_sends(family, sender)
        except RefusedInputError as exc:
            return family, [exc.problem]
        rules = RuleContext(
            reference=self.ground.reference, tables=self.ground.tables, sender=sender, environment=sender.environment, now=self.now
        )
        return family, admission.judge(message, self.ground.schemas, rules=rules)

    def _message(self, value: Mapping[str, Any]) -> Message:
        if "events" in value:
            return self._of_claims(value)
        if "event" not in value:
            return self._made(self.family, value)
        if value.keys() - MEMBERS:
            raise MalformedError("has an unknown member", code=Code.REQUEST_INVALID, expected=f"only {', '.join(sorted(MEMBERS))}")
        name, _, version = str(value.get("family", "")).partition("/")
        event = value["event"]
        if not isinstance(event, Mapping):
            raise MalformedError("event is no object", code=Code.SCHEMA_INVALID, expected="handling, routing, subject and body")
        toe = _instant(value["toe"]) if "toe" in value else self.now
        return self._made(Family(name, version) if name and version else self.family, event, toe=toe)

    def _of_claims(self, claims: Mapping[str, Any]) -> Message:
        iss, aud = (PartnerId(said if isinstance(said := claims.get(name), str) else "") for name in ("iss", "aud"))
        read = admission.read_claims(claims, iss, gateway=aud)  # whose they are nobody knows before they are signed
        family, event = admission.read_event(_rebased(read["events"]), ANY_BASE)
        iat, toe = admission.read_instant(claims, "iat"), admission.read_instant(claims, "toe")
        return self._made(family, event, toe=toe, iat=iat)

    def _made(
        self, family: Family | None, event: Mapping[str, Any], *, toe: datetime | None = None, iat: datetime | None = None
    ) -> Message:
        if family is None:
            expected = "`family` beside `event`, as travel-notification/1.0, or --family"
            raise MalformedError("does not say of which family it is", code=Code.FAMILY_UNKNOWN, expected=expected)
        return Message(
            iss=PartnerId("sender"), jti=Jti("-"), digest="", aud=PartnerId("-"), iat=iat or self.now, toe=toe or self.now, txn="",
            family=family, event=event,
        )  # fmt: skip


def _rebased(events: object) -> object:
    """Return the events of a token with a base that may be told: theirs is their gateway's, or what somebody wrote there."""
    if not isinstance(events, Mapping) or len(events) != 1:
        return events
    ((uri, event),) = events.items()
    family = parse_family_uri(uri.rpartition("/")[0].rpartition("/")[0], uri)
    return {uri if family is None else family_uri(ANY_BASE, family): event}


def _instant(value: object) -> datetime:
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise MalformedError("toe is no instant", code=Code.REQUEST_INVALID, expected="2026-01-31T09:00:00Z", claim="toe")
    return when.astimezone(UTC)
