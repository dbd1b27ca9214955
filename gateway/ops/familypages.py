"""Writes docs/families/: what to send in each family, which rules apply, from which law. `.venv/bin/python -m gateway.ops.familypages`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.contract.values import Family
from gateway.core.reference import CodeLists
from gateway.core.rules import RULES, RuleTables
from gateway.core.rules.base import Rule
from gateway.core.rules.page import held_by, numbers, sources
from gateway.core.schema import Schemas
from gateway.core.schema_source import EXTENSIONS, GROUP, REST, Schema
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables

ROOT: Final = Path(__file__).parents[2]
ENVELOPE: Final = ("handling", "routing", "subject")
MADE: Final = "Made by `.venv/bin/python -m gateway.ops.familypages` from the schema, the rules and the lists; do not edit it by hand.\n"
CODES_SHOWN: Final = 60  # longer lists are named and counted
MEMBERS_HEAD: Final = (
    "| member | what it says | values | required | field group | source |",
    "| --- | --- | --- | --- | --- | --- |",
)
PLAIN: Final[Mapping[str, str]] = {"boolean": "true, false", "object": "object", "string": "text"}
FORMATS: Final[Mapping[str, str]] = {"date": "day, YYYY-MM-DD", "date-time": "instant, RFC 3339"}
EXAMPLES: Final[Mapping[str, str]] = {
    "valid": "accepted",
    "warnings": "accepted, with warnings or notes",
    "rejected": "rejected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What the pages are made from."""

    schemas: Schemas
    codes: CodeLists
    tables: RuleTables
    families: Path  # the folder of schemas and examples


def shipped(folder: Path) -> Shipped:
    """Read the schemas folder. Raises `ReferenceFilesError`, `RuleFilesError`, `SchemaError`."""
    reference = load_reference(folder)
    tables = load_rule_tables(folder / "rules")
    return Shipped(schemas=load_schemas(folder, reference), codes=reference.codes, tables=tables, families=folder / "families")


def pages(of: Shipped) -> dict[str, str]:
    """Return the text of every page by file name."""
    families = sorted(of.schemas.families)
    made = {f"{family.name}.md": _family_page(of, family) for family in families}
    return made | {"envelope.md": _envelope_page(of), "README.md": _index(of, families)}


def _index(of: Shipped, families: Iterable[Family]) -> str:
    lines = ["# The message families\n", MADE, "What all have in common is on [the envelope's page](envelope.md).\n"]
    lines += ["All rules are on [their page](../rules.md), all code lists and enums on [theirs](../codes.md).\n"]
    lines += ["| family | what it carries |", "| --- | --- |"]
    for family in families:
        lines.append(f"| [{family.name}]({family.name}.md) {family.version} | {of.schemas.document(family)['description']} |")
    return "\n".join(lines) + "\n"


def _envelope_page(of: Shipped) -> str:
    parts = {name: _usual(of, name) for name in ENVELOPE}
    lines = ["# The envelope of every family\n", MADE, "Beside the family's `body`, an event has these objects.\n"]
    for name, part in parts.items():
        lines += [f"## {name}\n", f"{part['description']}\n", *_members(part, name), *_conditions(part)]
    lines += [*_code_lists(of.codes, parts.values()), *_cited(parts.values(), ())]
    return "\n".join(lines) + "\n"


def _usual(of: Shipped, name: str) -> Schema:
    """Return an object of the envelope as most families have it."""
    parts: list[Schema] = [of.schemas.document(family)["properties"][name] for family in sorted(of.schemas.families)]
    return max(parts, key=lambda part: sum(_same(part, other) for other in parts))


def _same(part: Schema, other: Schema) -> bool:
    return all(part.get(key) == other.get(key) for key in ("properties", "required"))


def _own_envelope(of: Shipped, document: Schema) -> dict[str, Schema]:
    """Return what a family has otherwise than the envelope's page says."""
    parts = {name: document["properties"][name] for name in ENVELOPE}
    return {name: part for name, part in parts.items() if not _same(part, _usual(of, name))}


def _family_page(of: Shipped, family: Family) -> str:
    document = of.schemas.document(family)
    body = document["properties"]["body"]
    mine = [one for one in RULES.values() if family.name in one.families]
    all_families = [one for one in RULES.values() if not one.families and one.kind != "system"]
    rows = [row for row in of.tables.rows if any(row.rule == one.id for one in (*mine, *all_families))]
    lines = [f"# {document['title']}\n", f"`{family.name}`: {document['description']}\n", MADE]
    lines += ["## What to send\n", "The `body`. `handling`, `routing` and `subject` are on [the envelope's page](envelope.md).\n"]
    lines += [*_members(body, ""), *_conditions(document, but=ENVELOPE)]
    own = _own_envelope(of, document)
    for name, part in own.items():
        lines += [f"### Its own `{name}`\n", f"{part['description']}\n", *_members(part, name), *_conditions(part)]
    lines += ["## Rules of this family\n", *_rules(mine), "\n## Rules of every family\n", *_rules(all_families)]
    lines += numbers(rows)
    lines += [*_code_lists(of.codes, [body, *own.values()]), *_examples(of.families / family.name / "examples", family)]
    lines += _cited([body, *own.values()], (one.source for one in (*mine, *all_families)))
    return "\n".join(lines) + "\n"


