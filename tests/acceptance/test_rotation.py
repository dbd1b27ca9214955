"""Each kind of key is rotated while submissions and deliveries run: 0 messages refused, and what was signed before verifies after."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from gateway.cli.devsetup import merged
from gateway.core import jose, jwks
from gateway.core.evidence import checkpoint
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.keys import KeyEntry, Use, VerifyKey
from gateway.core.keyset import read_keyset
from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import (
    FRANCE,
    PROFILES,
    REGISTER,
    Deployment,
    embedded,
    eventually,
    eventually_async,
    mutual,
)
from tests.acceptance.processes import gateway

WAIT = 12  # seconds: what the command and the fetch after it take at most
PAIRS = [Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT, Use.ENCRYPT]
EPOCHS = ["kek", "referral-kek"]


def root_of(gw: Deployment) -> Path:
    (path,) = (gw.setup.folder / "root").glob("*.pem")
    return path


def run(gw: Deployment, *arguments: object, code: int = 0) -> str:
    holder = next(iter(gw.setup.settings.values()))  # of the private keys: the embedded one, or the first inner
    done = gateway("keys", *map(str, arguments), "--config", str(holder))
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def ours(gw: Deployment, use: Use) -> list[KeyEntry]:
    """Return our public keys of a use, the oldest first."""
    entries = jwks.read_jwks((gw.setup.folder / "keys" / "public" / f"{gw.setup.gateway}.json").read_bytes(), gw.setup.gateway)
    return sorted((entry for entry in entries if entry.use is use), key=lambda entry: entry.valid_from)


async def fetch(gw: Deployment) -> bytes:
    """Fetch the key set as any partner does."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gw.setup.origin}/.well-known/gateway-keys.jwt", ssl=tls(gw)) as response,
    ):
        assert response.status == 200
        return await response.read()


def tls(gw: Deployment) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=gw.setup.authority)


def believe(gw: Deployment, key_set: bytes) -> None:
    """Every partner takes the key set that the pinned root has signed."""
    for partner in gw.setup.partners:
        (gw.setup.kit_folder(partner) / "gateway.keys.jwt").write_bytes(key_set)
    gw._kits.clear()
    for partner, simulator in gw.pushed.items():
        simulator._opener = gw.kit(partner).opener


@dataclass
class Traffic:
    """What went through."""

    sent: dict[str, bytes] = field(default_factory=dict)
    receipts: list[bytes] = field(default_factory=list)
    refused: list[object] = field(default_factory=list)


@asynccontextmanager
async def traffic(gw: Deployment) -> AsyncIterator[Traffic]:
    """Submit all the time, and poll; stop at the end."""
    seen, stop = Traffic(), asyncio.Event()

    async def submit() -> None:
        while not stop.is_set():
            async with gw.client() as register:
                sent = gw.message()
                response = await register.submit(sent.sealed)
            if response.status == 202:
                seen.sent[str(sent.jti)] = sent.jws
                seen.receipts.append(response.body)
            else:
                seen.refused.append((response.status, response.body))
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(submit()) for _ in range(2)]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def kid_of(token: bytes) -> str:
    return json.loads(jose.b64decode(token.split(b".")[0]))["kid"]


@contextmanager
def deployed(folder: Path, *, mtls: bool) -> Iterator[Deployment]:
    if not mtls:
        with embedded(folder) as gw:
            yield gw
        return
    made = mutual(folder, REGISTER)
    with embedded(folder, profiles=merged(PROFILES, made.profiles), settings={ProcessRole.EMBEDDED: made.listener}) as gw:
        gw.certificates[REGISTER] = made.certificates[0]
        yield gw


