"""`gateway demo` shows the main job and ends well; what goes wrong in it is its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def demo(*arguments):
    command = [sys.executable, "-m", "gateway.cli", "demo", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "160"}
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    data = tmp_path_factory.mktemp("demo") / "data"
    with demo("--count", 40, "--data", data) as process:
        out, err = process.communicate(timeout=110)
    return process.returncode, out, err, data


def test_it_ends_well_within_a_minute(shown):
    code, out, err, _ = shown
    assert (code, err) == (0, "")
    seconds = re.search(r"Done after (\d+) seconds", out)
    assert seconds is not None
    assert int(seconds[1]) < 100  # a minute on a machine of its own


TOLD = [
    "answered 40/40",
    "accepted                 35",
    "repeated                 1",
    "rejected untrusted       2",
    "London by Amsterdam to Bangkok",
    "no policy permits it",
    "default-deny",
    "help-line (NAMED): a policy says no POLICY, travel-not-to-support",
    "TH (DESTINATION): nobody is connected there NO_PARTNER",
    "verified with the pinned keys of the gateway",
    "encrypted to another key: the token is not trusted",
    "changed after it was signed: the token is not trusted",
    "the same receipt, byte for byte",
    "good: gw-main, ",
    "35 receipts are in the log",
]


@pytest.mark.parametrize("words", TOLD)
def test_it_tells(shown, words):
    assert words in shown[1]


def test_every_partner_noted_what_it_got_and_nothing_that_was_in_it(shown):
    _, _, _, data = shown
    for partner in ("fr-police", "es-police", "nl-border"):
        notes = [json.loads(line) for line in (data / "notes" / f"{partner}.jsonl").read_text().splitlines()]
        assert notes
        assert all(note["family"] == "travel-notification" and "/body/person/names/0/kind" in note["fields"] for note in notes)
        assert "TEST" not in (data / "notes" / f"{partner}.jsonl").read_text()


def test_what_it_started_is_gone(shown):
    assert processes(shown[3]) == []


def test_ended_from_outside_it_stops_what_it_started(tmp_path):
    data = tmp_path / "data"
    with demo("--count", 24, "--data", data) as process:
        end = time.monotonic() + 60
        while len(processes(data)) < 4 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(processes(data)) >= 4
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "interrupted" in err
    assert processes(data) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with demo("--data", tmp_path) as process:
        assert process.wait(30) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def processes(data):
    """Return the ids of the processes, other than the demonstration itself, that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"demo" not in arguments and any(argument.startswith(bytes(data) + b"/") for argument in arguments):
            found.append(int(entry.name))
    return found
