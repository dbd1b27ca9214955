"""docker-compose.yml, as the reference implementation of the compose specification reads it: valid, pinned, and each secret with one role.

No container engine is needed: the foreign loader checks the schema and resolves every reference.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.ops.settings import load_settings
from tests.services.fixtures import not_to_be_had

ROOT = Path(__file__).parents[3]
LOADER = ROOT / "tests" / "foreign" / "compose"
ROLES = ("inner", "edge", "courier")
OUTER = ("edge", "courier")
CONTENT = {"content_keys", "postgres_password", "postgres_tls_key"}  # what opens content, or the database that holds it
Service = dict[str, Any]


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin:/usr/local/bin:/usr/bin:/bin")
    if go is None:
        not_to_be_had("compose loader: no `go` to build it with")
    program = tmp_path_factory.mktemp("compose") / "composecheck"
    built = subprocess.run([go, "build", "-o", str(program), "."], cwd=LOADER, capture_output=True, text=True, check=False, timeout=900)
    if built.returncode != 0:
        not_to_be_had(f"compose loader: could not be built: {built.stderr[-500:]}")
    return program


def load(loader: Path, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([loader, str(file)], capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/bin"})


@pytest.fixture(scope="session")
def project(loader: Path) -> dict[str, Any]:
    loaded = load(loader, ROOT / "docker-compose.yml")
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, Any] = json.loads(loaded.stdout)
    return found


@pytest.fixture(scope="session")
def services(project: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = project["services"]
    return found


def test_all_parts_of_the_scaled_out_form_are_there(services: dict[str, Service]) -> None:
    assert set(services) == {"kafka", "kafka-setup", "postgres", "migrate", *ROLES}
    for role in ROLES:
        assert services[role]["command"][:3] == ["serve", "--role", role]


def test_every_image_is_pinned_to_a_full_version(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-[a-z-]+", base) for base in bases)


def test_neither_edge_nor_courier_gets_a_content_key_or_the_database(services: dict[str, Service]) -> None:
    for role in OUTER:
        assert not CONTENT & set(services[role]["secrets"]), role
        assert "database" not in services[role]["networks"], role
    assert CONTENT & set(services["inner"]["secrets"]) == {"content_keys", "postgres_password"}


def test_inner_gets_no_transport_credentials_and_no_server_key(services: dict[str, Service]) -> None:
    assert not {"transport_credentials", "edge_tls_key"} & set(services["inner"]["secrets"])
    assert "outside" not in services["inner"]["networks"]


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("content_keys", {"inner"}),
        ("postgres_password", {"inner", "migrate", "postgres"}),
        ("postgres_tls_key", {"postgres"}),
        ("transport_credentials", {"courier"}),
        ("edge_tls_key", {"edge"}),
        ("kafka_admin_password", {"kafka", "kafka-setup"}),
        ("kafka_server_pem", {"kafka"}),
        ("kafka_edge_password", {"edge", "kafka-setup"}),
        ("kafka_inner_password", {"inner", "kafka-setup"}),
        ("kafka_courier_main_password", {"courier", "kafka-setup"}),
        ("kafka_register_gb_password", {"kafka-setup"}),
    ],
)
def test_a_secret_is_held_by_those_who_need_it_alone(services: dict[str, Service], secret: str, holders: set[str]) -> None:
    assert {name for name, service in services.items() if secret in service["secrets"]} == holders


def test_every_declared_secret_comes_from_the_ignored_folder_and_is_used(project: dict[str, Any], services: dict[str, Service]) -> None:
    used = {secret for service in services.values() for secret in service["secrets"]}
    assert used == set(project["secrets"])
    folder = ROOT / "deploy" / "secrets"
    assert all(Path(file).is_relative_to(folder) for file in project["secrets"].values())
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_no_secret_stands_in_an_environment_or_a_command(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for variable, value in service["environment"].items():
            if re.search(r"PASSWORD|SECRET|KEY|TOKEN", variable):
                assert value.startswith("/run/secrets/"), (name, variable)
        assert not re.search(r"--password[ =]", " ".join(service["command"] or [])), name


def test_only_the_edge_is_reached_from_outside_and_the_broker_alone_joins_the_zones(
    project: dict[str, Any], services: dict[str, Service]
) -> None:
    assert {name for name, service in services.items() if service["published"]} == {"edge"}
    assert sorted(project["internal"]) == ["bus", "database"]
    assert {name for name, service in services.items() if "database" in service["networks"]} == {"inner", "migrate", "postgres"}
    assert services["kafka"]["networks"] == ["bus"]


def test_our_containers_have_no_rights_and_every_server_says_how_it_is(services: dict[str, Service]) -> None:
    for name in (*ROLES, "migrate", "kafka-setup"):
        assert (services[name]["read_only"], services[name]["cap_drop"], services[name]["privileged"]) == (True, ["ALL"], False)
    assert {name for name, service in services.items() if service["healthcheck"]} == {"kafka", "postgres", *ROLES}


def test_every_file_that_is_mounted_is_in_the_repository() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for path in re.findall(r"\./(deploy/(?!secrets)\S+?)[}\s]", text):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("source: postgres_password", "source: postgres_pasword", id="a-secret-that-is-not-declared"),
        pytest.param("networks: [database]", "networks: [databse]", id="a-network-that-is-not-declared"),
        pytest.param("restart: unless-stopped", "restarts: unless-stopped", id="a-word-that-compose-does-not-know"),
        pytest.param("kafka: {condition: service_healthy}", "kafkas: {condition: service_healthy}", id="a-service-that-is-not-there"),
    ],
)
def test_the_loader_refuses_a_broken_file(loader: Path, tmp_path: Path, before: str, after: str) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert before in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(before, after), encoding="utf-8")
    assert load(loader, broken).returncode == 1


@pytest.mark.parametrize("role", ROLES)
def test_the_shipped_settings_of_each_role_are_without_fault(
    services: dict[str, Service], role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(text: str) -> str:
        return re.sub(r"/(run|app|etc)/", lambda found: f"{tmp_path}/{found[1]}/", text)

    for folder in ("run/secrets", "app/schemas", "etc/gateway/policies", "etc/gateway/partners", "etc/gateway/keys/public"):
        (tmp_path / folder).mkdir(parents=True)
    for target in services[role]["secrets"].values():
        if not target.startswith("/"):
            (tmp_path / "run/secrets" / target).touch(mode=0o600)
    settings = tmp_path / "gateway.toml"
    settings.write_text(here((ROOT / "deploy" / "gateway.toml").read_text(encoding="utf-8")), encoding="utf-8")
    for name, value in services[role]["environment"].items():
        monkeypatch.setenv(name, here(value))
    loaded = load_settings(settings)
    assert (loaded.role, loaded.profile, loaded.environment) == (role, "production", "TEST")
    assert bool(loaded.store.url.get_secret_value()) == (role == "inner")