@pytest.mark.parametrize("mtls", [False, True], ids=["without-mtls", "with-mtls"])
async def test_every_kind_of_key_is_rotated_under_load_and_nothing_is_refused(tmp_path: Path, mtls: bool) -> None:
    with deployed(tmp_path, mtls=mtls) as gw:
        before = {use: ours(gw, use)[-1].kid for use in PAIRS}
        async with traffic(gw) as seen:
            await eventually(lambda: len(seen.sent) > 10, what="traffic")
            uses = [word for use in (*PAIRS, *EPOCHS) for word in ("--use", use)]
            told = await asyncio.to_thread(run, gw, "rotate", *uses, "--wait", WAIT, "--root-key", root_of(gw))
            assert told.count("it follows") == len(PAIRS) + len(EPOCHS)
            after = {use: ours(gw, use)[-1] for use in PAIRS}
            assert {use: entry.previous for use, entry in after.items()} == before, "each key names its predecessor"
            key_set = await eventually_async(lambda: fresh(gw, after[Use.DOCUMENT].kid), what="the key set at the edge")
            believe(gw, key_set)
            await eventually(lambda: receipt_kids(seen) >= {before[Use.RECEIPT], after[Use.RECEIPT].kid}, what="receipts by both keys")
            gw._kits.clear()  # by now the new encryption key is the newest valid one
            assert gw.kit().gateway_encryption.kid == after[Use.ENCRYPT].kid
            mark = len(seen.sent)
            await eventually(lambda: len(seen.sent) > mark + 10, what="traffic after the turn")
            note = await eventually_async(lambda: signed_by(gw, after[Use.CHECKPOINT]), what="a checkpoint by the new key")
        assert seen.refused == []
        await eventually(lambda: all(gw.received(FRANCE, jti) for jti in seen.sent), what="every delivery")
        documents = {got.verified.kid for got in list(gw.pushed[FRANCE].received.values()) if got.verified is not None}
        assert documents == {before[Use.DOCUMENT], after[Use.DOCUMENT].kid}, "deliveries by both keys, all verified"
        assert note
        epochs = {epoch for (epoch,) in rows(gw, "SELECT DISTINCT epoch FROM subject_key")}
        assert len(epochs) == 2, "new subjects are under the new epoch"
        for kid in before.values():
            assert "destroyed" in run(gw, "retire", "--kid", kid, "--root-key", root_of(gw))
        assert not [path for path in (gw.setup.folder / "keys" / "private").iterdir() if path.stem in before.values()]
        drilled = tmp_path / "drill.jsonl"
        assert "receipt" in run(gw, "drill", "--kid", before[Use.RECEIPT], "--out", drilled)
        listed = [json.loads(line) for line in drilled.read_text(encoding="utf-8").splitlines()]
        assert listed[0]["kid"] == before[Use.RECEIPT]
        signed = {
            json.loads(jose.b64decode(r.split(b".")[1]))["received"]["jti"] for r in seen.receipts if kid_of(r) == before[Use.RECEIPT]
        }
        assert {item["jti"] for item in listed[1:]} == signed, "a drill lists each receipt of the key and no other"
        old = next(epoch for (epoch,) in rows(gw, "SELECT epoch FROM subject_key ORDER BY rowid LIMIT 1"))
        assert f"destroyed  {old}" in run(gw, "rewrap", "--destroy", old)
        assert not (gw.setup.folder / "keys" / "private" / f"{old}.jwk").exists()
        reloaded = gateway("reload", "--config", str(gw.setup.settings[ProcessRole.EMBEDDED]))
        assert reloaded.returncode == 0, reloaded.stderr
        believe(gw, await eventually_async(lambda: fresh(gw, after[Use.DOCUMENT].kid), what="the key set"))
        async with traffic(gw) as later:
            await eventually(lambda: len(later.sent) > 5, what="traffic after the old keys were retired")
        assert later.refused == []
        await eventually_async(lambda: covered(gw, later.receipts[-1]), what="the last receipt's leaf in the log")
        assert gw.processes[ProcessRole.EMBEDDED].stop() == 0
        done = gateway("evidence", "export", str(tmp_path / "bundle"), "--config", str(gw.setup.settings[ProcessRole.EMBEDDED]))
        assert done.returncode == 0, done.stderr
        (tmp_path / "against").mkdir()
        (tmp_path / "against" / "receipts").write_bytes(b"\n".join([*seen.receipts, *later.receipts]))
        done = gateway("evidence", "verify", str(tmp_path / "bundle"), "--against", str(tmp_path / "against"))
        assert done.returncode == 0, "receipts and checkpoints by both keys verify: " + done.stderr


def rows(gw: Deployment, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(gw.database)) as connection:
        return connection.execute(query).fetchall()


async def covered(gw: Deployment, receipt: bytes) -> bool:
    leaf = json.loads(jose.b64decode(receipt.split(b".")[1]))["leaf"]
    async with gw.client() as register:
        size = (await register.get("/v1/evidence/checkpoint")).body.decode().split("\n")[1]
        response = await register.get("/v1/evidence/inclusion", {"leaf": leaf, "size": size})
    assert response.status in {200, 404}, response.body
    return response.status == 200


def receipt_kids(seen: Traffic) -> set[str]:
    return {kid_of(receipt) for receipt in seen.receipts}


async def fresh(gw: Deployment, kid: str) -> bytes | None:
    """Return the key set of the edge once it has a key, verified with the pinned root."""
    raw = await fetch(gw)
    (root,) = [entry for entry in ours(gw, Use.ROOT) if isinstance(entry, VerifyKey)]
    found = read_keyset(raw.rstrip(b"\n"), root, now=datetime.now(UTC))
    return raw if kid in {entry.kid for entry in found.keyring.entries} else None


async def signed_by(gw: Deployment, key: KeyEntry) -> str | None:
    async with gw.client() as register:
        note = (await register.get("/v1/evidence/checkpoint")).body.decode()
    assert isinstance(key, VerifyKey)
    own = CheckpointKey(gw.setup.gateway, key.public)
    return note if f"{gw.setup.gateway} " in note and checkpoint_by(note, own) else None


def checkpoint_by(note: str, key: CheckpointKey) -> bool:
    try:
        checkpoint.verify(note, [key])
    except EvidenceError:
        return False
    return True
