"""Runs of one commit add up; the report says what was made, what failed, and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trials import report
from trials.cli import RESULTS, main
from trials.judge import Fault, Kind
from trials.kinds import BY_NAME, EVERY
from trials.results import Book, Summary, add_up, commit_of
from trials.run import Verdict

LOST = Fault(Kind.LOST, "fr-police never got it", "0198")


def verdict(kind: str = "kill-inner", number: int = 1, *faults: Fault, seed: int = 7) -> Verdict:
    return Verdict(kind, number, seed, 8.5, 40, list(faults), [(0.0, "load"), (1.2, "kill -9 <inner>")], again=3)


def written(folder: Path, commit: str, *verdicts: Verdict, seed: int = 7) -> Book:
    book = Book.begin(folder, commit=commit, seed=seed)
    for each in verdicts:
        book.trial(each)
    return book


def test_runs_of_one_commit_add_up_and_those_of_another_do_not_count(tmp_path: Path) -> None:
    written(tmp_path, "a" * 40, verdict(number=1), verdict(number=2))
    written(tmp_path, "a" * 40, verdict("kill-inner", 3, LOST, seed=9), seed=9)
    written(tmp_path, "b" * 40, verdict("broker"))
    summary = add_up(tmp_path, "a" * 40)
    tally = summary.tallies["kill-inner"]
    assert (tally.trials, tally.failed, tally.messages, tally.seeds, tally.faults) == (3, 1, 120, {7, 9}, {"lost": 1})
    assert [(one.number, one.faults, one.timeline[1][1]) for one in summary.failed] == [(3, [LOST], "kill -9 <inner>")]
    assert "broker" not in summary.tallies


def test_a_line_that_a_killed_run_has_half_written_does_not_count(tmp_path: Path) -> None:
    written(tmp_path, "a" * 40, verdict())
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text(encoding="utf-8") + '{"trial": {"kind": "kill-', encoding="utf-8")
    assert add_up(tmp_path, "a" * 40).tallies["kill-inner"].trials == 1


def test_the_page_tells_the_story_of_a_failed_trial_and_shows_no_markup_of_others(tmp_path: Path) -> None:
    written(tmp_path, "a" * 40, verdict("kill-inner", 2, LOST), verdict("broker"))
    summary = add_up(tmp_path, "a" * 40)
    as_json, as_html = report.write(tmp_path, summary)
    page = as_html.read_text(encoding="utf-8")
    assert "kill-inner, trial 2, seed 7" in page
    assert "kill -9 &lt;inner&gt;" in page
    assert "fr-police never got it" in page
    assert all(f"<td>{trial.name}</td>" in page for trial in EVERY)
    told = json.loads(as_json.read_text(encoding="utf-8"))
    assert told["commit"] == "a" * 40
    assert told["kinds"]["broker"] | {"seconds": 0} == {
        "name": "broker", "trials": 1, "failed": 0, "messages": 40, "again": 3, "seconds": 0, "faults": {}, "seeds": [7], "skipped": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [([], 3), ([verdict()], 0), ([verdict(), verdict("kill-inner", 2, LOST)], 1), ([verdict("broker", 1, LOST)], 3)],
    ids=["nothing was run", "no fault", "a fault", "a fault of a kind that was not asked for"],
)
def test_the_exit_code_says_what_was_found(verdicts: list[Verdict], code: int) -> None:
    summary = Summary("a" * 40)
    for each in verdicts:
        summary.add(each)
    assert report.exit_code(summary, ["kill-inner"]) == code


def test_the_table_for_documents_names_commit_and_seeds_and_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, commit_of(), verdict(), verdict("broker", 1, LOST, seed=9))
    assert main(["--markdown", "--results", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"Commit `{commit_of()}`, seed 7, 9."
    assert "| broker | kill -9 and restart of the broker | 1 | 30 | 40 | 3 | 1 | 1 lost |" in told
    assert told[-1] == "| **all** | | 2 | | 80 | 6 | 1 | |"


def test_a_kind_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    Book.begin(tmp_path, commit="a" * 40, seed=1).skip("disk-full", "no tmpfs can be mounted here")
    summary = add_up(tmp_path, "a" * 40)
    assert report.faults_of(summary.tallies["disk-full"]) == "not run: no tmpfs can be mounted here"


def test_a_commit_outside_git_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"


WRONG = {
    "a kind that is not there": ["--kinds", "kill-everything"],
    "no trials": ["--trials", "0"],
    "a time without a unit": ["--budget", "45"],
    "a time with another unit": ["--budget", "45x"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_told_and_runs_nothing(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(WRONG[case])
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_report_of_nothing_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "--results", str(tmp_path), "--kinds", "kill-inner"]) == 3
    assert "kill-inner" in capsys.readouterr().out
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BY_NAME)
    assert RESULTS.parts[-2:] == (".run", "trials")


def test_a_full_run_makes_a_hundred_of_each_kind_and_thirty_where_a_service_or_a_disk_is_broken() -> None:
    thirty = {trial.name for trial in EVERY if trial.wanted == 30}
    assert thirty == {"broker", "postgres", "disk-full"}
    assert {trial.wanted for trial in EVERY} == {30, 100}
