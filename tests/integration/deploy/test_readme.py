"""deploy/README.md, followed to the letter: its commands make every file that docker-compose.yml mounts, and each role would start with them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.testing.certificates import Authority

ROOT = Path(__file__).parents[3]
BASH = shutil.which("bash") or "/bin/bash"
NOT_OURS = {"deploy/secrets/edge.key", "deploy/secrets/edge.pem"}  # of an authority that partners trust


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the repository has, after the README's commands."""
    if shutil.which("openssl") is None:
        pytest.skip("no `openssl` on PATH")
    folder = tmp_path_factory.mktemp("followed")
    for name in ("deploy", "partners", "policies", "keys"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("secrets", "private", "public", "root", "dev"))
    (folder / "keys" / "trust").mkdir(exist_ok=True)
    shutil.copy(ROOT / "docker-compose.yml", folder)
    (folder / "bin").mkdir()
    program = folder / "bin" / "gateway"
    program.write_text(f'#!{BASH}\nexec "{sys.executable}" -m gateway.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (commands,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "deploy" / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"ID": "example-gateway", "ROOT_KEY_MEDIUM": str(folder / "medium")}
    done = subprocess.run([BASH, "-euc", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    return folder


def mounted() -> dict[str, str]:
    """Return the files of all secrets, by name, relative to the repository."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return {name: secret["file"].removeprefix("./") for name, secret in compose["secrets"].items()}


def test_every_secret_is_made_and_for_its_owners_eyes_only(followed: Path) -> None:
    for file in set(mounted().values()) - NOT_OURS:
        path = followed / file
        assert path.exists(), file
        for each in (path, *path.rglob("*")):
            assert not stat.S_IMODE(each.stat().st_mode) & 0o077, each
    assert list((followed / "medium").glob("root-*.pem")), "the root key is on its medium"
    assert not list((followed / "deploy" / "secrets").rglob("root-*"))


def test_the_table_of_files_is_that_of_the_mounted_secrets() -> None:
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for file in mounted().values():
        assert re.search(rf"`(\w+/)?{re.escape(Path(file).name)}/?`", text), file


@pytest.mark.parametrize(("host", "file"), [("kafka", "kafka/server.pem"), ("postgres", "postgres/server.pem")])
def test_the_certificates_are_those_clients_will_believe(followed: Path, host: str, file: str) -> None:
    secrets = followed / "deploy" / "secrets"
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(secrets / "kafka" / "ca.pem"), "-verify_hostname"]
    assert subprocess.run([*verify, host, str(secrets / file)], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*verify, "elsewhere", str(secrets / file)], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("role", ["inner", "edge", "courier"])
def test_each_role_would_start_with_its_own_files(followed: Path, role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"][role]
    _mount(followed, service, tmp_path)
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, _here(value, tmp_path))
    config = tmp_path / "gateway.toml"
    config.write_text(_here((ROOT / "deploy" / "gateway.toml").read_text(encoding="utf-8"), tmp_path), encoding="utf-8")
    result = CliRunner().invoke(app, ["serve", "--check", *service["command"].split()[1:3], "--config", str(config)])
    assert result.exit_code == 0, result.stderr
    assert "waived: kafka-in-sync-replicas" in result.stdout


def _here(text: str, place: Path) -> str:
    return re.sub(r"/(run|app|etc)/", lambda found: f"{place}/{found[1]}/", text)


def _mount(followed: Path, service: dict[str, object], place: Path) -> None:
    """Lay out what a container of the service sees, and what section 1 asks the operator for."""
    files = {name: followed / file for name, file in mounted().items()}
    (place / "app").mkdir()
    (place / "app" / "schemas").symlink_to(ROOT / "schemas")
    authority = Authority("Example authority")
    edge = authority.issue(place / "edge-both.pem", "gateway.example", hosts=("gateway.example",))
    files |= {"edge_tls_key": edge, "edge_tls_certificate": edge}
    for secret in service["secrets"]:  # type: ignore[attr-defined]  # as the file has it
        target = Path(f"{place}{secret['target']}") if secret["target"].startswith("/") else place / "run" / "secrets" / secret["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(files[secret["source"]])
    for volume in service["volumes"]:  # type: ignore[attr-defined]  # same
        source, target, _ = volume.split(":")
        Path(f"{place}{target}").parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(followed / source, f"{place}{target}")
    for profile in (place / "etc" / "gateway" / "partners").glob("*.toml"):
        text = profile.read_text(encoding="utf-8")
        profile.write_text(text.replace("keys/dev/tls-ca.pem", f"{place}/etc/gateway/transports/{profile.stem}.pem"), encoding="utf-8")
        if (place / "etc" / "gateway" / "transports").exists():
            authority.write(place / "etc" / "gateway" / "transports" / f"{profile.stem}.pem")
