"""`gateway message draft`: a first message of a family, right as it stands, with a comment on every field.

JSON has no comments, so a draft is JSON with comment lines (`//` to the end of a line, outside of texts): the one thing beside JSON that
`check` takes, and nothing else does. YAML or TOML would be a second syntax for the same message, with types of its own.
"""

from __future__ import annotations

import copy
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import typer

from gateway.cli.message_check import Now, SchemasFolder
from gateway.cli.message_ground import Ground, Judge, Senders, spelt
from gateway.contract.values import Family
from gateway.core.groups import ALWAYS
from gateway.core.rules import RULES
from gateway.core.rules.base import Rule
from gateway.core.schema_source import EXTENSIONS, Schema
from gateway.testing.families import sample

SEED: Final = 6  # the usual case of each family: graded intelligence, an identified referral, a correction with its replacement
WIDTH: Final = 140
CODES_SHOWN: Final = 30  # longer lists are named and counted
PLACE: Final = "GB"  # of the fictional sender
FORMATS: Final = {"date": "a day, YYYY-MM-DD", "date-time": "an instant, RFC 3339"}
PLAIN: Final = {"boolean": "true or false", "object": "an object", "string": "text", "integer": "a whole number", "null": "null"}
_NAMED: Final = re.compile(r"`([^`]+)`|([a-z]+(?:_[a-z]+)+)")
HEAD: Final = """A draft of {family}: {description}
Every name and number in it is fictional. Put yours in, and take out what does not apply to your case.
`gateway message check` takes this file as it is, comments and all; every other tool takes JSON: `gateway message draft --no-comments`.
Each comment says: what it is, what may stand there, whether it must, where that is written, and the rules that name it.
The Latin form of a name in another script: `gateway message latin NAME --language LANGUAGE`."""


def draft(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="travel-notification, or with a version: travel-notification/1.0.")],
    *,
    optional: Annotated[
        bool, typer.Option("--optional/--required-only", help="With the optional members too, or only what must be.")
    ] = True,
    comments: Annotated[bool, typer.Option("--comments/--no-comments", help="Explain every field, or write plain JSON.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write to this new file.  [default: standard output]")] = None,
    schemas: SchemasFolder = Path("schemas"),
    now: Now = None,
) -> None:
    """Make a message of FAMILY to start from, that `check` finds right, with a comment on every field: meaning, codes, rules, law."""
    ground = Ground.load(schemas)
    found = ground.family(family)
    when = now.replace(tzinfo=UTC) if now else datetime.now(UTC)
    text = "\n".join(write(ground, found, optional=optional, comments=comments, now=when)) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    with out.open("x", encoding="utf-8") as file:
        file.write(text)
    typer.echo(f"written {out}", err=True)


def write(ground: Ground, family: Family, *, optional: bool, comments: bool, now: datetime) -> Iterator[str]:
    """Yield the lines of a draft."""
    start = sample(family, Random(SEED), now).event  # noqa: S311 -- repeatable on purpose, and nothing is secret here
    maker = _Maker(ground, family, Judge(ground, Senders(PLACE), now))
    event = maker.filled(start) if optional else maker.bare(start)
    value = {"family": f"{family.name}/{family.version}", "event": event}
    if not comments:
        yield json.dumps(value, ensure_ascii=False, indent=2)
        return
    yield from _Writer(ground, family, now.date()).lines(event)


