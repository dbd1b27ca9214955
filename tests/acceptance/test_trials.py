"""The short form of `make trials`: three trials of each kind that this machine can run.

Kinds that can share a running system do so here: the embedded one, one on a small disk, and a scaled-out one with two inners and its
courier behind a link: each with services of its own, so that it runs beside other tests. The long form gives each kind a system of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import pytest

from tests.services.fixtures import not_to_be_had
from tests.services.processes import UnavailableError
from trials.kinds import EVERY, Opens, Trial, on_a_small_disk
from trials.run import Verdict, run_together
from trials.system import embedded_system, scaled_system

TRIALS = 3
EMBEDDED = [trial for trial in EVERY if trial.opens is embedded_system]
DISK = [trial for trial in EVERY if trial.opens is on_a_small_disk]
SCALED = [trial for trial in EVERY if trial not in (*EMBEDDED, *DISK)]
FULL = partial(scaled_system, inners=2, apart=True)
NO_LINK = partial(scaled_system, inners=2)


def run(trials: Sequence[Trial], opens: Opens) -> list[Verdict]:
    return asyncio.run(run_together(trials, opens, seed=time.time_ns(), count=TRIALS))


def no_fault(verdicts: Sequence[Verdict], trials: Sequence[Trial], *, say) -> None:
    """Check that each kind had its trials, and none a fault."""
    for trial in trials:
        mine = [verdict for verdict in verdicts if verdict.kind == trial.name]
        say(f"{trial.name:18}{len(mine)} trials, {sum(v.messages for v in mine):4} messages, {sum(v.seconds for v in mine):5.1f} s")
        assert len(mine) >= TRIALS
    failed = [verdict for verdict in verdicts if verdict.faults]
    for verdict in failed:
        say(f"{verdict.kind} {verdict.number}, seed {verdict.seed}: {[str(fault) for fault in verdict.faults]}")
        for at, what in verdict.timeline:
            say(f"  {at:8.3f} {what}")
    assert failed == []


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    """Print though the test passes."""

    def on_the_terminal(line: str) -> None:
        with capsys.disabled():
            print(line)  # noqa: T201 -- what was tried is what the test is about

    on_the_terminal("")
    return on_the_terminal


@pytest.mark.trials
@pytest.mark.timeout(900)
def test_the_embedded_form_survives_three_trials_of_each_kind(say) -> None:
    no_fault(run(EMBEDDED, embedded_system), EMBEDDED, say=say)


@pytest.mark.trials
@pytest.mark.timeout(300)
def test_the_embedded_form_survives_a_full_disk_three_times(say) -> None:
    try:
        verdicts = run(DISK, on_a_small_disk)
    except UnavailableError as exc:
        pytest.skip(str(exc))
    no_fault(verdicts, DISK, say=say)


@pytest.mark.trials
@pytest.mark.timeout(1200)
def test_the_scaled_out_form_survives_three_trials_of_each_kind(say) -> None:
    trials = SCALED
    try:
        try:
            verdicts = run(trials, FULL)
        except UnavailableError as exc:
            if "namespaces" not in str(exc):
                raise
            say(f"network: not run: {exc}")
            trials = [trial for trial in SCALED if trial.name != "network"]
            verdicts = run(trials, NO_LINK)
    except UnavailableError as exc:
        not_to_be_had(str(exc))
    no_fault(verdicts, trials, say=say)
