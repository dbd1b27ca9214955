"""Shape and codes of messages: the first look at what a message says, and the field groups that minimising cuts by.

`x-code-list` names a dated list: a code is looked up in the edition in force on the day the message was issued, so that a list can
change without a new schema version, and an old message is judged by its own day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

import jsonschema_rs

from gateway.contract.errors import InvariantError
from gateway.contract.values import Family
from gateway.core.groups import ALWAYS
from gateway.core.limits import PROBLEMS_COUNT_MAX
from gateway.core.problems import Code, Problem, bounded
from gateway.core.reference import CodeLists
from gateway.core.schema_source import Schema, SchemaError, SchemaFiles, delivery, submission
from gateway.core.schema_tree import CHECKS, CodeTree, GroupTree, code_tree, group_tree
from gateway.core.strict_json import canonical

if TYPE_CHECKING:
    from gateway.core.schema_faults import Explainer

Entry = Literal["submission", "delivery"]
QUALITY: Final = "/handling/data_quality"
_URI: Final = re.compile(r"([a-z]+(?:-[a-z]+)*)/((?:0|[1-9][0-9]{0,2})[.](?:0|[1-9][0-9]{0,2}))")
DAYS_COUNT_MAX: Final = 32  # messages of so many days of issue come in side by side


def family_uri(base: str, family: Family) -> str:
    """Return the one key of `events` for a family."""
    return f"{base}/{family.name}/{family.version}"


def parse_family_uri(base: str, uri: str) -> Family | None:
    """Return the family that `uri` names; None where it is no family URI of this base. Says nothing on whether we know it."""
    if not uri.startswith(f"{base}/"):
        return None
    found = _URI.fullmatch(uri, len(base) + 1)
    return Family(found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """One family: both schemas, the fast validator of each, groups and codes."""

    documents: Mapping[Entry, dict[str, Any]]
    fast: Mapping[Entry, jsonschema_rs.Draft202012Validator]
    groups: GroupTree
    codes: CodeTree


class Schemas:
    """The message schemas in force. Immutable; replaced as a whole when schemas are reloaded."""

    def __init__(self, files: SchemaFiles, codes: CodeLists) -> None:
        """Compile every family. Raises `SchemaError` for a reference, group or code list that is not there."""
        self._codes = codes
        self._in_force = lru_cache(maxsize=DAYS_COUNT_MAX)(codes.in_force)
        self._compiled = {family: _compile(files, family) for family in files.families}
        for family, compiled in self._compiled.items():
            if missing := set(compiled.codes.lists()) - codes.editions.keys():
                raise SchemaError(str(family), f"no code list {', '.join(sorted(missing))}")
        self.families = frozenset(self._compiled)
        documents = [[f.name, f.version, c.documents["submission"], c.documents["delivery"]] for f, c in sorted(self._compiled.items())]
        self.digest = sha256(canonical(documents)).hexdigest()

    def knows(self, family: Family) -> bool:
        """Say whether there is a schema for this family in this version."""
        return family in self._compiled

    def document(self, family: Family, entry: Entry = "submission") -> Schema:
        """Return the self-contained schema, for people and other programs."""
        return self._of(family).documents[entry]

    def groups(self, family: Family) -> GroupTree:
        """Return where the field groups of a family begin."""
        return self._of(family).groups

    def cut(self, family: Family, event: Mapping[str, Any], allowed: frozenset[str]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """Return the event with the allowed groups alone, and the groups that were present and are gone."""
        return self._of(family).groups.cut(event, allowed)

    def check(self, family: Family, event: Mapping[str, Any], *, on: date) -> list[Problem]:
        """Return what is wrong with a submitted event: shape, codes not in force on a day, groups without a word on their quality.

        A warning among it: a Latin form of a name that the tables of ICAO 9303 do not give.
        """
        compiled = self._of(family)
        problems = _shape(compiled, event, "submission")
        wrong = {problem.pointer for problem in problems}
        coded = [p for p in self._code_problems(compiled.codes, event, on) if p.pointer not in wrong]
        if not problems:  # the groups are read off the shape the schema promises
            problems = list(_quality_problems(compiled.groups, event))
        found = [*problems, *coded]
        errors = bounded([problem for problem in found if problem.is_error])  # that there are more is an error: warnings never make one
        return [*errors, *(problem for problem in found if not problem.is_error)][:PROBLEMS_COUNT_MAX]

    def check_delivery(self, family: Family, event: Mapping[str, Any]) -> list[Problem]:
        """Return every fault in the shape of a delivered event. Codes were checked when it was submitted."""
        return _shape(self._of(family), event, "delivery")

    def verdicts(self, family: Family, event: object, entry: Entry = "submission") -> tuple[bool, bool]:
        """Return what the fast and the explaining validator say: they must agree, and a test feeds them what could part them."""
        compiled = self._of(family)
        return compiled.fast[entry].is_valid(event), _explainer(compiled, entry).accepts(event)

    def _of(self, family: Family) -> _Compiled:
        if family not in self._compiled:
            raise InvariantError("no schema", family)
        return self._compiled[family]

    def _code_problems(self, codes: CodeTree, event: Mapping[str, Any], on: date) -> Iterator[Problem]:
        for pointer, node in codes.wrong(event, self._in_force(on)):
            if node.list_id is None:
                check = CHECKS[str(node.check)]
                yield Problem(
                    code=Code.SCHEMA_INVALID, detail=check.detail, expected=check.expected, pointer=pointer, severity=check.severity
                )
            else:
                expected = self._expected(node.list_id, on)
                yield Problem(code=Code.CODE_UNKNOWN, detail="is not in the code list in force", expected=expected, pointer=pointer)

    def _expected(self, list_id: str, on: date) -> str:
        """Name the codes where they are few, else the list."""
        listing = self._codes.listing(list_id, on)
        if listing is None:
            return f"no edition of list {list_id} is in force on {on}"
        shown = ", ".join(listing.entries) if len(listing.entries) <= 40 else listing.title  # a screenful
        return f"a code of list {list_id}{'' if listing.verified else ' (not verified)'}: {shown}"


def _compile(files: SchemaFiles, family: Family) -> _Compiled:
    documents: dict[Entry, dict[str, Any]] = {"submission": submission(files, family), "delivery": delivery(files, family)}
    return _Compiled(
        documents=documents,
        fast={entry: jsonschema_rs.Draft202012Validator(document, validate_formats=True) for entry, document in documents.items()},
        groups=group_tree(documents["submission"]),
        codes=code_tree(documents["submission"]) or CodeTree(),
    )


def _explainer(compiled: _Compiled, entry: Entry) -> Explainer:
    """Return what explains a refusal. Its library is loaded with the first one: that takes longer than all the rest of a start."""
    from gateway.core.schema_faults import Explainer  # noqa: PLC0415

    return Explainer(compiled.documents[entry])


def _shape(compiled: _Compiled, event: Mapping[str, Any], entry: Entry) -> list[Problem]:
    if compiled.fast[entry].is_valid(event):
        return []
    found = _explainer(compiled, entry).problems(event)  # should it find nothing, the refusal stands all the same
    return found or [Problem(code=Code.SCHEMA_INVALID, detail="does not fit the schema", expected="the family's schema", pointer="")]


def _quality_problems(groups: GroupTree, event: Mapping[str, Any]) -> Iterator[Problem]:
    """Every group present says whether it states facts or an assessment (LED Article 7)."""
    _, present = groups.cut(event, ALWAYS)
    said = {entry["group"] for entry in event["handling"]["data_quality"]}
    for group in sorted(present - said):
        detail, expected = "says nothing on a group that is present", f"an entry for {group}: FACT or ASSESSMENT"
        yield Problem(code=Code.SCHEMA_INVALID, detail=detail, expected=expected, pointer=QUALITY)
