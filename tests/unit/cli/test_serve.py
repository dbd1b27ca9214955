"""`gateway serve`: what is wrong is told at once and in lines; what is right starts, says where it is, and stops when asked."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from urllib.error import URLError

import pytest
from typer.testing import CliRunner

from gateway.cli.devsetup import REPOSITORY, make_dev_setup, to_toml
from gateway.cli.main import app
from gateway.ops.settings import ProcessRole

SCALED_OUT = (ProcessRole.EDGE, ProcessRole.INNER, ProcessRole.COURIER)


@pytest.fixture
def setup(tmp_path):
    return make_dev_setup(tmp_path / "made")


@pytest.fixture
def config(setup):
    return setup.settings[ProcessRole.EMBEDDED]


def serve(*arguments):
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


def test_check_says_ok_and_leaves_no_database_behind(setup, config):
    result = serve("--config", config, "--check")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "ok"
    assert "profile dev, environment TEST" in result.stdout
    assert not (setup.folder / "gateway.db").exists()


def test_check_of_every_role_of_the_scaled_out_form(tmp_path):
    password = tmp_path / "password"
    password.touch(mode=0o600)
    bus = {"bus": {"kind": "kafka", "bootstrap": "localhost:1", "user": "u", "password_file": str(password)}}
    setup = make_dev_setup(
        tmp_path / "made", roles=SCALED_OUT, store_url="postgresql+asyncpg://u@localhost/none", settings=dict.fromkeys(SCALED_OUT, bus)
    )
    for role in SCALED_OUT:
        result = serve("--config", setup.settings[role], "--check")
        assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("more", [pytest.param(["--check"], id="a-check"), pytest.param([], id="a-start")])
def test_faults_of_every_kind_are_told_at_once(setup, config, more):
    policy = setup.folder / "policies"
    policy.mkdir()
    for path in (REPOSITORY / "policies").iterdir():
        (policy / path.name).write_bytes(path.read_bytes())
    with (policy / "travel.cedar").open("a") as file:
        file.write('\n@id("x")\npermit (principal == Partner::"nobody", action, resource);\n')
    config.write_text(config.read_text().replace(str(REPOSITORY / "policies"), str(policy)))
    profile = setup.folder / "partners" / "fr-police.toml"
    profile.write_text(profile.read_text().replace('"POLICE"', '"POLIZEI"'))
    next((setup.folder / "keys" / "private").glob("*.pem")).write_text("no key")
    (setup.folder / "keys" / "trust" / "es-police.json").write_text("{}")
    setup.certificate("gateway").write_text("no certificate")
    result = serve("--config", config, *more)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    for told in ("nobody", "POLIZEI", "es-police.json", ".pem: ", "tls_certificate"):
        assert any(told in line for line in lines), (told, lines)
    assert any(line.startswith(f"{profile}:") and line.split(":")[1].isdigit() for line in lines)
    assert any(line.startswith(f"{policy / 'travel.cedar'}:") for line in lines)
    assert "Traceback" not in result.stderr
    assert not (setup.folder / "gateway.db").exists()


def test_settings_that_are_wrong_name_file_line_and_what_would_be_right(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(to_toml({"profile": "dev", "environment": "PRODUCTION", "id": "GW", "tls": True, "admin_listener": {"port": "many"}}))
    result = serve("--config", config, "--check")
    assert result.exit_code == 1
    for line in ("2: environment: PRODUCTION is not for profile dev; ", "3: id: ", "4: tls: unknown key", "7: admin_listener.port: "):
        assert f"{config}:{line}" in result.stderr


def test_the_role_of_the_command_line_goes_over_the_file(config):
    result = serve("--config", config, "--role", "edge", "--check")
    assert result.exit_code == 1
    assert "bus.kind: memory does not fit role edge; kafka" in result.stderr


def test_an_unknown_role_is_usage(config):
    assert serve("--config", config, "--role", "outer").exit_code == 2


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = serve("--config", tmp_path / "none.toml")
    assert (result.exit_code, f"{tmp_path / 'none.toml'}: cannot be read" in result.stderr) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_when_asked(setup, config, number):
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline().strip() for _ in range(4)]
            assert until_ready(f"http://127.0.0.1:{setup.ports.admin[ProcessRole.EMBEDDED]}/readyz")
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "embedded, profile dev, environment TEST" in said[0]
    assert said[1] == "waived: nothing"
    assert setup.origin in said[2]
    assert out.strip() == "stopped"
    assert process.returncode == 0
    assert "Traceback" not in err


def until_ready(url, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 -- ours, on loopback
                return response.status == 200
        except URLError:
            time.sleep(0.1)
    return False


def test_an_end_that_is_overdue_is_said_and_has_a_code_of_its_own():
    overdue = (sys.executable, "-c", "from gateway.cli import serve; serve._end_now()")
    done = subprocess.run(overdue, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (70, "not ended in time: killed\n")
