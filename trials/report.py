"""The report: a table for the terminal and for documents, JSON for programs, and HTML with a timeline for each failed trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from rich.table import Table

from trials.kinds import EVERY, Trial
from trials.results import Summary, Tally
from trials.run import Verdict

STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1b1b; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .bad { color: #a1001f; font-weight: 600 } .good { color: #0b6b2e }
.none { color: #666 } details { margin: 1rem 0; border: 1px solid #ddd; border-radius: 6px; padding: .6rem 1rem }
summary { cursor: pointer }
ol.line { list-style: none; padding: 0; font: 13px/1.5 ui-monospace, monospace }
ol.line b { display: inline-block; width: 5.5rem }
"""
COLUMNS: Final = ("kind", "what is done", "trials", "wanted", "messages", "again", "failed", "faults")
NUMBERS: Final = frozenset({"trials", "wanted", "messages", "again", "failed"})


def rows(summary: Summary, wanted: dict[str, int] | None = None) -> list[tuple[Trial, Tally, int]]:
    """Return every kind with what is known of it and how many trials are wanted."""
    return [(trial, summary.tallies.get(trial.name, Tally(trial.name)), (wanted or {}).get(trial.name, trial.wanted)) for trial in EVERY]


def faults_of(tally: Tally) -> str:
    """Return the faults of a kind, in words."""
    if tally.skipped and not tally.trials:
        return f"not run: {tally.skipped}"
    return ", ".join(f"{count} {kind}" for kind, count in sorted(tally.faults.items())) or ("none" if tally.trials else "")


def terminal(summary: Summary, wanted: dict[str, int]) -> Table:
    """Return the table of the kinds that were wanted or tried."""
    table = Table(title=f"trials at {summary.commit[:12]}{'+changes' if summary.commit.endswith('+changes') else ''}")
    for name in COLUMNS:
        if name != "what is done":
            table.add_column(name, justify="right" if name in NUMBERS else "left")
    for trial, tally, many in rows(summary, wanted):
        if trial.name not in wanted and not tally.trials:
            continue
        style = "red" if tally.failed else ("dim" if not tally.trials else None)
        table.add_row(trial.name, *_numbers(tally, many), faults_of(tally), style=style)
    return table


def _numbers(tally: Tally, wanted: int) -> list[str]:
    return [str(number) for number in (tally.trials, wanted, tally.messages, tally.again, tally.failed)]


def markdown(summary: Summary) -> str:
    """Return the table as a document has it, with commit and seeds."""
    seeds = sorted({seed for tally in summary.tallies.values() for seed in tally.seeds})
    lines = [f"Commit `{summary.commit}`, seed {', '.join(map(str, seeds))}.", "", f"| {' | '.join(COLUMNS)} |"]
    lines.append("|" + "|".join(" ---: " if name in NUMBERS else " --- " for name in COLUMNS) + "|")
    lines += [f"| {' | '.join((t.name, t.what, *_numbers(tally, many), faults_of(tally)))} |" for t, tally, many in rows(summary)]
    tallies = summary.tallies.values()
    total = (
        sum(t.trials for t in tallies),
        sum(t.messages for t in tallies),
        sum(t.again for t in tallies),
        sum(t.failed for t in tallies),
    )
    lines.append(f"| **all** | | {total[0]} | | {total[1]} | {total[2]} | {total[3]} | |")
    return "\n".join(lines) + "\n"


def write(folder: Path, summary: Summary) -> tuple[Path, Path]:
    """Write `report.json` and `report.html`; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_html = folder / "report.json", folder / "report.html"
    as_json.write_text(
        json.dumps({"commit": summary.commit, "kinds": summary.table}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    as_html.write_text(html(summary), encoding="utf-8")
    return as_json, as_html


def html(summary: Summary) -> str:
    """Return the report as one page that needs nothing else."""
    body = "".join(_row(trial, tally, many) for trial, tally, many in rows(summary))
    head = "".join(f"<th{' class=n' if name in NUMBERS else ''}>{name}</th>" for name in COLUMNS)
    told = "".join(map(_failed, summary.failed)) or "<p class=good>No trial has failed.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Trials at {escape(summary.commit[:12])}</title><style>{STYLE}</style>'
        f"<h1>Trials</h1><p>Commit <code>{escape(summary.commit)}</code></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><h2>Failed trials</h2>{told}</html>\n"
    )


def _row(trial: Trial, tally: Tally, many: int) -> str:
    css = "bad" if tally.failed else ("good" if tally.trials else "none")
    numbers = "".join(f"<td class=n>{number}</td>" for number in _numbers(tally, many))
    return f"<tr><td>{escape(trial.name)}</td><td>{escape(trial.what)}</td>{numbers}<td class={css}>{escape(faults_of(tally))}</td></tr>"


def _failed(verdict: Verdict) -> str:
    faults = _items(f"{fault.kind}: {fault.what} {fault.jti}" for fault in verdict.faults)
    line = "".join(f"<li><b>{at:9.3f} s</b> {escape(what)}</li>" for at, what in verdict.timeline)
    title = f"{verdict.kind}, trial {verdict.number}, seed {verdict.seed}"
    return f"<details open><summary>{escape(title)}</summary><ul class=bad>{faults}</ul><ol class=line>{line}</ol></details>"


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def exit_code(summary: Summary, kinds: Sequence[str]) -> int:
    """Return 1 where a trial of these kinds has failed, 3 where none could be run at all, else 0."""
    tallies = [summary.tallies.get(kind, Tally(kind)) for kind in kinds]
    if any(tally.failed for tally in tallies):
        return 1
    return 0 if any(tally.trials for tally in tallies) else 3
