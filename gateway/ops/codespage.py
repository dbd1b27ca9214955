"""Writes docs/codes.md: every code list and enum, from where, if verified, and for what. `.venv/bin/python -m gateway.ops.codespage`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.core.reference import CodeList, Entry
from gateway.core.rules.page import sources
from gateway.core.schema_source import Schema
from gateway.core.schema_tree import CODE_LIST
from gateway.ops.familypages import Shipped, shipped

ROOT: Final = Path(__file__).parents[2]
LIBRARY: Final = "library"  # the mark of what an installed library says: counted on the page, not shown
UNVERIFIED: Final = re.compile(r"\bG\b")
Places = Mapping[str, Collection[str]]  # the families by the path of a property

HEAD: Final = """# Code lists

Made by `.venv/bin/python -m gateway.ops.codespage` from `schemas/`; a test keeps it so. Do not edit it by hand.

A code is checked against the edition of its list that is in force on the day the message was issued (`iat`). A list that changes
gets a new file with its own first day, and the old one a last day: messages of before are still read by the old one.

*V:KEY* was read in the source of that key below, *S000* to *S004* are documents the project comes from, *P* is ours: nobody else's
list is repeated. *G* is general knowledge that **nobody has verified**; a list with such an entry is marked **not verified** as a
whole, here, in its file, and where a message is refused for it. *Leads to* is the code it answers to in another list; where the cell
is empty there is none.

Numbers (periods of registration, months of review, terms of answer) are no codes: they are the rows on [the rules' page](rules.md).
"""
ENUMS: Final = """
## Enums of the schemas

Closed sets that the programs themselves act on. They have no dates of their own: each is as the version of its schema, and changes
with a new version alone. Here with the versions {versions}.

| property | of | what it says | values | source |
| --- | --- | --- | --- | --- |"""


def page(of: Shipped) -> str:
    """Return docs/codes.md."""
    lists, enums = _places(of)
    lines = [HEAD, *_overview(of), "\n## The lists\n"]
    for list_id, editions in sorted(of.codes.editions.items()):
        lines += _listing(list_id, editions, lists.get(list_id, {}), every=len(of.schemas.families))
    versions = ", ".join(sorted({family.version for family in of.schemas.families}))
    lines += [ENUMS.format(versions=versions), *_enums(of, enums), "\n## The sources\n"]
    cited = [text for editions in of.codes.editions.values() for one in editions for text in _texts(one)]
    cited += [node["x-source"] for nodes in enums.values() for node in nodes.values()]
    return "\n".join([*lines, *sources(cited)]) + "\n"


def _texts(one: CodeList) -> Iterator[str]:
    yield from (one.source, one.note, *(entry.mark for entry in one.entries.values()))


# --- where they are used --------------------------------------------------------------------------------------------------


def _places(of: Shipped) -> tuple[dict[str, dict[str, set[str]]], dict[str, dict[str, Schema]]]:
    """Return the families by list and path, and the enums by path and family. Bodies carried under a family's name are not walked again."""
    lists: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    enums: defaultdict[str, dict[str, Schema]] = defaultdict(dict)
    names = {family.name for family in of.schemas.families}
    for family in sorted(of.schemas.families):
        walked = (_leaves(of.schemas.document(family, entry), "", names) for entry in ("submission", "delivery"))
        for path, node in (leaf for leaves in walked for leaf in leaves):
            if CODE_LIST in node:
                lists[node[CODE_LIST]][path].add(family.name)
            else:
                enums[path][family.name] = node
    return {list_id: dict(paths) for list_id, paths in lists.items()}, dict(enums)


def _leaves(node: Schema, path: str, carried: Collection[str]) -> Iterator[tuple[str, Schema]]:
    if CODE_LIST in node or "enum" in node:
        yield path, node
    for name, child in node.get("properties", {}).items():
        if name not in carried:
            yield from _leaves(child, f"{path}.{name}" if path else name, carried)
    if "items" in node:
        yield from _leaves(node["items"], f"{path}[]", carried)


def _used(places: Places, *, every: int) -> Iterator[str]:
    """Yield a line for each group of families, with the properties they have in common."""
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, families in places.items():
        groups[tuple(sorted(families))].append(path)
    for families, paths in sorted(groups.items(), key=lambda group: (-len(group[0]), group[0])):
        yield f"- {_families(families, every)}: {', '.join(f'`{path}`' for path in sorted(paths))}"


def _families(families: Collection[str], every: int) -> str:
    return "every family" if len(families) == every else ", ".join(f"[{name}](families/{name}.md)" for name in sorted(families))


# --- the lists ------------------------------------------------------------------------------------------------------------


def _overview(of: Shipped) -> Iterator[str]:
    yield from ("| list | what | codes | verified |", "| --- | --- | --- | --- |")
    for list_id, editions in sorted(of.codes.editions.items()):
        newest = editions[-1]
        yield f"| [{list_id}](#{list_id}) | {newest.title} | {len(newest.entries)} | {_verified(newest)} |"


def _verified(one: CodeList) -> str:
    if one.verified:
        return "yes"
    doubtful = sum(not entry.verified for entry in one.entries.values())
    return f"**no**, {'all' if doubtful == len(one.entries) else doubtful} of {len(one.entries)}"


def _listing(list_id: str, editions: Iterable[CodeList], places: Places, *, every: int) -> Iterator[str]:
    yield f"### {list_id}\n"
    for one in editions:
        last = f" to {one.effective_to}" if one.effective_to else ""
        verified = "" if one.verified else " **Not verified.**"
        yield f"{one.title}. In force from {one.effective_from}{last}. Source: {one.source}.{verified}\n"
        yield from (f"{text}\n" for text in (f"Use: {one.use}." if one.use else "", one.note) if text)
        yield from _entries(one)
    if places:
        yield from ("Used by\n", *_used(places, every=every), "")


def _entries(one: CodeList) -> Iterator[str]:
    shown = [entry for entry in one.entries.values() if entry.mark != LIBRARY]
    if len(shown) < len(one.entries):
        yield f"{len(one.entries) - len(shown)} codes are those of the library.\n"
    if not shown:
        return
    leads = f" leads to ([{one.maps_to}](#{one.maps_to})) |" if one.maps_to else ""
    yield f"| code | meaning |{leads} source |"
    yield f"| --- | --- |{' --- |' if leads else ''} --- |"
    for entry in shown:
        yield f"| {entry.code} | {entry.title} |{f' {entry.to} |' if leads else ''} {_mark(entry)} |"
    yield ""


def _mark(entry: Entry) -> str:
    return entry.mark if entry.verified else f"{entry.mark}, **not verified**"


# --- the enums ------------------------------------------------------------------------------------------------------------


def _enums(of: Shipped, enums: Mapping[str, Mapping[str, Schema]]) -> Iterator[str]:
    for path, nodes in sorted(enums.items()):
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for family, node in nodes.items():
            alike[tuple(str(value) for value in node["enum"])].append(family)
        for values, families in alike.items():
            node = nodes[families[0]]
            source = f"{node['x-source']}{', **not verified**' if UNVERIFIED.search(node['x-source']) else ''}"
            said = f"{node['description']} | {', '.join(values)} | {source}"
            yield f"| `{path}` | {_families(families, len(of.schemas.families))} | {said} |"


def main() -> None:
    """Write the page into the repository this file lies in. Raises what `shipped` raises."""
    (ROOT / "docs" / "codes.md").write_text(page(shipped(ROOT / "schemas")), encoding="utf-8")


if __name__ == "__main__":
    main()
