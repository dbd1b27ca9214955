"""What runs have found, as JSON lines: a head for each run, then one line for each trial. Runs of one commit add up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from trials.judge import Fault, Kind
from trials.run import Verdict

ROOT: Final = Path(__file__).parents[1]
CODE: Final = ("gateway", "adapters", "schemas", "policies", "partners", "trials")  # what a result depends on


@dataclass(slots=True)
class Tally:
    """What is known of one kind at one commit."""

    name: str
    trials: int = 0
    failed: int = 0
    messages: int = 0
    again: int = 0
    seconds: float = 0
    faults: dict[str, int] = field(default_factory=dict)  # by kind of fault
    seeds: set[int] = field(default_factory=set)
    skipped: str = ""  # why, where none could be made


@dataclass(slots=True)
class Summary:
    """All runs of one commit."""

    commit: str
    tallies: dict[str, Tally] = field(default_factory=dict)
    failed: list[Verdict] = field(default_factory=list)

    def of(self, name: str) -> Tally:
        """Return a kind's tally: an empty one where nothing is known."""
        return self.tallies.setdefault(name, Tally(name))

    def add(self, verdict: Verdict) -> None:
        """Count one trial."""
        tally = self.of(verdict.kind)
        tally.trials += 1
        tally.messages += verdict.messages
        tally.again += verdict.again
        tally.seconds += verdict.seconds
        tally.seeds.add(verdict.seed)
        for fault in verdict.faults:
            tally.faults[fault.kind] = tally.faults.get(fault.kind, 0) + 1
        if verdict.faults:
            tally.failed += 1
            self.failed.append(verdict)

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """The tallies as JSON has them."""
        return {name: asdict(tally) | {"seeds": sorted(tally.seeds)} for name, tally in sorted(self.tallies.items())}


class Book:
    """The file of one run, in a folder of all runs."""

    def __init__(self, path: Path) -> None:
        """Write to `path`."""
        self._path = path

    @classmethod
    def begin(cls, folder: Path, *, commit: str, seed: int) -> Self:
        """Begin the file of a new run."""
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        book = cls(folder / f"{now:%Y%m%dT%H%M%S%f}-{commit[:12]}.jsonl")
        book._write({"commit": commit, "seed": seed, "at": now.isoformat(timespec="seconds")})
        return book

    def trial(self, verdict: Verdict) -> None:
        """Write down a trial; the timeline of a good one is left out."""
        self._write({"trial": asdict(verdict) | ({} if verdict.faults else {"timeline": []})})

    def skip(self, kind: str, reason: str) -> None:
        """Write down that a kind cannot be run on this machine."""
        self._write({"skipped": kind, "reason": reason})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def add_up(folder: Path, commit: str) -> Summary:
    """Return what all runs of a commit have found."""
    summary = Summary(commit)
    for path in sorted(folder.glob("*.jsonl")):
        head, *lines = _lines(path) or [{}]
        if head.get("commit") == commit:
            _add(summary, lines)
    return summary


def _add(summary: Summary, lines: Iterable[Mapping[str, Any]]) -> None:
    for line in lines:
        if "skipped" in line:
            summary.of(line["skipped"]).skipped = line["reason"]
        elif "trial" in line:
            summary.add(_verdict(line["trial"]))


def _verdict(found: Mapping[str, Any]) -> Verdict:
    faults = [Fault(Kind(fault["kind"]), fault["what"], fault["jti"]) for fault in found["faults"]]
    return Verdict(**{**found, "faults": faults, "timeline": [(at, what) for at, what in found["timeline"]]})


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read a file; a last line that a killed run has half written does not count."""
    return list(_whole(path.read_text(encoding="utf-8").splitlines()))


def _whole(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def commit_of(tree: Path = ROOT) -> str:
    """Return the commit of a tree, with `+changes` where the code is another; `unknown` outside git."""
    head = _git(tree, "rev-parse", "HEAD")
    if head is None:
        return "unknown"
    return head.strip() + ("+changes" if _git(tree, "status", "--porcelain", "--", *CODE) else "")


def _git(tree: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(("git", "-C", str(tree), *arguments), capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
