"""The database's address as settings have it, over TLS to a real PostgreSQL: `verify-full` means what it says."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from tests.services.certificates import make_certificates
from tests.services.fixtures import not_to_be_had
from tests.services.postgres import PostgresServer
from tests.services.processes import UnavailableError

pytestmark = pytest.mark.services


@dataclass(frozen=True, slots=True)
class Database:
    """A server that takes TLS alone, whose certificate is for localhost and 127.0.0.1."""

    port: int
    ca: Path
    password: str


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="gateway-tls-") as name:  # not under pytest's: the server's user gets through here
        folder = Path(name)
        ca, both = make_certificates(folder, "postgres")
        try:
            server = PostgresServer(folder)
        except UnavailableError as exc:
            not_to_be_had(str(exc))
        server.initialise()
        data = folder / "data"
        certificate = data / "server.pem"
        certificate.touch(mode=0o600)
        certificate.write_bytes(both.read_bytes())
        shutil.chown(certificate, data.stat().st_uid, data.stat().st_gid)
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n")
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        server.start()
        try:
            yield Database(server.port, ca, server.settings.dsn.split(":")[2].rpartition("@")[0])
        finally:
            server.stop()


def check(folder: Path, database: Database, *, host: str = "localhost", query: str, password: str | None = None) -> Result:
    """Run `gateway db migrate` with an address, and the password in a file."""
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(f"{password or database.password}\n", encoding="utf-8")
    config = folder / "gateway.toml"
    url = f"postgresql+asyncpg://gateway@{host}:{database.port}/postgres{query}"
    config.write_text(f'[store]\nurl = "{url}"\npassword_file = "{secret}"\n', encoding="utf-8")
    return CliRunner().invoke(app, ["db", "migrate", "--config", str(config)])


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_with_the_right_certificate_is_believed(tmp_path: Path, database: Database, mode: str) -> None:
    done = check(tmp_path, database, query=f"?ssl={mode}&sslrootcert={database.ca}")
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_authority_may_stand_in_the_environment(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(database.ca))
    assert check(tmp_path, database, query="?ssl=verify-full").exit_code == 0


def test_a_server_of_another_authority_is_not_believed(tmp_path: Path, database: Database) -> None:
    other, _ = make_certificates(tmp_path, "postgres")
    refused = check(tmp_path, database, query=f"?ssl=verify-full&sslrootcert={other}")
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_a_server_of_another_name_is_believed_by_verify_ca_and_not_by_verify_full(tmp_path: Path, database: Database) -> None:
    other = "127.1"  # the same machine; a name that is not in its certificate
    assert check(tmp_path, database, host=other, query=f"?ssl=verify-ca&sslrootcert={database.ca}").exit_code == 0
    assert check(tmp_path, database, host=other, query=f"?ssl=verify-full&sslrootcert={database.ca}").exit_code == 1


def test_a_server_that_takes_no_plain_connection_refuses_one(tmp_path: Path, database: Database) -> None:
    assert check(tmp_path, database, query="?ssl=disable").exit_code == 1


def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path, database: Database) -> None:
    refused = check(tmp_path, database, query=f"?ssl=verify-full&sslrootcert={database.ca}", password="wrong/p@ss:word")
    assert refused.exit_code == 1
    assert "it refuses our user or password" in refused.stderr
    assert "p@ss" not in refused.stderr
    assert "p%40ss" not in refused.stderr
