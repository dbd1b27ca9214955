"""Keys turn under load on the scaled-out form: two inners, two edges behind a balancer; ours of every kind, and a partner's. Nothing is refused."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.cli.devsetup import merged
from gateway.cli.kit import Kit
from gateway.contract.values import PartnerId
from gateway.core import jwks, strict_json
from gateway.core.keys import DecryptionKey, KeyEntry, SigningKey, Use
from gateway.keystores import generate
from gateway.keystores.generate import Plan
from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import FRANCE, REGISTER, SPAIN, eventually, eventually_async, mutual
from tests.acceptance.fleet import Fleet, fleet
from tests.acceptance.processes import gateway
from tests.acceptance.test_rotation import (
    EPOCHS,
    PAIRS,
    believe,
    fresh,
    ours,
    receipt_kids,
    root_of,
    run,
    signed_by,
    traffic,
)
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(480)]
WAIT_MIN, COMMANDS = 15, 8  # seconds until the new keys are used, at least: or for so many commands, a copy and a fetch, on a busy machine


@pytest.fixture(scope="module")
def f(tmp_path_factory: pytest.TempPathFactory, broker_apart: KafkaSettings, postgres: PostgresSettings) -> Iterator[Fleet]:
    """Two inners and two edges, which answer the register only over a connection with its certificate."""
    folder = tmp_path_factory.mktemp("rotation")
    certified = mutual(folder, REGISTER)
    profiles = merged({SPAIN: {"delivery": {"shard": "main"}}}, certified.profiles)
    settings, limits = {ProcessRole.EDGE: certified.listener}, {"limits": {"leave_seconds": 0}}
    with fleet(folder, broker_apart, postgres, profiles=profiles, settings=settings, limits=limits) as made:
        made.gw.certificates[REGISTER] = certified.certificates[0]
        made.make(ProcessRole.INNER, "inner-2")
        made.make(ProcessRole.EDGE, "edge-2")
        asyncio.run(made.start("inner-2", "edge-2"))
        yield made


def reload(f: Fleet, *names: str) -> None:
    for name in names:
        done = gateway("reload", "--config", str(f.processes[name].settings))
        assert done.returncode == 0, done.stderr


def publish(f: Fleet) -> None:
    """Copy the public keys to the edges, as the command says."""
    keys = f.gw.setup.folder
    for path in (keys / "keys" / "public").iterdir():
        shutil.copy(path, keys / "outer" / "public" / path.name)


async def rows(f: Fleet, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(f.gw.database)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_every_kind_of_our_keys_turns_in_two_inners_and_nothing_is_refused(f: Fleet) -> None:
    gw = f.gw
    before = {use: ours(gw, use)[-1].kid for use in PAIRS}
    began = time.monotonic()
    await asyncio.to_thread(reload, f, "inner-2")
    wait = max(WAIT_MIN, round(COMMANDS * (time.monotonic() - began)))
    async with traffic(gw) as seen:
        await eventually(lambda: len(seen.sent) > 5, what="traffic")
        uses = [word for use in (*PAIRS, *EPOCHS) for word in ("--use", use)]
        told = await asyncio.to_thread(run, gw, "rotate", *uses, "--wait", wait, "--root-key", root_of(gw))
        assert told.count("it follows") == len(PAIRS) + len(EPOCHS)
        await asyncio.to_thread(reload, f, "inner-2")
        publish(f)
        after = {use: ours(gw, use)[-1] for use in PAIRS}
        for _ in ("one edge", "the other"):
            key_set = await eventually_async(lambda: fresh(gw, after[Use.DOCUMENT].kid), what="the key set at an edge")
        believe(gw, key_set)
        await eventually(
            lambda: receipt_kids(seen) >= {before[Use.RECEIPT], after[Use.RECEIPT].kid}, what="receipts by both keys", seconds=wait + 30
        )
        gw._kits.clear()  # by now the new encryption key is the newest valid one
        assert gw.kit().gateway_encryption.kid == after[Use.ENCRYPT].kid
        mark = len(seen.sent)
        await eventually(lambda: len(seen.sent) > mark + 20, what="traffic after the turn")
        assert await eventually_async(lambda: signed_by(gw, after[Use.CHECKPOINT]), what="a checkpoint by the new key")
    assert seen.refused == []
    await eventually(lambda: all(gw.received(FRANCE, jti) for jti in seen.sent), what="every delivery")
    documents = {got.verified.kid for got in list(gw.pushed[FRANCE].received.values()) if got.verified is not None}
    assert documents == {before[Use.DOCUMENT], after[Use.DOCUMENT].kid}
    assert len(await rows(f, "SELECT DISTINCT epoch FROM subject_key")) == 2, "new subjects are under the new epoch"
    for kid in before.values():
        assert "destroyed" in await asyncio.to_thread(run, gw, "retire", "--kid", kid, "--root-key", root_of(gw))
    await asyncio.to_thread(reload, f, "inner-2")
    publish(f)
    async with traffic(gw) as later:
        await eventually(lambda: len(later.sent) > 10, what="traffic after the old keys were retired")
    assert later.refused == []
    await eventually(lambda: all(gw.received(FRANCE, jti) for jti in later.sent), what="every delivery")


def trust(f: Fleet, partner: str, made: list[KeyEntry]) -> None:
    """Put new keys of a partner beside the old, on the machine of both inners."""
    path = f.gw.setup.folder / "keys" / "trust" / f"{partner}.json"
    known = list(jwks.read_jwks(path.read_bytes(), PartnerId(partner)))
    path.write_bytes(strict_json.canonical(jwks.write_jwks([*known, *made])))


async def test_a_partners_keys_turn_and_nothing_is_refused(f: Fleet) -> None:
    """The register signs with new keys once both inners know them, and shows a new certificate; France has a new key to be encrypted to."""
    gw, now = f.gw, datetime.now(UTC)
    refused = len(gw.pushed[FRANCE].refused)
    signs = {use: generate.new_pair(Plan(owner=PartnerId(REGISTER), now=now), use) for use in (Use.SUBMIT, Use.REQUEST)}
    opens = generate.new_pair(Plan(owner=PartnerId(FRANCE), now=now), Use.ENCRYPT)
    kit, france = gw.kit(), gw.kit(FRANCE)
    async with traffic(gw) as seen:
        await eventually(lambda: len(seen.sent) > 5, what="traffic")
        gw._kits[FRANCE] = with_key(france, opens)
        gw.pushed[FRANCE]._opener = gw._kits[FRANCE].opener
        trust(f, REGISTER, [pair.entry for pair in signs.values()])
        trust(f, FRANCE, [opens.entry])
        await asyncio.to_thread(reload, f, "inner-1", "inner-2")
        first = gw.certificates[REGISTER]
        gw.certificates[REGISTER] = first.with_name(first.name.replace("-1", "-2"))
        gw._kits[REGISTER] = replace(kit, submit_key=signing(signs[Use.SUBMIT]), request_key=signing(signs[Use.REQUEST]))
        mark = len(seen.sent)
        await eventually(lambda: len(seen.sent) > mark + 20, what="traffic by the new keys")
    assert seen.refused == []
    await eventually(lambda: all(gw.received(FRANCE, jti) for jti in seen.sent), what="every delivery")
    assert gw.pushed[FRANCE].refused[refused:] == []


def signing(pair: generate.Pair) -> SigningKey:
    return SigningKey(kid=pair.entry.kid, use=pair.entry.use, private=pair.private)


def with_key(kit: Kit, pair: generate.Pair) -> Kit:
    assert isinstance(pair.private, ec.EllipticCurvePrivateKey)
    key = DecryptionKey(kid=pair.entry.kid, private=pair.private)
    return replace(kit, decryption_keys={**kit.decryption_keys, key.kid: key})