# --- what stands in it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Maker:
    """Adds what may be, or takes out what need not be: whether it may is asked of the rules themselves, change by change."""

    ground: Ground
    family: Family
    judge: Judge

    def right(self, event: Mapping[str, Any]) -> bool:
        _, problems = self.judge.judge({"family": f"{self.family.name}/{self.family.version}", "event": event})
        return not any(problem.is_error for problem in problems)

    def filled(self, start: Mapping[str, Any]) -> dict[str, Any]:
        event = copy.deepcopy(dict(start))
        self._fill(event, event, self.ground.schemas.document(self.family))
        return event

    def _fill(self, event: dict[str, Any], node: Any, schema: Schema) -> None:
        if isinstance(node, list):
            for item in node:
                self._fill(event, item, schema.get("items", {}))
        if not isinstance(node, dict) or schema.get(EXTENSIONS) is True:
            return
        for name, child in schema.get("properties", {}).items():
            if name not in node and child.get(EXTENSIONS) is not True:
                self._try(event, node, name, child["examples"][0])
            if name in node:
                self._fill(event, node[name], child)

    def _try(self, event: dict[str, Any], node: dict[str, Any], name: str, value: object) -> None:
        """Put a member in, and what is said of its group's quality; take both out again where the message is wrong with it."""
        quality = event["handling"]["data_quality"]
        node[name] = copy.deepcopy(value)
        _, present = self.ground.schemas.cut(self.family, event, ALWAYS)
        said = {entry["group"] for entry in quality}
        event["handling"]["data_quality"] = [*quality, *({"group": group, "kind": "FACT"} for group in sorted(present - said))]
        if not self.right(event):
            del node[name]
            event["handling"]["data_quality"] = quality

    def bare(self, start: Mapping[str, Any]) -> dict[str, Any]:
        event = copy.deepcopy(dict(start))
        self._strip(event, event)
        return event

    def _strip(self, event: dict[str, Any], node: Any) -> None:
        """Take out what the message is right without, outermost first; of lists all but the first that is needed."""
        if isinstance(node, list):
            for index in range(len(node) - 1, -1, -1):
                taken = node.pop(index)
                if not node or not self.right(event):
                    node.insert(index, taken)
                    self._strip(event, taken)
        elif isinstance(node, dict):
            for name in list(node):
                before, taken = dict(node), node.pop(name)
                if not self.right(event):
                    node.clear()
                    node.update(before)  # in its old order
                    self._strip(event, taken)


