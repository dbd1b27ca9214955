"""The harness finds faults: gateways that are broken on purpose are each caught, by the fault that they have.

Each patch of `broken/` is applied to a copy of the tree, and the trials of the copy are run there until the first one fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.__main__ import APPLY, ROOT, copy_tree
from tests.services.fixtures import not_to_be_had

BROKEN = Path(__file__).parent / "broken"
TRIALS_MAX = 50
NOT_RUN = 3  # exit code: this machine cannot run that kind
PATCHES = {  # which kind of trial finds it, and as what
    "receipt-before-commit": ("kill-embedded", {"lost"}),
    "offset-before-transaction": ("kill-inner", {"unanswered"}),
    "claim-without-head": ("partner-flapping", {"out-of-order"}),
}


def test_every_patch_is_run() -> None:
    assert {path.stem for path in BROKEN.glob("*.patch")} == set(PATCHES)


@pytest.mark.parametrize("name", PATCHES)
def test_each_still_applies_and_changes_the_gateway_alone(name: str) -> None:
    checked = subprocess.run((*APPLY, "--check", str(BROKEN / f"{name}.patch")), cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    changed = re.findall(r"^\+\+\+ b/(.*)$", (BROKEN / f"{name}.patch").read_text(encoding="utf-8"), re.MULTILINE)
    assert changed
    assert all(path.startswith("gateway/") for path in changed)


def caught(name: str, tree: Path, *, say) -> dict:
    """Run the trials of a copy with a patch applied; return what is known of the kind that should find it."""
    kind, _ = PATCHES[name]
    copy_tree(tree)
    subprocess.run((*APPLY, str(BROKEN / f"{name}.patch")), cwd=tree, check=True)
    results = tree / "results"
    options = ("--kinds", kind, "--trials", str(TRIALS_MAX), "--until-fault", "--seed", "5", "--results", str(results))
    done = subprocess.run((sys.executable, "-m", "trials", *options), cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode == NOT_RUN:
        not_to_be_had(done.stdout)
    assert (done.returncode, "could not be run" in done.stdout) == (1, False), done.stdout + done.stderr
    found = json.loads((results / "report.json").read_text(encoding="utf-8"))["kinds"][kind]
    say(f"{name}: caught by {kind} in trial {found['trials']}: {found['faults']}")
    return found


@pytest.mark.trials
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PATCHES)
def test_a_broken_gateway_is_caught_within_fifty_trials(name, tmp_path, capsys) -> None:
    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201 -- which trial it took is what one wants to know

    found = caught(name, tmp_path / "tree", say=say)
    assert found["trials"] <= TRIALS_MAX
    assert PATCHES[name][1] <= set(found["faults"])
