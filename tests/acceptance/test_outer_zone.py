"""What a taken-over outer zone could reach: /proc of a running edge and courier shows no database and no key that opens or signs content.

What their Kafka principals are refused is a table in tests/integration/buses/test_kafka_setup.py.
"""

from __future__ import annotations

import shutil
import ssl
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.cli.devsetup import make_dev_setup
from gateway.core import jwks, tokens
from gateway.core.keys import Use
from gateway.core.keyset import read_keyset
from gateway.core.problems import RefusedInputError
from gateway.ops.settings import ProcessRole, RunProfile
from gateway.ops.system import SystemClock
from tests.acceptance.deployment import Deployment, receipt_of

pytestmark = pytest.mark.services

OUTER = (ProcessRole.EDGE, ProcessRole.COURIER)


@pytest.fixture
def gw(scaled: Deployment) -> Deployment:
    return scaled


def connections(pid: int) -> set[int]:
    """Return the remote ports of a process's TCP connections."""
    inodes = {target[8:-1] for target in open_targets(pid) if target.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.add(int(fields[2].rsplit(":", 1)[1], 16))
    return found


def open_targets(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def database_port(gw: Deployment) -> int:
    port = urlsplit(gw.database).port
    assert port is not None
    return port


def kafka_port(gw: Deployment) -> int:
    assert gw.kafka is not None
    return int(gw.kafka.bootstrap.rsplit(":", 1)[1])


async def carry(gw: Deployment) -> None:
    """Have every process carry something, so that whatever it connects to is connected."""
    async with gw.client() as register:
        sent = gw.message()
        receipt_of(register, await register.submit(sent.sealed), sent)
        await gw.until_ended(register, sent.jti, "fr-police")


async def test_only_inner_is_connected_to_the_database_and_all_to_the_broker(gw):
    await carry(gw)
    reached = {role: connections(served.pid) for role, served in gw.processes.items()}
    assert database_port(gw) in reached[ProcessRole.INNER], "the look into /proc sees what is there"
    assert all(kafka_port(gw) in ports for ports in reached.values())
    for role in OUTER:
        assert database_port(gw) not in reached[role]


def secrets_of(gw: Deployment) -> dict[str, bytes]:
    """Return what must not be outside: every private key of the gateway in its file, and how to reach the database."""
    private = {path.name: path.read_bytes().strip() for path in (gw.setup.folder / "keys" / "private").iterdir()}
    inner = tomllib.loads(gw.setup.settings[ProcessRole.INNER].read_text(encoding="utf-8"))
    return {**private, "password of the database": Path(inner["store"]["password_file"]).read_bytes().strip()}


def readable_by(gw: Deployment, role: ProcessRole) -> dict[Path, bytes]:
    """Return every file that a role's settings name or that lies in a folder they name, and those it has open."""
    table = tomllib.loads(gw.setup.settings[role].read_text(encoding="utf-8"))
    named = [Path(value) for value in _strings(table) if value.startswith("/")]
    opened = [Path(target) for target in open_targets(gw.processes[role].pid) if target.startswith("/")]
    files = [file for path in [*named, *opened] for file in ([path] if path.is_file() else path.rglob("*") if path.is_dir() else [])]
    return {file: file.read_bytes() for file in [*files, gw.setup.settings[role]] if file.is_file()}


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("role", OUTER)
async def test_no_content_key_and_no_way_to_the_database_is_in_files_or_environment(gw, role):
    secrets = secrets_of(gw)
    assert len(secrets) > 5
    environment = Path(f"/proc/{gw.processes[role].pid}/environ").read_bytes()
    files = readable_by(gw, role)
    assert gw.setup.settings[role] in files
    for name, secret in secrets.items():
        assert secret not in environment, name
        for path, content in files.items():
            assert secret not in content, f"{name} in {path}"
    assert not any(path.is_relative_to(gw.setup.folder / "keys") for path in files)
    assert not any(path.suffix in {".db", ".sqlite"} for path in files)


async def test_the_same_look_finds_the_keys_of_inner(gw):
    files = readable_by(gw, ProcessRole.INNER)
    found = {name for name, secret in secrets_of(gw).items() if any(secret in content for content in files.values())}
    assert found == secrets_of(gw).keys()


async def test_an_edge_with_swapped_keys_changes_nothing_for_a_client_that_pins_the_root(gw, tmp_path):
    evil = make_dev_setup(tmp_path / "evil", profile=RunProfile.PRODUCTION)  # a whole gateway of somebody else, of the same name
    public, edge = gw.setup.folder / "outer" / "public", gw.processes[ProcessRole.EDGE]
    kept = shutil.copytree(public, tmp_path / "kept")
    try:
        edge.stop()
        shutil.copytree(evil.folder / "keys" / "public", public, dirs_exist_ok=True)
        edge.start()
        edge.until_ready()
        served = await _served(gw, "/.well-known/jwks.json")
        assert served == await _served(gw, "/.well-known/jwks.json")
        theirs = jwks.read_jwks((evil.folder / "keys" / "public" / "gw-main.json").read_bytes(), gw.setup.gateway)
        receipt_key = next(entry for entry in theirs if entry.use is Use.RECEIPT)
        assert receipt_key.kid.encode() in served, "the edge does show the wrong keys"
        async with gw.client() as register:
            sent = gw.message()
            response = await register.submit(sent.sealed)
            assert receipt_of(register, response, sent).received.jti == sent.jti, "inner signed, whatever the edge shows"
        assert tokens.unwrap(response.body, {}, typ=tokens.RECEIPT, encrypted="allowed").kid != receipt_key.kid
        (root,) = jwks.read_jwks((gw.setup.kit_folder("gb-register") / "gateway.root.json").read_bytes(), gw.setup.gateway)
        with pytest.raises(RefusedInputError):
            read_keyset(await _served(gw, "/.well-known/gateway-keys.jwt"), root, now=SystemClock().now())
    finally:
        edge.stop()
        shutil.copytree(kept, public, dirs_exist_ok=True)
        edge.start()
        edge.until_ready()


async def _served(gw: Deployment, path: str) -> bytes:
    tls = ssl.create_default_context(cafile=gw.kit().ca_file)
    async with aiohttp.ClientSession() as session, session.get(gw.setup.origin + path, ssl=tls) as response:
        assert response.status == 200
        return await response.read()