# --- how it is written ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes an event with its comments."""

    ground: Ground
    family: Family
    on: date

    def lines(self, event: Mapping[str, Any]) -> Iterator[str]:
        document = self.ground.schemas.document(self.family)
        name = f"{self.family.name}/{self.family.version}"
        for paragraph in HEAD.format(family=name, description=document["description"]).splitlines():
            yield from _comment(paragraph, 0)
        yield from self._rules()
        yield "{"
        yield from _comment("Beside these two there may be toe (when it happened, RFC 3339), txn (the conversation) and jti (its id).", 2)
        yield f'  "family": {json.dumps(name)},'
        yield from self._value('  "event": ', event, document, depth=2, told=True, last=True)
        yield "}"

    def _rules(self) -> Iterator[str]:
        for title, rules in (("Rules of this family", self._of_family()), ("Rules of every family", self._of_all())):
            if rules:
                yield from _comment(f"{title} (E rejects, W warns, N notes):", 0)
            for one in rules:
                yield from _comment(f"  {one.id} {one.effect}: {one.text} Source: {spelt(one.source)}.", 0)

    def _of_family(self) -> list[Rule]:
        return sorted((one for one in RULES.values() if self.family.name in one.families and one.kind in {"message", "schema"}), key=_id)

    def _of_all(self) -> list[Rule]:
        return sorted((one for one in RULES.values() if not one.families and one.kind in {"message", "schema"}), key=_id)

    def _value(self, start: str, value: Any, schema: Schema, *, depth: int, told: bool, last: bool) -> Iterator[str]:
        """Yield a value after what stands before it on its line. `told`: its members were explained already, or are to be now."""
        end = "" if last else ","
        inner = depth + 2
        if isinstance(value, Mapping) and value:
            yield start + "{"
            if told:
                yield from self._conditions(schema, inner)
            names = [*(name for name in schema.get("properties", {}) if name in value), *value.keys() - schema.get("properties", {}).keys()]
            for index, name in enumerate(names):
                below = schema.get("properties", {}).get(name, {})
                if told and below:
                    yield from _comment(self._member(name, below, schema), inner)
                    if not isinstance(value[name], Mapping | list):  # of an object that is not one here
                        yield from self._absent({}, below, inner)
                yield from self._value(
                    f"{' ' * inner}{json.dumps(name)}: ", value[name], below, depth=inner, told=told, last=index == len(names) - 1
                )
            if told:
                yield from self._absent(value, schema, inner)
            yield " " * depth + "}" + end
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield start + "["
            for index, item in enumerate(value):
                more = told and index == 0
                yield from self._value(" " * inner, item, schema.get("items", {}), depth=inner, told=more, last=index == len(value) - 1)
            yield " " * depth + "]" + end
        else:
            yield start + json.dumps(value, ensure_ascii=False) + end

    def _conditions(self, schema: Schema, depth: int) -> Iterator[str]:
        for condition in schema.get("allOf", ()):
            yield from _comment(f"And: {condition['title']}", depth)

    def _absent(self, value: Mapping[str, Any], schema: Schema, depth: int) -> Iterator[str]:
        absent = [name for name in schema.get("properties", {}) if name not in value]
        if absent and schema.get(EXTENSIONS) is not True:
            yield from _comment("Not in this draft:", depth)
            for name in absent:
                yield from _comment(f'  "{name}": {self._member(name, schema["properties"][name], schema)}', depth)

    def _member(self, name: str, node: Schema, parent: Schema) -> str:
        must = "Required" if name in parent.get("required", ()) else "Optional"
        rules = [one.id for one in (*self._of_family(), *self._of_all()) if name in _members(one.text)]
        named = f" Rules: {', '.join(rules)}." if rules else ""
        return f"{node['title']}: {node['description']} {must}: {self._allowed(node)}. Source: {spelt(str(node['x-source']))}.{named}"

    def _allowed(self, node: Schema) -> str:
        """Say in words what a value may be."""
        if node.get(EXTENSIONS) is True:
            return "registered extensions by their URI"
        if "enum" in node:
            return "one of " + ", ".join(str(value) for value in node["enum"])
        kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
        if kinds == ["array"]:
            least = f"{node['minItems']} to " if node.get("minItems") else "at most "
            return f"a list of {least}{node['maxItems']}, each {self._allowed(node['items'])}"
        if kinds == ["integer"]:
            return f"{node['minimum']} to {node['maximum']}"
        return self._text(node) if kinds == ["string"] else " or ".join(PLAIN[kind] for kind in kinds)

    def _text(self, node: Schema) -> str:
        if "x-code-list" in node:
            return self._codes(node["x-code-list"])
        if "format" in node:
            return FORMATS[node["format"]]
        return f"text, at most {node['maxLength']} characters" if "maxLength" in node else f"text such as {node['examples'][0]}"

    def _codes(self, list_id: str) -> str:
        edition = self.ground.reference.codes.listing(list_id, self.on)
        if edition is None:
            return f"a code of list {list_id}, of which no edition is in force on {self.on}"
        doubt = "" if edition.verified else ", which nobody has verified"
        if len(edition.entries) > CODES_SHOWN:
            return f"a code of list {list_id} ({edition.title}, {len(edition.entries)} codes{doubt})"
        codes = ", ".join(f"{entry.code} ({entry.title})" for entry in edition.entries.values())
        return f"a code of list {list_id}{doubt}: {codes}"


def _id(one: Rule) -> str:
    return one.id


def _members(text: str) -> set[str]:
    """Return the names of members in the text of a rule."""
    return {name for quoted, plain in _NAMED.findall(text) for name in re.split(r"[^a-z_]+", quoted or plain)}


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = f"{' ' * depth}// "
    deeper = " " * (len(text) - len(text.lstrip()))
    yield from textwrap.wrap(
        text.strip(),
        max(WIDTH - depth, 60),
        initial_indent=indent + deeper,
        subsequent_indent=f"{indent}{deeper}  ",
        break_long_words=False,
    )
