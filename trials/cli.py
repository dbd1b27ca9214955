"""The command: choose kinds, make trials with a progress bar, add runs up, report.

Exit codes: 0 no fault; 1 a trial found one; 2 usage; 3 none of the kinds can be run on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.services.processes import UnavailableError
from trials import report
from trials.judge import Fault, Kind
from trials.kinds import BY_NAME, EVERY, Trial
from trials.results import ROOT, Book, add_up, commit_of
from trials.run import Verdict, run_kind

RESULTS: Final = ROOT / ".run" / "trials"
_SPAN: Final = re.compile(r"(\d+)([smh])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be run."""

    kinds: Sequence[Trial]
    trials: int | None  # of each kind; None: as many as a full run makes
    budget: float | None  # seconds for all of it
    seed: int
    results: Path
    resume: bool
    until_fault: bool
    verbose: bool

    def wanted(self, trial: Trial) -> int:
        """How many trials of a kind there are to be."""
        return trial.wanted if self.trials is None else self.trials


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    asked = _parser().parse_args(arguments)
    console = Console()
    if asked.list:
        for trial in EVERY:
            console.print(f"{trial.name:18}{trial.wanted:4}  {trial.what}", highlight=False)
        return 0
    commit = commit_of()
    names = list(asked.kinds or BY_NAME)
    wish = Wish(
        kinds=[BY_NAME[name] for name in names], trials=asked.trials, budget=asked.budget, results=asked.results, resume=asked.resume,
        seed=asked.seed if asked.seed is not None else random.SystemRandom().randrange(2**31), until_fault=asked.until_fault,
        verbose=asked.verbose,
    )  # fmt: skip
    if asked.markdown:
        print(report.markdown(add_up(wish.results, commit)), end="")  # noqa: T201 -- for a pipe: no frame, no folding
        return 0
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # what it says of a broker that we have killed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended, however the run ends
    if not asked.report:
        console.print(f"commit {commit}, seed {wish.seed}", highlight=False)
        _run(wish, commit, console)
    summary = add_up(wish.results, commit)
    console.print(report.terminal(summary, {trial.name: wish.wanted(trial) for trial in wish.kinds}))
    for path in report.write(wish.results, summary):
        console.print(f"written {path}", highlight=False)
    return report.exit_code(summary, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", type=_kinds, metavar="A,B", help="only these, in this order; --list says which there are")
    parser.add_argument("--trials", type=_positive, metavar="N", help="of each kind; without it as many as a full run makes")
    parser.add_argument("--budget", type=_span, metavar="TIME", help="stop after so long, such as 90s, 45m or 2h; kinds share it evenly")
    parser.add_argument("--seed", type=int, help="of the dice; without it a new one, which is printed")
    parser.add_argument("--resume", action="store_true", help="count what earlier runs of this commit have made, and make the rest")
    parser.add_argument("--until-fault", action="store_true", help="leave a kind at its first failed trial")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where runs are kept and added up (%(default)s)")
    parser.add_argument("--report", action="store_true", help="run nothing: only add up and report")
    parser.add_argument("--markdown", action="store_true", help="run nothing: print the table as docs/trials.md has it")
    parser.add_argument("--verbose", action="store_true", help="tell the story of every trial, not of failed ones alone")
    parser.add_argument("--list", action="store_true", help="say which kinds there are, and how many trials a full run makes")
    return parser


def _kinds(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in BY_NAME]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


def _span(text: str) -> float:
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError("a time such as 90s, 45m or 1h30m")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts))


def _run(wish: Wish, commit: str, console: Console) -> None:
    before = add_up(wish.results, commit)
    book = Book.begin(wish.results, commit=commit, seed=wish.seed)
    end = time.monotonic() + wish.budget if wish.budget is not None else float("inf")
    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[faults]}"),
    )
    with Progress(*columns, console=console) as progress:
        for position, trial in enumerate(wish.kinds):
            done = before.of(trial.name).trials if wish.resume else 0
            wanted = wish.wanted(trial)
            if done >= wanted:
                continue
            share = (end - time.monotonic()) / (len(wish.kinds) - position)
            if share <= 0:
                break
            bar = progress.add_task(trial.name, total=wanted, completed=done, faults="")
            teller = _Teller(progress, bar, book, console=console, verbose=wish.verbose)
            numbers = range(done + 1, wanted + 1)
            _kind(trial, wish, numbers=numbers, until=time.monotonic() + share, teller=teller)


def _kind(trial: Trial, wish: Wish, *, numbers: range, until: float, teller: _Teller) -> None:
    try:
        asyncio.run(run_kind(trial, seed=wish.seed, numbers=numbers, until=until, stop_at_fault=wish.until_fault, tell=teller.tell))
    except UnavailableError as exc:
        teller.skip(trial, str(exc).splitlines()[0])
    except (AssertionError, RuntimeError) as exc:
        fault = Fault(Kind.RECOVERY, f"the system could not be run: {str(exc).splitlines()[0]}")
        teller.tell(Verdict(trial.name, numbers.start, wish.seed, 0, 0, [fault], [(0.0, str(exc))]))


class _Teller:
    """Tells of trials as they are made: in the book, on the bar, and in words where they fail."""

    def __init__(self, progress: Progress, bar: TaskID, book: Book, *, console: Console, verbose: bool) -> None:
        self._progress, self._bar, self._book, self._console, self._verbose = progress, bar, book, console, verbose
        self._failed = 0

    def tell(self, verdict: Verdict) -> None:
        """Write a trial down and show it."""
        self._book.trial(verdict)
        self._failed += bool(verdict.faults)
        self._progress.update(self._bar, advance=1, faults=f"[red]{self._failed} failed" if self._failed else "[green]no fault")
        if self._verbose:
            self._console.print(f"{verdict.kind} {verdict.number}: {verdict.messages} messages", highlight=False, markup=False)
            for at, what in verdict.timeline:
                self._console.print(f"{at:9.2f}  {what}", highlight=False, markup=False)
        for fault in verdict.faults[:5]:
            told = f"{verdict.kind} {verdict.number}: {fault.kind}: {fault.what} {fault.jti}"
            self._console.print(told, style="red", highlight=False, markup=False)

    def skip(self, trial: Trial, reason: str) -> None:
        """Write down why a kind is not run, and show it."""
        self._book.skip(trial.name, reason)
        self._progress.update(self._bar, faults="[yellow]not run")
        self._console.print(f"{trial.name}: not run: {reason}", highlight=False, markup=False)
