"""What `gateway kafka setup --config` takes from settings and profiles. No broker is asked: see tests/integration/deploy."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.buses.kafka_plan import WAIVER
from gateway.cli import kafka
from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.cli.main import app
from gateway.contract.values import Environment
from gateway.ops.settings import ProcessRole, RunProfile
from tests.services.processes import free_port

ROLES = (ProcessRole.INNER, ProcessRole.EDGE)
REGISTER = "gb-register"


def secret(file: Path) -> Path:
    file.touch(mode=0o600)
    file.write_text("not-a-real-password\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> DevSetup:
    folder = tmp_path_factory.mktemp("kafka")
    bus = {"kind": "kafka", "bootstrap": f"127.0.0.1:{free_port()}", "user": "inner", "password_file": str(folder / "not-made-yet")}
    return make_dev_setup(
        folder / "made",
        roles=ROLES,
        profile=RunProfile.PRODUCTION,
        store_url="postgresql+asyncpg://gateway@database.invalid/gateway?ssl=verify-full",
        profiles={REGISTER: {"kafka_channel": True, "iat_age_seconds": 7200}, "fr-police": {"delivery": {"shard": "eu"}}},
        settings={role: {"bus": bus, "waivers": [WAIVER]} for role in ROLES},
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["kafka", "setup", *arguments])


@pytest.mark.parametrize("role", ROLES)
def test_channels_shards_environment_and_waivers_are_those_of_the_gateway_whichever_roles_settings_are_read(
    setup: DevSetup, role: ProcessRole, tmp_path: Path
) -> None:
    wish = kafka._of_settings(setup.settings[role], "admin", secret(tmp_path / "admin.password"), said=[])
    assert wish.shape.registers == {REGISTER: 7200}
    assert sorted(wish.shape.shards) == ["eu", "main"]
    assert (wish.environment, wish.waived) == (Environment.TEST, {WAIVER})
    assert (wish.access.user, wish.access.password, wish.access.security) == ("admin", "not-a-real-password", "SASL_SSL")


@pytest.mark.parametrize(
    "also",
    [("--register", "ie-register"), ("--shard", "eu"), ("--environment", "TEST"), ("--waive", WAIVER), ("--bootstrap", "other:9093")],
    ids=lambda also: also[0],
)
def test_what_the_settings_say_is_not_said_twice(setup: DevSetup, tmp_path: Path, also: tuple[str, str]) -> None:
    password = str(secret(tmp_path / "admin.password"))
    config = str(setup.settings[ProcessRole.INNER])
    result = run("--config", config, "--user", "admin", "--password-file", password, *also)
    assert result.exit_code == 2
    assert f"leave out {also[0]}" in " ".join(result.stderr.split())


def test_the_settings_of_the_embedded_form_have_no_broker(tmp_path: Path) -> None:
    setup = make_dev_setup(tmp_path / "made", partners=["gb-register", "gb-police"])
    result = run("--config", str(setup.settings[ProcessRole.EMBEDDED]), "--user", "admin", "--password-file", str(secret(tmp_path / "p")))
    assert result.exit_code == 1
    assert "bus.kind: memory does not fit role inner; kafka" in result.stderr


def test_an_administrators_password_that_others_can_read_is_refused(setup: DevSetup, tmp_path: Path) -> None:
    password = secret(tmp_path / "admin.password")
    password.chmod(0o644)
    result = run("--config", str(setup.settings[ProcessRole.INNER]), "--user", "admin", "--password-file", str(password))
    assert result.exit_code == 1
    assert "bus.password_file: can be read by others" in result.stderr


def test_one_copy_takes_a_waiver_of_the_settings(setup: DevSetup, tmp_path: Path) -> None:
    text = setup.settings[ProcessRole.INNER].read_text(encoding="utf-8")
    strict = tmp_path / "inner.toml"
    strict.write_text(text.replace(f'["{WAIVER}"]', "[]"), encoding="utf-8")
    password = str(secret(tmp_path / "admin.password"))
    result = run("--config", str(strict), "--user", "admin", "--password-file", password, "--replicas", "1", "--in-sync", "1")
    assert result.exit_code == 2
    assert "loses acknowledged records" in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [(), ("--bootstrap", "127.0.0.1:1"), ("--user", "admin")])
def test_without_settings_the_broker_and_the_administrator_are_named(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "--config, or --bootstrap" in " ".join(result.stderr.split())
