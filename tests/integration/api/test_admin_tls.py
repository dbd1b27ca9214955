"""The admin listener of a real gateway over TLS, and what start records of operators."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import aiohttp
import pytest

from gateway import bootstrap
from gateway.cli.desk import read_me
from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.core.operators import Command, OperatorRole
from gateway.ops.settings import ProcessRole, load_settings
from gateway.testing.operator import OperatorClient


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> DevSetup:
    folder = tmp_path_factory.mktemp("tls") / "made"
    certificate = str(folder / "tls" / "gateway.pem")
    tls = {"port": 0, "tls_certificate": certificate, "tls_key": certificate}
    partners = ("gb-register", "gb-police")
    return make_dev_setup(
        folder, partners=partners, settings={ProcessRole.EMBEDDED: {"admin_listener": tls, "partner_listener": {"port": 0}}}
    )


async def test_with_a_certificate_the_listener_speaks_tls_alone(setup: DevSetup) -> None:
    trusted = ssl.create_default_context(cafile=setup.authority)
    async with bootstrap.build(load_settings(setup.settings[ProcessRole.EMBEDDED])) as gateway:
        identity = read_me(setup.operator(OperatorRole.AUDITOR)).identity
        async with OperatorClient(f"https://localhost:{gateway.admin_port}", identity, tls=trusted) as client:
            answer = await client.command(Command.HOLD_LIST)
        assert (answer.status, answer.value) == (200, {"legs": [], "next": None, "counts": {}})
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://localhost:{gateway.admin_port}/metrics")


async def test_who_works_at_the_desk_is_evidence(setup: DevSetup) -> None:
    async with bootstrap.build(load_settings(setup.settings[ProcessRole.EMBEDDED])) as gateway:
        assert gateway.store is not None
        async with gateway.store.reading() as work:
            entries = [json.loads(entry) for _, entry in await work.staged(1000)]
    named = {entry["name"] for entry in entries if entry["kind"] == "config" and entry["what"] == "operator"}
    assert named == {f"desk-{role.value}" for role in OperatorRole}


async def test_without_a_folder_of_operators_nobody_commands(setup: DevSetup, tmp_path: Path) -> None:
    text = setup.settings[ProcessRole.EMBEDDED].read_text(encoding="utf-8")
    without = tmp_path / "gateway.toml"
    without.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("operators = ")), encoding="utf-8")
    trusted = ssl.create_default_context(cafile=setup.authority)
    async with bootstrap.build(load_settings(without)) as gateway:
        identity = read_me(setup.operator(OperatorRole.ADMIN)).identity
        async with OperatorClient(f"https://localhost:{gateway.admin_port}", identity, tls=trusted) as client:
            assert (await client.command(Command.HOLD_LIST)).status == 401
