"""`gateway evidence verify`: exit code, what it says, and what must not exist afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import bootstrap
from gateway.app.sequence import Sequencer
from gateway.cli import evidence
from gateway.cli.devsetup import make_dev_setup
from gateway.core.evidence import bundle
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.keys import Use
from gateway.ops.settings import ProcessRole, load_settings
from gateway.ops.system import SystemClock
from tests.vectors.evidence import KEYS, SIGNER, ReceiptOf, leaves, log, note

LOG = log(40)
NOTES = [note(LOG[:size]) for size in (1, 17, 40)]


async def pages(raw, size=7):
    all_leaves = leaves(raw)
    for start in range(0, len(all_leaves), size):
        yield all_leaves[start : start + size]


def written(directory: Path, raw=LOG, notes=NOTES) -> Path:
    asyncio.run(evidence.write_bundle(directory, pages(raw), checkpoints=notes, keys=KEYS))
    return directory


@pytest.fixture
def good(tmp_path) -> Path:
    return written(tmp_path / "bundle")


@pytest.fixture
def receipts(tmp_path) -> Path:
    directory = tmp_path / "receipts"
    (directory / "ie").mkdir(parents=True)
    (directory / "ie" / "5.jwt").write_text(ReceiptOf(5, NOTES[0]).sign() + "\n")
    (directory / "many.txt").write_text("".join(ReceiptOf(number).sign() + "\n" for number in (6, 7)))
    (directory / "seen.note").write_text(NOTES[1])
    return directory


@pytest.fixture
def cli():
    return lambda *args: CliRunner().invoke(evidence.app, [str(arg) for arg in args])


def change_line(path: Path, number: int, old: bytes, new: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    path.write_bytes(b"".join(lines))


def test_a_good_log_passes_and_the_report_says_what_was_found(cli, good, receipts, tmp_path):
    report = tmp_path / "report.json"
    result = cli("verify", good, "--against", receipts, "--report", report)
    assert result.exit_code == 0, result.output
    assert "good: gateway.example/log/1, 40 entries" in result.stdout
    assert "3 receipts are in the log" in result.stdout
    assert SIGNER.key.vkey in result.stdout  # to be compared with the one the auditor was given
    said = json.loads(report.read_bytes())
    assert (said["size"], said["checkpoints"], said["receipts"]) == (40, 4, 3)
    assert said["entries"] == {"accepted": 39, "log-opened": 1}
    assert not list(tmp_path.glob(".report*"))


def test_keys_that_the_auditor_holds_are_used_instead_of_the_bundle_s_own(cli, good, tmp_path):
    held = tmp_path / "held.json"
    held.write_bytes(bundle.write_keys(KEYS))
    (good / "keys.json").unlink()
    result = cli("verify", good, "--keys", held)
    assert result.exit_code == 0, result.output
    assert "compare them" not in result.stdout


def test_verify_refuses_a_changed_log_and_leaves_no_report(cli, good, tmp_path):
    report = tmp_path / "report.json"
    digest = leaves(LOG)[17].digest.hex().encode()
    change_line(good / "leaves.jsonl", 17, digest, b"0" * 64)
    result = cli("verify", good, "--report", report)
    assert result.exit_code == 3  # 0 good, 2 usage (typer's own), 4 cannot read, 3 evidence broken
    assert "leaf 17: digest differs" in result.stderr
    assert "good" not in result.stdout
    assert not report.exists()


def test_a_log_rewritten_after_receipts_were_given_is_broken(cli, receipts, tmp_path):
    other = [*LOG[:6], *log(41)[7:]]
    rewritten = written(tmp_path / "rewritten", other, [note(other)])
    result = cli("verify", rewritten, "--against", receipts)
    assert result.exit_code == 3
    assert "many.txt:1: its leaf" in result.stderr
    assert "seen.note: the log does not begin with its 17 leaves" in result.stderr
    assert "ie/5.jwt" not in result.stderr  # what did not change still fits


@pytest.mark.parametrize("name", ["checkpoint", "checkpoints.jsonl", "leaves.jsonl", "keys.json"])
def test_a_missing_file_cannot_be_read_and_is_named(cli, good, name):
    (good / name).unlink()
    result = cli("verify", good)
    assert result.exit_code == 4
    assert name in result.stderr


@pytest.mark.parametrize("name", ["checkpoint", "checkpoints.jsonl", "leaves.jsonl"])
def test_a_file_of_other_bytes_is_broken_evidence(cli, good, name):
    (good / name).write_bytes(b"\xff\x00\n")
    assert cli("verify", good).exit_code == 3


def test_keys_that_are_no_keys_cannot_be_read(cli, good):
    (good / "keys.json").write_text("{}")
    assert cli("verify", good).exit_code == 4


def test_an_empty_directory_of_receipts_proves_nothing_and_says_so(cli, good, tmp_path):
    (tmp_path / "none").mkdir()
    result = cli("verify", good, "--against", tmp_path / "none")
    assert result.exit_code == 4
    assert "holds no receipt" in result.stderr


def test_a_report_of_an_earlier_check_is_not_written_over(cli, good, tmp_path):
    report = tmp_path / "report.json"
    report.write_text("of last year")
    assert cli("verify", good, "--report", report).exit_code == 2
    assert report.read_text() == "of last year"


def test_no_bundle_named_is_a_usage_fault(cli):
    assert cli("verify").exit_code == 2


def test_a_bundle_is_not_written_over_another(good):
    with pytest.raises(FileExistsError):
        written(good)


def test_a_bundle_that_could_not_be_finished_leaves_nothing(tmp_path):
    async def failing():
        yield leaves(LOG)[:3]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(evidence.write_bundle(tmp_path / "bundle", failing(), checkpoints=NOTES, keys=KEYS))
    assert list(tmp_path.iterdir()) == []


# --- export


@pytest.fixture
def setup(tmp_path):
    return make_dev_setup(tmp_path / "made", partners=("gb-register", "gb-police"))


async def sequenced(setup, entries=30):
    settings = load_settings(setup.settings[ProcessRole.EMBEDDED])
    key = bootstrap.keystore(settings).private().signing_key(Use.CHECKPOINT, SystemClock().now())
    async with bootstrap.store_of(settings) as store:
        for entry in log(entries)[1:]:
            async with store.unit_of_work() as work:
                await work.stage_evidence([entry])
        await Sequencer(store, CheckpointSigner(setup.gateway, key.private), SystemClock(), holder="test").run_once()


def test_what_is_exported_verifies_with_public_keys_alone(cli, setup, tmp_path):
    asyncio.run(sequenced(setup))
    result = cli("export", tmp_path / "bundle", "--config", setup.settings[ProcessRole.EMBEDDED])
    assert (result.exit_code, "30 entries" in result.stdout) == (0, True), result.stderr
    assert cli("verify", tmp_path / "bundle").exit_code == 0
    for private in (setup.folder / "keys" / "private").iterdir():
        assert not any(private.read_bytes() in path.read_bytes() for path in (tmp_path / "bundle").iterdir())
    again = cli("export", tmp_path / "bundle", "--config", setup.settings[ProcessRole.EMBEDDED])
    assert (again.exit_code, "exists already" in again.stderr) == (4, True)


def test_before_the_first_checkpoint_there_is_nothing_to_export(cli, setup, tmp_path):
    asyncio.run(sequenced_nothing(setup))
    result = cli("export", tmp_path / "bundle", "--config", setup.settings[ProcessRole.EMBEDDED])
    assert (result.exit_code, "no checkpoint yet" in result.stderr, (tmp_path / "bundle").exists()) == (4, True, False)


async def sequenced_nothing(setup):
    async with bootstrap.store_of(load_settings(setup.settings[ProcessRole.EMBEDDED])):
        pass


def test_an_export_makes_no_database(cli, setup, tmp_path):
    result = cli("export", tmp_path / "bundle", "--config", setup.settings[ProcessRole.EMBEDDED])
    assert (result.exit_code, "there is no database" in result.stderr) == (4, True)
    assert not (setup.folder / "gateway.db").exists()
