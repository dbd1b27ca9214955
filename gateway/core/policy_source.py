"""Reads policy texts: every fault with its file and line, all at once.

Cedar reports neither file nor line, passes partners that do not exist and policies without `@id`. So each file is cut into statements,
each is checked alone, and the literals are found in Cedar's own JSON form.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cedarpy

from gateway.contract.errors import OperatorError
from gateway.contract.values import PartnerId
from gateway.core import referral
from gateway.core.groups import EXTENSIONS, GOVERNED

BUILT_IN: Final = frozenset({referral.RULE})  # ids that no policy of an operator may take
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SEE_EXTENSIONS: Final = f"see_{EXTENSIONS}"
PIECE: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"?|//[^\n]*|;|[^";/]+|/', re.DOTALL
)  # a string, a comment, the end of a statement, or other text
CONSEQUENCE: Final = "unable to find an applicable action"  # Cedar adds it to every wrong scope


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong at one place, and what would be right."""

    file: str
    line: int
    what: str
    expected: str = ""

    def __str__(self) -> str:
        tail = f"; {self.expected}" if self.expected else ""
        return f"{self.file}:{self.line}: {self.what}{tail}"


class PolicyFaultsError(OperatorError):
    """The policies cannot be used. Carries every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep `faults`; the text lists them, one a line."""
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it stands in a file."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy that was found right."""

    id: str
    file: str
    line: int
    text: str
    canonical: str  # Cedar's JSON form: comments and layout do not matter
    partner: PartnerId | None  # the one its scope names
    family: str | None  # the one its scope names


def read_policies(texts: Mapping[str, str], schema: str, *, partners: Collection[str]) -> tuple[Policy, ...]:
    """Return the policies of all files, in order. `partners` are the ids of the profiles there are.

    Raises `PolicyFaultsError` with every fault of every file.
    """
    try:
        parsed = cedarpy.Schema.from_str(schema)
    except ValueError as exc:
        raise PolicyFaultsError([Fault("gateway.cedarschema", 1, f"not a Cedar schema: {exc}")]) from exc
    policies: list[Policy] = []
    faults: list[Fault] = []
    for file in sorted(texts):
        for statement in statements(file, texts[file]):
            outcome = _read(statement, parsed, partners)
            if isinstance(outcome, Policy):
                policies.append(outcome)
            else:
                faults += outcome
    faults += _repeated(policies)
    if faults:
        raise PolicyFaultsError(sorted(faults))
    return tuple(policies)


def digest_of(policies: Sequence[Policy], schema: str) -> str:
    """Return the hex SHA-256 over the set, in order of ids, and the schema."""
    content = [[p.id, p.canonical] for p in sorted(policies, key=lambda p: p.id)]
    return hashlib.sha256(json.dumps([content, schema]).encode()).hexdigest()


def statements(file: str, text: str) -> Iterator[Statement]:
    """Cut a file at each `;` outside strings and comments. The line is that of the statement's first word."""
    kept, start, position = "", 0, 0
    for piece in PIECE.findall(text):
        if not kept.strip():
            kept, start = "", position + len(piece) - len(piece.lstrip())
        position += len(piece)
        if piece.startswith("//"):
            kept += "" if not kept.strip() else "\n"
            continue
        kept += piece
        if piece == ";":
            yield Statement(file, text.count("\n", 0, start) + 1, kept.strip())
            kept = ""
    if kept.strip():
        yield Statement(file, text.count("\n", 0, start) + 1, kept.strip())


def _read(statement: Statement, schema: cedarpy.Schema, partners: Collection[str]) -> Policy | list[Fault]:
    def fault(what: str, expected: str = "") -> Fault:
        return Fault(statement.file, statement.line, what, expected)

    try:
        form = json.loads(cedarpy.policies_to_json_str(statement.text))
    except ValueError as exc:
        return [fault(f"not a Cedar policy: {exc}")]
    if form["templates"] or len(form["staticPolicies"]) != 1:
        return [fault("a template, which nothing here ever links", "write one policy without ?principal and ?resource")]
    ((_, policy),) = form["staticPolicies"].items()
    id_ = (policy.get("annotations") or {}).get("id")
    found = [*_faults_of_id(id_), *_faults_of_literals(policy, partners), *_faults_of_permit(policy)]
    faults = [fault(*f) for f in found]
    if not any("unknown" in f.what for f in faults):  # Cedar would say the same again, in other words
        faults += [fault(text) for text in _said_by_cedar(statement.text, schema)]
    if faults:
        return faults
    return Policy(
        id=str(id_), file=statement.file, line=statement.line, text=statement.text, canonical=json.dumps(policy, sort_keys=True),
        partner=_scope(policy, "principal", "Partner"), family=_scope(policy, "resource", "Family"),
    )  # fmt: skip


