"""The way of one message, told at the end; and what came of the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli import words
from gateway.cli.demo.register import Answered, Expected, Tally

Notes = Mapping[str, Mapping[str, Any]]  # jti of a leg → what its partner noted


def read_notes(folder: Path) -> dict[str, Any]:
    """Return what the partners' processes noted, by the jti they received."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return {note["jti"]: note for note in map(json.loads, lines)}


def tell(out: Console, told: Answered, status: Mapping[str, Any], notes: Notes) -> None:
    """Print the way of one message: to whom, which fields, what was taken out and why, what was refused, and the receipt."""
    out.rule("[bold]The way of one notice[/]")
    out.print(f"{escape(told.item.title)}  [dim]{told.item.jti}[/]\n")
    sent = list(words.pointers(told.item.event["body"], "/body"))
    table = Table("told for", "partner", "as", "state", f"got, of {len(sent)} fields in the body", title="Sent", title_justify="left")
    for leg in status["legs"]:
        note = notes.get(leg["jti"])
        fields = [field for field in note["fields"] if field.startswith("/body/")] if note else []
        got = f"{len(fields)}: {', '.join(members(fields))}" if note else "(its process noted nothing)"
        table.add_row(", ".join(leg["countries"]), leg["partner"], ", ".join(leg["roles"]), leg["state"], got)
    out.print(table)
    out.print(_withheld(status["legs"]))
    out.print("[bold]Not sent[/]")
    for refusal in status["refusals"]:
        whom = " ".join(part for part in (refusal["country"], refusal["partner"]) if part)
        said = words.REASONS.get(refusal["reason"], refusal["reason"])
        out.print(f"  {whom} ({', '.join(refusal['roles'])}): {said} [dim]{refusal['reason']}, {words.because(refusal['because'])}[/]")
    _receipt(out, told)


def rejections(out: Console, tally: Tally) -> None:
    """Print what was not accepted: one notice with its faults, the others as they were answered."""
    faulty, untrusted = tally.of(Expected.REJECTED), tally.of(Expected.UNTRUSTED)
    out.rule("[bold]Not accepted[/]")
    if faulty:
        out.print(words.problems(faulty[0].problems, f"{len(faulty)} with faults, each answered with a signed rejection; one of them"))
    for each in untrusted:
        out.print(f"  {escape(each.item.title)}: {escape(each.problems[0]['detail'])} [dim]{each.problems[0]['code']}[/]")
    for each in tally.of(Expected.REPEATED):
        out.print(f"  {escape(each.item.title)}: the same receipt, byte for byte")


def members(pointers: Iterable[str]) -> list[str]:
    """Return the members of the body that pointers lead into; of the person, one step further."""
    found: dict[str, None] = {}
    for pointer in pointers:
        steps = pointer.split("/")[1:]
        if steps[0] == "body" and len(steps) > 1:
            found["person." + steps[2] if steps[1] == "person" and len(steps) > 2 else steps[1]] = None
    return list(found)


def _withheld(legs: Iterable[Mapping[str, Any]]) -> Table:
    table = Table("partner", "field group", "why", "policy", title="Taken out", title_justify="left")
    for leg in legs:
        for gone in leg["withheld"]:
            why = words.REMOVALS.get(gone["reason"], gone["reason"])
            table.add_row(leg["partner"], gone["group"], why, words.because(gone["because"]))
    return table


def _receipt(out: Console, told: Answered) -> None:
    statement = told.statement
    if statement is None or statement.leaf is None:
        return
    out.print("\n[bold]Receipt[/], verified with the pinned keys of the gateway")
    out.print(f"  {statement.received.signer} sent {statement.received.jti}, digest {statement.received.digest}")
    out.print(f"  accepted at {statement.at:%Y-%m-%d %H:%M:%S} UTC; its evidence is the entry {statement.leaf.hex()}")
    for each in statement.problems:
        out.print(f"  {each['severity']}: {escape(each['detail'])} ({escape(each.get('pointer', ''))}, {each.get('rule', each['code'])})")
