"""`gateway reload` on a real gateway: what was changed in files is in force with the next message, or nothing of it is."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.devsetup import REPOSITORY
from gateway.cli.main import app
from gateway.core.evidence import entries
from gateway.ops.settings import ProcessRole, load_settings
from gateway.stores.sqlite import SqliteStore
from tests.acceptance.deployment import FRANCE, REGISTER, Deployment, embedded

NOT_FRANCE = '@id("not-france")\nforbid (principal == Partner::"fr-police", action == Action::"send", resource);\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("served")
    policies = shutil.copytree(REPOSITORY / "policies", folder / "policies")
    with embedded(folder, settings={ProcessRole.EMBEDDED: {"paths": {"policies": str(policies)}}}) as deployment:
        yield deployment


@pytest.fixture
def one(served: Deployment) -> Iterator[Deployment]:
    """A running gateway. After the test its files are what they were."""
    folders = [policy(served).parent, served.setup.folder / "partners"]
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    yield served
    for folder in folders:
        for path in set(folder.iterdir()) - before.keys():
            path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    assert run(config(served)).exit_code == 0


def config(one: Deployment) -> Path:
    return one.setup.settings[ProcessRole.EMBEDDED]


def run(file: Path) -> Result:
    return CliRunner().invoke(app, ["reload", "--config", str(file)])


async def reload(one: Deployment) -> Result:
    """Run the command beside the loop of the test, as it has one of its own."""
    return await asyncio.to_thread(run, config(one))


def policy(one: Deployment) -> Path:
    return load_settings(config(one)).paths.policies / "ours.cedar"


async def refused(one: Deployment) -> set[str]:
    """Submit a notice about a journey to France, and return whom it does not go to."""
    async with one.client() as register:
        sent = one.message()
        assert (await register.submit(sent.sealed)).status == 202
        return {refusal["partner"] for refusal in (await register.status(sent.jti)).value["refusals"]}


async def configured(one: Deployment) -> list[entries.Config]:
    """Return what the log says about policies, profiles, keys and rules, in order."""
    store = SqliteStore(Path(one.database))
    try:
        async with store.reading() as work:
            raw = [entry for _, entry in [*await work.leaves(0, 10_000), *await work.staged(10_000)]]
    finally:
        await store.close()
    return [entry for entry in map(entries.decode, raw) if isinstance(entry, entries.Config)]


async def test_a_changed_policy_decides_the_next_message_and_is_evidence(one: Deployment) -> None:
    before = await configured(one)
    assert FRANCE not in await refused(one)
    policy(one).write_text(NOT_FRANCE, encoding="utf-8")
    assert FRANCE not in await refused(one), "nothing is in force before the reload"
    done = await reload(one)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "done\n", "")
    assert FRANCE in await refused(one)

    *_, last = await configured(one)
    (first,) = [entry for entry in before if entry.what == "policies" and entry.previous is None]
    assert (last.what, last.previous) == ("policies", first.digest)
    assert last.digest not in {first.digest, None}


async def test_a_reload_of_what_did_not_change_leaves_no_evidence(one: Deployment) -> None:
    before = await configured(one)
    assert (await reload(one)).exit_code == 0
    assert await configured(one) == before
    assert {entry.what for entry in before} >= {"policies", "profile", "operator", "key", "rules", "codes", "schemas"}


async def test_files_that_do_not_load_are_told_with_every_fault_and_change_nothing(one: Deployment) -> None:
    before = await configured(one)
    policy(one).write_text(NOT_FRANCE.replace("fr-police", "atlantis") + "\npermit (principal, action, resource);\n", encoding="utf-8")
    told = await reload(one)
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"{policy(one)}:1: unknown partner atlantis" in told.stderr
    assert f"{policy(one)}:4" in told.stderr, "the policy without an @id is told too"
    assert FRANCE not in await refused(one)

    policy(one).unlink()
    profile = one.setup.folder / "partners" / f"{FRANCE}.toml"
    profile.write_text(profile.read_text(encoding="utf-8").replace('country = "FR"', 'country = "XX"'), encoding="utf-8")
    told = await reload(one)
    assert told.exit_code == 1
    assert f"{profile}:3: country: unknown country XX" in told.stderr
    assert FRANCE not in await refused(one)
    assert await configured(one) == before


@pytest.mark.parametrize(
    ("partner", "before", "after", "told"),
    [
        pytest.param(FRANCE, "/events", "/elsewhere", "how partners are pushed to changed: restart", id="an-address"),
        pytest.param(REGISTER, "kafka_channel = false", "kafka_channel = true", "a channel needs the scaled-out form", id="a-channel"),
        pytest.param(
            REGISTER,
            'kind = "REGISTER"',
            f'client_certificates = ["{"0" * 64}"]\nkind = "REGISTER"',
            "whose client certificates",
            id="a-certificate",
        ),
    ],
)
async def test_what_would_be_in_force_by_half_is_refused(one: Deployment, partner: str, before: str, after: str, told: str) -> None:
    profile = one.setup.folder / "partners" / f"{partner}.toml"
    text = profile.read_text(encoding="utf-8")
    assert before in text
    profile.write_text(text.replace(before, after), encoding="utf-8")
    done = await reload(one)
    assert (done.exit_code, done.stdout) == (1, "")
    assert told in done.stderr


# --- nobody answers ---------------------------------------------------------------------------------------------------


def settings_with(folder: Path, where: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(f"[admin_listener]\n{where}\n", encoding="utf-8")
    return file


def test_without_a_running_gateway_nobody_answers(tmp_path: Path) -> None:
    done = run(settings_with(tmp_path, f"socket = {json.dumps(str(tmp_path / 'gw.sock'))}"))
    assert (done.exit_code, done.stdout) == (4, "")
    assert "no gateway answers" in done.stderr


def test_a_socket_nobody_listens_to_any_more_is_no_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "gw.sock"))
    assert run(settings_with(tmp_path, f"socket = {json.dumps(str(tmp_path / 'gw.sock'))}")).exit_code == 4


def test_settings_without_a_socket_are_at_fault(tmp_path: Path) -> None:
    done = run(settings_with(tmp_path, "port = 1"))
    assert done.exit_code == 1
    assert "admin_listener.socket: is missing" in done.stderr