# --- members --------------------------------------------------------------------------------------------------------------


def _members(node: Schema, path: str) -> Iterator[str]:
    yield from MEMBERS_HEAD
    yield from _member_rows(node, path, str(node.get(GROUP, "")))
    yield ""


def _member_rows(node: Schema, path: str, group: str) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        inside = group or str(child.get(GROUP, ""))
        must = "yes" if name in node["required"] else "no"
        shown = inside or str(child.get("items", {}).get(GROUP, ""))
        shown += f"; from the second on {child[REST]}" if REST in child and not group else ""
        yield f"| `{here}` | {_cell(child['description'])} | {_values(child)} | {must} | {shown} | {_cell(child['x-source'])} |"
        yield from _member_rows(child, here, inside)
        if "items" in child:
            below = inside or str(child["items"].get(GROUP, ""))
            yield from _member_rows(child["items"], f"{here}[]", below)


def _values(node: Schema) -> str:
    """Say in words what a value may be."""
    kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
    if node.get(EXTENSIONS) is True:
        return "registered extensions by URI"
    if "enum" in node:
        return ", ".join(str(value) for value in node["enum"])
    if kinds == ["array"]:
        return f"list of at most {node['maxItems']}: {_values(node['items'])}"
    if kinds == ["integer"]:
        return f"{node['minimum']} to {node['maximum']}"
    return _text(node) if kinds == ["string"] else " or ".join(PLAIN[kind] for kind in kinds)


def _text(node: Schema) -> str:
    if "x-code-list" in node:
        return f"code of [{node['x-code-list']}](#{node['x-code-list']})"
    if "format" in node:
        return FORMATS[node["format"]]
    return f"text, at most {node['maxLength']} characters" if "maxLength" in node else f"like `{node['examples'][0]}`"


def _conditions(node: Schema, *, but: Collection[str] = ()) -> Iterator[str]:
    said = list(dict.fromkeys(_titles(node, but)))
    if said:
        yield "And further:\n"
        yield from (f"- {title}" for title in said)
        yield ""


def _titles(node: Schema, but: Collection[str] = ()) -> Iterator[str]:
    yield from (condition["title"] for condition in node.get("allOf", ()))
    for name, child in node.get("properties", {}).items():
        if name not in but:
            yield from _titles(child)
    if "items" in node:
        yield from _titles(node["items"])


def _nodes(node: Schema) -> Iterator[Schema]:
    yield node
    for child in node.get("properties", {}).values():
        yield from _nodes(child)
    if "items" in node:
        yield from _nodes(node["items"])


# --- rules, lists, examples, sources --------------------------------------------------------------------------------------


def _rules(rules: Iterable[Rule]) -> Iterator[str]:
    yield "| rule | effect | what it asks | source | held by |"
    yield "| --- | --- | --- | --- | --- |"
    for one in sorted(rules, key=lambda r: r.id):
        yield f"| {one.id} | {one.effect} | {one.text} | {one.source} | {held_by(one)} |"


def _code_lists(codes: CodeLists, nodes: Iterable[Schema]) -> Iterator[str]:
    used = sorted({node["x-code-list"] for top in nodes for node in _nodes(top) if "x-code-list" in node})
    yield "\n## The code lists\n"
    for list_id in used:
        newest = codes.editions[list_id][-1]
        verified = "" if newest.verified else " **Not verified.**"
        yield f"### {list_id}\n"
        yield f"{newest.title}; in force from {newest.effective_from}. Source: {newest.source}.{verified} [More](../codes.md#{list_id}).\n"
        if len(newest.entries) > CODES_SHOWN:
            yield f"{len(newest.entries)} codes.\n"
            continue
        yield from ("| code | meaning | source |", "| --- | --- | --- |")
        for entry in newest.entries.values():
            yield f"| {entry.code} | {entry.title} | {entry.mark if entry.verified else f'{entry.mark}, not verified'} |"
        yield ""


def _examples(folder: Path, family: Family) -> Iterator[str]:
    expected: Mapping[str, list[str]] = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    yield "## Examples\n"
    yield "Every name and number in them is fictional.\n"
    for name, outcome in EXAMPLES.items():
        yield f"- [{name}.json](../../schemas/families/{family.name}/examples/{name}.json): {outcome}"
        yield from (f"  - {said} at `{pointer}`" for said, _, pointer in (line.partition(" ") for line in expected[name]))


def _cited(nodes: Iterable[Schema], rules: Iterable[str]) -> Iterator[str]:
    yield "\n## The sources\n"
    yield "*V:KEY* was read in the source below, *S000* to *S004* are documents the project comes from, *G* is not verified, *P* is ours.\n"
    yield from sources([*(node["x-source"] for top in nodes for node in _nodes(top)), *rules])


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|")


def main() -> None:
    """Write the pages into the repository this file lies in. Raises what `shipped` raises."""
    folder = ROOT / "docs" / "families"
    folder.mkdir(exist_ok=True)
    for name, text in pages(shipped(ROOT / "schemas")).items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
