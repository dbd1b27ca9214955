"""`gateway message check`: says of whole folders what the gateway would say, before anything is signed. Needs no key and no gateway.

Exit codes: 0 all would be admitted (warnings or not), 1 some would be rejected, 2 usage, or something could not be read.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from gateway.cli.errors import EXIT_FAULTS, stop
from gateway.cli.message_files import Found, Source, find, read
from gateway.cli.message_ground import Ground, Judge, Senders
from gateway.contract.values import Family
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules import RULES

EXIT_UNREADABLE: Final = 2
TOLD_EVERY: Final = 1000  # messages between two lines of progress where there is no terminal
PIPE_WIDTH: Final = 160  # of tables where there is no terminal to measure
REPORTS: Final = (".jsonl", ".ndjson", ".csv")
COLUMNS: Final = ("file", "line", "family", "pointer", "rule", "code", "severity", "detail", "expected", "source")
COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
FORMULA: Final = ("=", "+", "-", "@", "\t")  # what a spreadsheet reckons with

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files or folders: .json, .jsonc, .jsonl, .ndjson, .csv.", exists=True)]
SchemasFolder = Annotated[Path, typer.Option("--schemas", help="Folder of message schemas, code lists and rules.")]
Now = Annotated[
    datetime | None,
    typer.Option("--now", help="Judge as of this instant, UTC.  [default: now]", formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]),
]
Country = Annotated[
    str, typer.Option("--country", envvar="GATEWAY_COUNTRY", help="Whose law the sender acts under: GB, or a region, GB-NIR.")
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem of one message of one file."""

    file: Path
    line: int
    family: str
    problem: Problem
    source: str

    def row(self) -> dict[str, Any]:
        """Return it as the report has it."""
        told = self.problem
        where = told.pointer if told.pointer is not None else told.claim or ""
        return {
            "file": str(self.file), "line": self.line, "family": self.family, "pointer": where, "rule": told.rule or "",
            "code": told.code.value, "severity": told.severity.value, "detail": told.detail, "expected": told.expected,
            "source": self.source,
        }  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What was found so far, by rule and by family."""

    messages: Counter[str] = field(default_factory=Counter)  # by family
    warned: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, Severity, str]] = field(default_factory=Counter)  # by rule or code, severity, source

    def add(self, family: str, faults: Sequence[Fault]) -> None:
        """Count one message."""
        self.messages[family] += 1
        if any(fault.problem.is_error for fault in faults):
            self.rejected[family] += 1
        elif faults:
            self.warned[family] += 1
        for fault in faults:
            self.faults[fault.problem.rule or fault.problem.code.value, fault.problem.severity, _kind_of_source(fault)] += 1


def check(  # noqa: PLR0913 -- each is one option of the command line
    files: Files,
    *,
    family: Annotated[str, typer.Option(help="Family of events that stand alone, and of CSV rows without a column of it.")] = "",
    country: Country = "GB",
    sender: Annotated[str | None, typer.Option(help="Id of the partner that sends, with --partners: its own profile is judged by.")] = None,
    partners: Annotated[Path, typer.Option(help="Folder of partner profiles, where --sender is given.")] = Path("partners"),
    schemas: SchemasFolder = Path("schemas"),
    report: Annotated[Path | None, typer.Option(help="Write one line for each fault to this file: .jsonl or .csv.")] = None,
    show: Annotated[int, typer.Option(min=0, help="How many faults to print; the summary and the report have all of them.")] = 50,
    now: Now = None,
) -> None:
    """Say every fault of messages in files and folders, in words, with the rule and the law it comes from.

    Also what would only be warned of. Nothing that was sent is printed: no name, no number. See docs/howto/check-messages.md.
    """
    if report is not None and report.suffix.lower() not in REPORTS:
        raise typer.BadParameter(f"ends in one of {', '.join(REPORTS)}", param_hint="--report")
    ground = Ground.load(schemas)
    judge = Judge(
        ground, Senders.load(country, sender, partners, ground=ground), now=now.replace(tzinfo=UTC) if now else datetime.now(UTC),
        family=ground.family(family) if family else None,
    )  # fmt: skip
    out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        sources, others = find(files, but=report)
        if not sources:
            stop(["no messages there: .json, .jsonc, .jsonl, .ndjson or .csv"], EXIT_UNREADABLE)
        with _reported(report) as keep:
            tally = _check(out, sources, judge, show=show, keep=keep)
    except OSError as exc:
        stop([f"{exc.filename}: {exc.strerror}"], EXIT_UNREADABLE)
    _summary(out, tally, judge, others)
    if report is not None:
        out.print(f"{sum(tally.faults.values()):,} faults written to {escape(str(report))}")
    raise typer.Exit(EXIT_FAULTS if tally.rejected else 0)


def _check(out: Console, sources: Sequence[Source], judge: Judge, *, show: int, keep: Callable[[Fault], object]) -> Tally:
    tally = Tally()
    left = show
    with _progress(sources) as tell:
        for source in sources:
            found: Found | None = None
            for found in read(source, judge.ground.schemas, judge.family):
                family, faults = _judged(source, found, judge)
                tally.add(family, faults)
                for fault in faults:
                    keep(fault)
                    if left > 0:
                        _print(out, fault)
                    left -= 1
                tell(source, found.done, tally)
            tell(source, source.size, tally)
    if left < 0:
        out.print(f"… and {-left:,} more, not shown here (--show, --report)")
    return tally


def _judged(source: Source, found: Found, judge: Judge) -> tuple[str, list[Fault]]:
    if found.value is None:
        problems = [found.problem] if found.problem else []
        return "(unreadable)", [Fault(source.path, found.line, "", problem, "docs/problems.md") for problem in problems]
    family, problems = judge.judge(found.value)
    of = family or Family("", "")
    known = family.name if family is not None and judge.ground.schemas.knows(family) else "(unknown)"  # what was sent is not quoted
    told = known if family is not None else ""
    return known, [Fault(source.path, found.line, told, one, judge.ground.source_of(one, of, judge.now)) for one in problems]


def _kind_of_source(fault: Fault) -> str:
    """Return the source where all faults of a line of the summary have it in common: those of a rule."""
    return fault.source if fault.problem.rule is not None else ""


def _print(out: Console, fault: Fault) -> None:
    row = fault.row()
    colour = COLOURS[fault.problem.severity]
    name = row["rule"] or row["code"]
    out.print(f"{escape(row['file'])}:{row['line']} [{colour}]{row['severity']}[/] {name} {escape(row['pointer'] or '(the whole)')}")
    right = f"; right: {row['expected']}" if row["expected"] else ""
    out.print(escape(f"    {row['detail']}{right} [{row['source']}]"))


# --- progress, summary, report --------------------------------------------------------------------------------------------


@contextmanager
def _progress(sources: Sequence[Source]) -> Iterator[Callable[[Source, int, Tally], None]]:
    """Give what tells how far the check is: a bar on a terminal, else a line for every thousand messages."""
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    *starts, total = accumulate((source.size for source in sources), initial=0)
    before = {source.path: start for source, start in zip(sources, starts, strict=True)}
    if not err.is_terminal:
        yield lambda source, done, tally: _line(err, before[source.path] + done, total, tally)
        return
    columns = (TextColumn("checking"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=total, said="")

        def tell(source: Source, done: int, tally: Tally) -> None:
            bar.update(task, completed=before[source.path] + done, said=_words(tally))

        yield tell


def _line(err: Console, done: int, total: int, tally: Tally) -> None:
    if sum(tally.messages.values()) % TOLD_EVERY == 0 and done < total:
        err.print(f"checking: {done * 100 // max(total, 1)} %, {_words(tally)}")


def _words(tally: Tally) -> str:
    return f"{sum(tally.messages.values()):,} messages, {sum(tally.rejected.values()):,} would be rejected"


def _summary(out: Console, tally: Tally, judge: Judge, others: int) -> None:
    if tally.faults:
        rules = Table(
            "rule", "severity", Column("faults", justify="right"), "what it asks", Column("source", overflow="fold"), title="By rule",
            title_justify="left",
        )  # fmt: skip
        for (name, severity, source), count in sorted(tally.faults.items(), key=lambda one: (-one[1], one[0])):
            asked = RULES[RuleId(name)].text if RuleId(name) in RULES else "docs/problems.md"
            rules.add_row(name, f"[{COLOURS[severity]}]{severity.value}[/]", f"{count:,}", escape(asked), escape(source))
        out.print(rules)
    numbers = [Column(name, justify="right") for name in ("messages", "right", "with warnings", "rejected")]
    families = Table("family", *numbers, title="By family", title_justify="left")
    for family, count in sorted(tally.messages.items()):
        warned, rejected = tally.warned[family], tally.rejected[family]
        families.add_row(escape(family), *(f"{number:,}" for number in (count, count - warned - rejected, warned, rejected)))
    out.print(families)
    out.print(f"{_words(tally)}, judged on {judge.now:%Y-%m-%d} as of {judge.senders.words}")
    if others:
        out.print(f"{others:,} files of other kinds were passed over")


@contextmanager
def _reported(path: Path | None) -> Iterator[Callable[[Fault], object]]:
    """Give what keeps a fault in the report, if there is one: JSON lines, or CSV by the file's name. Raises `OSError`."""
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _csv(file) if path.suffix.lower() == ".csv" else lambda fault: file.write(json.dumps(fault.row(), ensure_ascii=False) + "\n")


def _csv(file: IO[str]) -> Callable[[Fault], object]:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    return lambda fault: writer.writerow(_safe(fault.row()))


def _safe(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a spreadsheet from reckoning with the name of a file."""
    return {name: f"'{value}" if str(value).startswith(FORMULA) else value for name, value in row.items()}
