"""What a schema says beyond its shape, compiled into trees that one pass over a message follows: field groups, and codes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.contract.errors import InvariantError
from gateway.core import icao9303
from gateway.core.groups import ALWAYS, HEALTH, HEALTH_WITH_REASON
from gateway.core.groups import EXTENSIONS as EXTENSIONS_GROUP
from gateway.core.problems import Severity
from gateway.core.schema_source import EXTENSIONS, GROUP, REST, Schema, SchemaError

CODE_LIST: Final = "x-code-list"
CHECK: Final = "x-check"
REASON: Final = "strictly_necessary"  # why health travels: beside it, or above
_GONE: Final = object()


@dataclass(frozen=True, slots=True)
class GroupTree:
    """Where the field groups begin. A node has a group (the outermost wins), or members, or items."""

    group: str | None = None
    members: Mapping[str, GroupTree] = field(default_factory=dict)
    items: GroupTree | None = None
    rest: str | None = None  # of an array: the group of every item but the first
    by_uri: bool = False  # the extensions: each is permitted by its own URI

    def cut(self, value: Mapping[str, Any], allowed: frozenset[str]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """Return `value` with the allowed groups alone, and the groups that were there and are gone.

        `handling`, `routing` and `subject` are always kept. An extension is kept where `extensions`, or `extensions:<its URI>`, is allowed.
        With `health:with-reason`, health is kept below whatever has its reason (`strictly_necessary`): of bodies carried, each by itself.
        What loses all it held is gone too. The given value is never changed. Raises `InvariantError` for what is outside the schema:
        it is in no group, so nobody may see it.
        """
        removed: set[str] = set()
        kept = _cut(self, value, allowed | ALWAYS, removed)
        return ({} if kept is _GONE else kept), frozenset(removed)


def _cut(node: GroupTree | None, value: Any, allowed: frozenset[str], removed: set[str]) -> Any:
    if node is None:
        raise InvariantError("outside the schema, so in no field group")
    if node.group is not None:
        return value if node.group in allowed else _cut_group(node, value, allowed, removed)
    if isinstance(value, Mapping) and node.items is None:
        if HEALTH_WITH_REASON in allowed and value.get(REASON):
            allowed |= {HEALTH}
        members = {name: _cut(node.members.get(name), item, allowed, removed) for name, item in value.items()}
        left = {name: item for name, item in members.items() if item is not _GONE}
        return left if left or not value else _GONE
    if not isinstance(value, list):
        raise InvariantError("outside the schema, so in no field group")
    if node.rest is not None and len(value) > 1:
        return _cut_rest(node, value, allowed, removed)
    kept = [item for item in (_cut(node.items, item, allowed, removed) for item in value) if item is not _GONE]
    return kept if kept or not value else _GONE


def _cut_rest(node: GroupTree, value: list[Any], allowed: frozenset[str], removed: set[str]) -> Any:
    """Cut a list whose items but the first are of one group, whole. The first keeps its place, so that the others keep theirs."""
    first = _cut(node.items, value[0], allowed, removed)
    if node.rest in allowed:
        return [{} if first is _GONE else first, *value[1:]]
    removed.add(str(node.rest))
    return _GONE if first is _GONE else [first]


def _cut_group(node: GroupTree, value: Any, allowed: frozenset[str], removed: set[str]) -> Any:
    """Take a group out, save extensions that are allowed one by one."""
    kept = {uri: item for uri, item in value.items() if f"{EXTENSIONS_GROUP}:{uri}" in allowed} if node.by_uri else {}
    if not kept or len(kept) < len(value):
        removed.add(str(node.group))
    return kept or _GONE


def group_tree(schema: Schema) -> GroupTree:
    """Compile the field groups of a self-contained schema. Raises `SchemaError` for a leaf without one."""
    if GROUP in schema:
        return GroupTree(schema[GROUP], by_uri=schema.get(EXTENSIONS) is True)
    if "properties" in schema:
        return GroupTree(members={name: group_tree(child) for name, child in schema["properties"].items()})
    if "items" in schema:
        return GroupTree(items=group_tree(schema["items"]), rest=schema.get(REST))
    raise SchemaError("a leaf without a field group", str(schema.get("title")))


@dataclass(frozen=True, slots=True)
class CodeTree:
    """Where the coded strings are, and the objects with a check of their own: only branches that have some."""

    list_id: str | None = None
    check: str | None = None
    members: Mapping[str, CodeTree] = field(default_factory=dict)
    items: CodeTree | None = None

    def wrong(self, value: Any, lists: Mapping[str, Container[str]]) -> Sequence[tuple[str, CodeTree]]:
        """Return pointer and node of all that is not in its list or fails its check. Passes over what has another shape."""
        check = None if self.check is None else CHECKS[self.check]
        if isinstance(value, str):
            fits = (self.list_id is None or value in lists[self.list_id]) and (check is None or bool(check.at) or check.fits(value))
            return () if fits else (("", self),)
        found: list[tuple[str, CodeTree]] = []
        if isinstance(value, Mapping):
            if check is not None and check.at and not check.fits(value):
                found.append((check.at, self))
            for name, child in self.members.items():
                if name in value:
                    found += [(f"/{escape(name)}{below}", node) for below, node in child.wrong(value[name], lists)]
        elif isinstance(value, list) and self.items is not None:
            for index, item in enumerate(value):
                found += [(f"/{index}{below}", node) for below, node in self.items.wrong(item, lists)]
        return found

    def lists(self) -> Iterator[str]:
        """Yield the id of every code list used."""
        if self.list_id is not None:
            yield self.list_id
        for child in (*self.members.values(), *([self.items] if self.items else ())):
            yield from child.lists()


def code_tree(schema: Schema) -> CodeTree | None:
    """Compile the coded strings of a self-contained schema; None where there are none."""
    members = {name: tree for name, child in schema.get("properties", {}).items() if (tree := code_tree(child)) is not None}
    items = code_tree(schema["items"]) if "items" in schema else None
    if not (members or items or CODE_LIST in schema or CHECK in schema):
        return None
    return CodeTree(schema.get(CODE_LIST), schema.get(CHECK), members, items)


def imo_number(text: str) -> bool:
    """Say whether seven digits are an IMO number: six weighted 7 to 2, the sum's last digit is the seventh."""
    if len(text) != 7 or not text.isascii() or not text.isdigit():
        return False
    return sum(int(digit) * weight for digit, weight in zip(text, range(7, 1, -1), strict=False)) % 10 == int(text[6])


@dataclass(frozen=True, slots=True)
class Check:
    """What a list cannot say of a text, or of an object: then `at` is the member a fault is told of."""

    fits: Callable[[Any], bool]
    detail: str
    expected: str
    at: str = ""
    severity: Severity = Severity.ERROR


CHECKS: Final[Mapping[str, Check]] = {
    "imo": Check(imo_number, "fails its check", "a right imo number"),
    "latin": Check(
        icao9303.name_agrees, "does not agree with the name in its own script",
        "the form by ICAO Doc 9303 part 3, section 6 (`gateway message latin` shows it), or that of the passport",
        at="/latin", severity=Severity.WARNING,
    ),
}  # fmt: skip


def escape(name: str) -> str:
    """Return a member's name as a JSON Pointer has it (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
