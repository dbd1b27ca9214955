"""Breaks each promise on purpose, and shows that its test notices: `python -m tests.mutants [--only P3]`.

Each patch here is applied to a copy of the tree. The tests of its promise must then fail, and those of at least eight other promises
must pass: a test that fails whatever is broken says nothing. Exit code 1 if a mutant survives, or breaks too much.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).parents[2]
PROMISES: Final = ("P1", "P2", "P3", "P4", "P5", "P6", "P8", "P9", "P10", "P12")
OTHERS_GREEN_MIN: Final = 8
SECONDS_MAX: Final = 900
APPLY: Final = ("git", "apply", "-C1")  # one line of context must fit: the code around a mutant may move


@dataclass(frozen=True, slots=True)
class Result:
    """What the promises' tests said in one copy of the tree."""

    failed: frozenset[str]
    passed: frozenset[str]


def patches() -> dict[str, list[Path]]:
    """Return the patches by promise: `p3-….patch` breaks P3."""
    found: dict[str, list[Path]] = {promise: [] for promise in PROMISES}
    for path in sorted(Path(__file__).parent.glob("*.patch")):
        found[path.name.partition("-")[0].upper()].append(path)
    return found


def copy_tree(to: Path) -> None:
    """Copy what git knows of, and what is new and not ignored."""
    listed = subprocess.run(("git", "ls-files", "-co", "--exclude-standard", "-z"), cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            copy2(source, target)


def run_promises(tree: Path) -> Result:
    """Run all promises' tests in a copy; a promise with one failed test has failed, and so has one without any test."""
    report = tree / "promises.xml"
    command = (sys.executable, "-m", "pytest", "tests/promises", "-q", "-n", "2", "-p", "no:cacheprovider", f"--junitxml={report}")
    subprocess.run(command, cwd=tree, check=False, capture_output=True, timeout=SECONDS_MAX)
    return read_report(report.read_bytes())


def read_report(xml: bytes) -> Result:
    """Read a report of pytest."""
    bad: dict[str, bool] = {}
    for case in ET.fromstring(xml).iter("testcase"):  # noqa: S314 -- our own pytest wrote it
        promise = case.get("name", "").removeprefix("test_").partition("_")[0].upper()
        failed = any(child.tag in {"failure", "error"} for child in case)
        bad[promise] = bad.get(promise, False) or failed
    passed = frozenset(promise for promise in PROMISES if bad.get(promise) is False)
    return Result(frozenset(PROMISES) - passed, passed)


def judge(promise: str, result: Result) -> str:
    """Say what a mutant's run means: `killed`, or what is wrong."""
    if promise not in result.failed:
        return "SURVIVED"
    green = len(result.passed - {promise})
    return "killed" if green >= OTHERS_GREEN_MIN else f"BREAKS TOO MUCH: also {', '.join(sorted(result.failed - {promise}))}"


def try_patch(patch: Path | None) -> Result:
    """Run the promises in a copy of the tree with `patch` applied."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        if patch is not None:
            subprocess.run((*APPLY, str(patch)), cwd=tree, check=True)
        where = subprocess.run((sys.executable, "-c", "import gateway; print(gateway.__file__)"), cwd=tree, check=True, capture_output=True)
        if not where.stdout.decode().startswith(folder):
            raise SystemExit("the copy would test another tree")
        return run_promises(tree)


def run(wanted: Mapping[str, Iterable[Path]]) -> int:
    """Try the patches and print the table; return the exit code."""
    base = try_patch(None)
    say(f"{'unbroken':10}{len(base.passed)} of {len(PROMISES)} promises hold")
    if base.failed:
        say(f"{'':10}broken already: {', '.join(sorted(base.failed))}")
        return 1
    verdicts = []
    for promise, paths in wanted.items():
        for path in paths:
            result = try_patch(path)
            verdicts.append(judge(promise, result))
            others = f"{len(result.passed - {promise})} of {len(PROMISES) - 1} others green"
            say(f"{promise:10}{path.stem:40}{others:25}{verdicts[-1]}")
    return 0 if verdicts and set(verdicts) == {"killed"} else 1


def say(line: str) -> None:
    """Show a line of the table as soon as it is known."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", choices=PROMISES, help="the mutants of one promise")
    only = parser.parse_args().only
    return run({promise: paths for promise, paths in patches().items() if only in {None, promise}})


if __name__ == "__main__":
    sys.exit(main())