def _said_by_cedar(text: str, schema: cedarpy.Schema) -> list[str]:
    """Return Cedar's own faults, without its positional name (always `policy0` here) and without the same fault per action."""
    errors = cedarpy.validate_policies(text, schema).errors
    said = list(dict.fromkeys(re.sub(r'^for policy `policy0`[:,] | for Action::"\w+"', "", e.error) for e in errors))
    return [s for s in said if CONSEQUENCE not in s] or said


def _faults_of_id(id_: str | None) -> Iterator[tuple[str, str]]:
    if not id_:
        yield "missing @id", 'every policy has one: @id("what-it-says")'
    elif ID.fullmatch(id_) is None:
        yield "@id is not a name", "letters, digits, dot, dash and underscore, at most 64"
    elif id_ in BUILT_IN:
        yield f"@id {id_} is that of a rule built into the gateway", "another name; the rule holds whatever the files say"


def _faults_of_literals(policy: Mapping[str, Any], partners: Collection[str]) -> Iterator[tuple[str, str]]:
    groups = {f"see_{group}" for group in GOVERNED}
    for kind, id_ in sorted(set(_entities(policy))):
        if kind == "Partner" and id_ not in partners:
            yield f"unknown partner {id_}", f"one of {', '.join(sorted(partners)) or '(there are no profiles)'}"
        if kind == "Action" and id_.startswith("see_") and id_ not in groups:
            yield f"unknown field group {id_.removeprefix('see_')}", f"one of {', '.join(sorted(GOVERNED))}"


def _faults_of_permit(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A permit says what it permits, so that a new action or extension is never shown by an old, wide one."""
    if policy["effect"] != "permit":
        return
    actions = {id_ for kind, id_ in _entities(policy["action"]) if kind == "Action"}
    if not actions:
        yield "a permit for every action", "name the actions it permits"
    if SEE_EXTENSIONS in actions and not _names_extension(policy):
        yield "a permit for extensions that names none", 'a condition: when { context.extension_uri == "…" }'


def _names_extension(policy: Mapping[str, Any]) -> bool:
    return any(c["kind"] == "when" and _demands_uri(c["body"]) for c in policy["conditions"])


def _demands_uri(body: Mapping[str, Any]) -> bool:
    """Say whether a condition holds only for an extension named in it."""
    if "&&" in body:
        return _demands_uri(body["&&"]["left"]) or _demands_uri(body["&&"]["right"])
    if "||" in body:
        return _demands_uri(body["||"]["left"]) and _demands_uri(body["||"]["right"])
    if "==" not in body:
        return False
    sides = [body["=="]["left"], body["=="]["right"]]
    uri = {".": {"left": {"Var": "context"}, "attr": "extension_uri"}}
    return uri in sides and any(isinstance(side.get("Value"), str) for side in sides)


def _entities(node: Any) -> Iterator[tuple[str, str]]:
    """Find every entity literal: {"type", "id"} in scopes, {"__entity": …} in conditions."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
            yield node["type"], node["id"]
        for value in node.values():
            yield from _entities(value)
    elif isinstance(node, list):
        for value in node:
            yield from _entities(value)


def _scope(policy: Mapping[str, Any], place: str, kind: str) -> Any:
    scope = policy[place]
    if scope["op"] == "==" and scope["entity"]["type"] == kind:
        return scope["entity"]["id"]
    return None


def _repeated(policies: Sequence[Policy]) -> Iterator[Fault]:
    first: dict[str, Policy] = {}
    for policy in policies:
        earlier = first.setdefault(policy.id, policy)
        if earlier is not policy:
            yield Fault(policy.file, policy.line, f"repeated @id {policy.id}", f"it stands at {earlier.file}:{earlier.line}")
