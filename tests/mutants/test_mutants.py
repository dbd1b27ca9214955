"""The mutants themselves: each still applies, each promise has one and a test, and the verdict is right. `make mutants` runs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.mutants.__main__ import APPLY, PROMISES, ROOT, Result, judge, patches, read_report

PATCHES = [path for paths in patches().values() for path in paths]
TESTED = {match[1].upper() for path in (ROOT / "tests" / "promises").glob("test_*.py") if (match := re.match(r"test_(p\d+)_", path.name))}


def test_each_promise_has_a_test_and_a_mutant() -> None:
    assert set(PROMISES) == TESTED
    assert [promise for promise, paths in patches().items() if not paths] == []


@pytest.mark.parametrize("patch", PATCHES, ids=lambda p: p.stem)
def test_each_mutant_still_applies(patch: Path) -> None:
    checked = subprocess.run((*APPLY, "--check", str(patch)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("patch", PATCHES, ids=lambda p: p.stem)
def test_each_mutant_changes_the_gateway_and_not_its_tests(patch: Path) -> None:
    changed = re.findall(r"^\+\+\+ b/(.*)$", patch.read_text(encoding="utf-8"), re.MULTILINE)
    assert changed
    assert all(name.startswith(("gateway/", "adapters/")) for name in changed)


def xml(*cases: tuple[str, bool]) -> bytes:
    made = "".join(f'<testcase name="{name}">{"<failure/>" if failed else ""}</testcase>' for name, failed in cases)
    return f"<testsuites><testsuite>{made}</testsuite></testsuites>".encode()


def test_one_failed_test_fails_its_promise_and_no_other() -> None:
    result = read_report(xml(*((f"test_{p.lower()}_holds", False) for p in PROMISES), ("test_p1_too", True)))
    assert result == Result(frozenset({"P1"}), frozenset(PROMISES) - {"P1"})


def test_a_promise_that_was_not_run_has_failed() -> None:
    assert read_report(xml(("test_p1_holds", False))).passed == {"P1"}


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ({"P3"}, "killed"),
        ({"P3", "P5"}, "killed"),
        ({"P5"}, "SURVIVED"),
        (set(), "SURVIVED"),
        ({"P3", "P4", "P5"}, "BREAKS TOO MUCH: also P4, P5"),
    ],
)
def test_a_mutant_is_killed_by_its_own_promise_while_eight_others_hold(failed: set[str], verdict: str) -> None:
    assert judge("P3", Result(frozenset(failed), frozenset(PROMISES) - failed)) == verdict
