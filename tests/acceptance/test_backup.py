"""A backup is taken while the gateway runs, the database is lost, and the gateway goes on from the backup without hiding what is gone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.contract.values import Jti
from gateway.core.evidence import entries
from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import FRANCE, REGISTER, Deployment, embedded, eventually_async, receipt_of
from tests.acceptance.processes import gateway

ORIGIN = "gw-main"


async def accepted(gw: Deployment, count: int) -> dict[str, tuple[bytes, str]]:
    """Submit messages; return by `jti` what was sent, and its receipt."""
    found = {}
    async with gw.client() as register:
        for _ in range(count):
            sent = gw.message()
            response = await register.submit(sent.sealed)
            receipt_of(register, response, sent)
            await gw.until_ended(register, sent.jti, FRANCE)
            found[str(sent.jti)] = sent.sealed, response.body.decode()
    return found


async def checkpoint(gw: Deployment, *, above: int = 0) -> str:
    """Return the newest checkpoint as soon as it has more than `above` entries."""

    async def look() -> str | None:
        async with gw.client() as register:
            note = (await register.get("/v1/evidence/checkpoint")).body.decode()
        return note if note.count("\n") > 2 and int(note.split("\n")[1]) > above else None

    return await eventually_async(look, what="a checkpoint")


def run(*arguments: object, code: int = 0) -> str:
    done = gateway(*map(str, arguments))
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


async def test_a_restored_gateway_opens_a_new_log_and_says_what_must_be_asked_for_again(tmp_path: Path) -> None:
    with embedded(tmp_path) as gw:
        served, config = gw.processes[ProcessRole.EMBEDDED], gw.setup.settings[ProcessRole.EMBEDDED]
        before = await accepted(gw, 3)
        data, keys = tmp_path / "data" / "b.db", tmp_path / "keys" / "b.db"
        data.parent.mkdir()
        keys.parent.mkdir()
        writing = asyncio.create_task(accepted(gw, 2))  # the backup is taken in the middle of traffic
        told = await asyncio.to_thread(run, "db", "backup", data, "--keys", keys, "--config", config)
        assert "is whole" in told
        await writing
        size = int((await checkpoint(gw)).split("\n")[1])
        lost = await accepted(gw, 2)
        note = await checkpoint(gw, above=size)
        assert "the log is whole" in await asyncio.to_thread(run, "db", "check", "--config", config)
        assert served.stop() == 0
        kept = tmp_path / "kept"
        kept.mkdir()
        (kept / "note").write_text(note, encoding="utf-8")
        (kept / "receipts").write_text("\n".join(receipt for _, receipt in [*before.values(), *lost.values()]), encoding="utf-8")

        given = ("--keys", keys, "--config", config, "--old-log", tmp_path / "old", "--report", tmp_path / "report.json")
        assert "exists already" in run("db", "restore", data, *given, "--nothing-outside", code=1), "what is there is never overwritten"
        for suffix in ("", "-wal", "-shm"):
            Path(gw.database + suffix).unlink(missing_ok=True)
        told = run("db", "restore", data, *given, "--checkpoint", kept / "note", "--receipts", kept / "receipts")
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert {each["jti"] for each in report["ask"]["submissions"]} >= lost.keys()
        assert not {each["jti"] for each in report["ask"]["submissions"]} & before.keys()
        assert REGISTER in {each["partner"] for each in report["ask"]["senders"]}
        assert report["follows"]["size"] == int(note.split("\n")[1]) == report["history"]["entries"] + report["history"]["missing"]
        assert report["history"]["missing"] > 0
        assert f"missing: {report['history']['missing']} entries" in told
        assert run("evidence", "verify", tmp_path / "old").startswith(f"good: {ORIGIN}, "), "the log of the backup still verifies"

        served.start()
        await asyncio.to_thread(served.until_ready)
        async with gw.client() as register:
            for jti, (_, receipt) in before.items():
                assert (await register.receipt(Jti(jti))).body.decode() == receipt, "what was receipted before the backup still is"
            again = [(await register.submit(sealed)).status for sealed, _ in lost.values()]
        assert again == [202] * len(lost), "a sender repeats the same bytes, and they are taken"
        fresh = await accepted(gw, 1)
        assert (await checkpoint(gw, above=5)).startswith(f"{ORIGIN}/2\n")
        assert served.stop() == 0
        run("evidence", "export", tmp_path / "new", "--config", config)
        told = run("evidence", "verify", tmp_path / "new", "--previous", kept / "note")
        assert f"the log before: {ORIGIN}, {report['follows']['size']} entries" in told
        assert "names no log before" in run("evidence", "verify", tmp_path / "old", "--previous", kept / "note", code=3)
        both = "SELECT entry FROM evidence_leaf UNION ALL SELECT entry FROM evidence_staged"  # a stop does not wait for the sequencer
        opened = [entries.decode(raw) for (raw,) in rows(gw.database, both)]
        assert [entry.kind for entry in opened].count("log-opened") == 1
        assert fresh.keys() | lost.keys() <= {entry.jti for entry in opened if isinstance(entry, entries.Accepted)}


async def test_a_gateway_that_still_runs_is_not_reopened(tmp_path: Path) -> None:
    with embedded(tmp_path) as gw:
        await accepted(gw, 1)
        await checkpoint(gw)
        given = ("--old-log", tmp_path / "old", "--report", tmp_path / "report.json", "--nothing-outside")
        told = await asyncio.to_thread(run, "db", "reopen", "--config", gw.setup.settings[ProcessRole.EMBEDDED], *given, code=1)
        assert "stop it" in told
        assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize("what", ["a log of somebody else", "a checkpoint that was altered", "no receipt"])
async def test_what_was_kept_outside_is_checked_before_anything_is_written(tmp_path: Path, what: str) -> None:
    with embedded(tmp_path) as gw:
        await accepted(gw, 1)
        note = await checkpoint(gw)
        config = gw.setup.settings[ProcessRole.EMBEDDED]
        assert gw.processes[ProcessRole.EMBEDDED].stop() == 0
        run("db", "backup", tmp_path / "data.db", "--keys", tmp_path / "keys.db", "--config", config)
        Path(gw.database).unlink()
        texts = {
            "a log of somebody else": note.replace(ORIGIN, "another-gateway"),
            "a checkpoint that was altered": note.replace(note.split("\n")[1], "9999", 1),
            "no receipt": "e30.e30.e30",
        }
        (tmp_path / "kept").write_text(texts[what], encoding="utf-8")
        given = ("--keys", tmp_path / "keys.db", "--config", config, "--old-log", tmp_path / "old", "--report", tmp_path / "report.json")
        told = run("db", "restore", tmp_path / "data.db", *given, "--checkpoint", tmp_path / "kept", code=1)
        assert str(tmp_path / "kept") in told
        assert not Path(gw.database).exists()
        assert sorted(path.name for path in Path(gw.database).parent.glob(".*draft*")) == []
