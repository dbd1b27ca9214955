"""`gateway db` says in words what it found, and its exit code says whether that is good."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.db import app
from gateway.stores.tables import SCHEMA_VERSION


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_new_database_is_migrated_and_then_fits(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    assert run("migrate", "--url", url) == (0, f"the database has schema version {SCHEMA_VERSION}\n", "")
    fits = f"the database answers and fits this program (schema version {SCHEMA_VERSION})\n"
    assert run("check", "--url", url, "--quick") == (0, fits, "")
    whole = "the file is whole: pages, indexes, references between rows\nthe log has no entry yet\n"
    assert run("check", "--url", url) == (0, fits + whole, "")
    assert run("migrate", "--url", url)[0] == 0


def test_a_database_that_does_not_fit_is_exit_code_1_and_says_what_to_do(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    code, out, err = run("check", "--url", f"sqlite:///{tmp_path}/empty.db")
    assert (code, out) == (1, "")
    assert "run `gateway db migrate`" in err


def test_a_write_lock_of_a_running_gateway_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    run("migrate", "--url", url)
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, _, err = run("migrate", "--url", url)
    assert code == 1
    assert "write lock" in err


def test_the_address_comes_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.db")
    assert run("migrate")[0] == 0


def settings(folder: Path, url: str) -> str:
    """Write the settings of a database and of nothing else."""
    file = folder / "gateway.toml"
    file.write_text(f'[store]\nurl = "{url}"\n', encoding="utf-8")
    return str(file)


def test_the_address_comes_from_the_gateways_settings_and_no_other_of_them_is_needed(tmp_path: Path) -> None:
    config = settings(tmp_path, f"sqlite:///{tmp_path}/gateway.db")
    assert run("check", "--config", config)[0] == 1
    assert run("migrate", "--config", config) == (0, f"the database has schema version {SCHEMA_VERSION}\n", "")
    assert run("check", "--config", config)[0] == 0
    assert (tmp_path / "gateway.db").is_file()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("postgresql+asyncpg://gw:geheim@localhost/gw", "store.url: holds a password", id="a-password-in-the-address"),
        pytest.param("postgresql+asyncpg://gw@db.invalid/gw", "reaches another machine without TLS", id="no-tls"),
        pytest.param("mysql://localhost/gw", "is of no database we know", id="another-database"),
    ],
)
def test_unsafe_settings_of_the_database_are_refused_before_it_is_asked(tmp_path: Path, url: str, told: str) -> None:
    code, out, err = run("migrate", "--config", settings(tmp_path, url))
    assert (code, out) == (1, "")
    assert f"gateway.toml:2: store.url: {told.removeprefix('store.url: ')}" in err
    assert "geheim" not in err


@pytest.mark.parametrize("arguments", [(), ("--url", "sqlite:///x.db", "--config", "gateway.toml")])
def test_the_database_is_named_once(arguments: tuple[str, ...]) -> None:
    code, _, err = run("migrate", *arguments)
    assert code == 2
    assert "one of --url and --config" in " ".join(err.split())


@pytest.mark.parametrize("url", ["gateway.db", "mysql://host/x"])
def test_another_address_is_refused_with_what_would_be_right(url: str) -> None:
    code, _, err = run("migrate", "--url", url)
    assert code == 1
    assert "sqlite:///PATH or postgresql://" in err


def test_a_backup_of_postgresql_says_how_it_is_done(tmp_path: Path) -> None:
    code, _, err = run("backup", str(tmp_path / "data"), "--keys", str(tmp_path / "keys"), "--url", "postgresql://u@localhost/d")
    assert code == 1
    assert "pg_dump" in err
    assert not (tmp_path / "data").exists()


def test_a_backup_tells_what_it_wrote_and_warns_of_keys_beside_the_data(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    run("migrate", "--url", url)
    code, out, err = run("backup", str(tmp_path / "data"), "--keys", str(tmp_path / "keys"), "--url", url)
    assert (code, out.count("sha256")) == (0, 2)
    assert "0 rows of subject_key" in out
    assert "another medium" in err
    code, _, err = run("backup", str(tmp_path / "data"), "--keys", str(tmp_path / "keys2"), "--url", url)
    assert (code, err) == (1, f"{tmp_path / 'data'}: exists already; nothing was written\n")


def test_a_damaged_database_is_exit_code_1_and_named(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/gateway.db", tmp_path / "gateway.db"
    run("migrate", "--url", url)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO refusal (message_iss, message_jti, position, roles, reason, because) VALUES ('a', 'b', 0, '[]', 'X', '[]')"
        )
        connection.commit()
    code, _, err = run("check", "--url", url)
    assert code == 1
    assert f"{path}: refusal, row 1: points at a row of message that is not there" in err
    assert run("check", "--url", url, "--quick")[0] == 0


@pytest.mark.parametrize("command", ["restore", "reopen"])
def test_a_restore_is_told_what_was_found_outside_or_that_nothing_was(tmp_path: Path, command: str) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'id = "gw-main"\n[store]\nurl = "sqlite:///{tmp_path}/gateway.db"\n', encoding="utf-8")
    files = [str(tmp_path / "data"), "--keys", str(tmp_path / "keys")] if command == "restore" else []
    if files:
        run("migrate", "--url", f"sqlite:///{tmp_path}/other.db")
        run("backup", *files, "--url", f"sqlite:///{tmp_path}/other.db")
    given = ("--config", str(config), "--old-log", str(tmp_path / "old"), "--report", str(tmp_path / "report.json"))
    code, _, err = run(command, *files, *given)
    assert code == 2
    assert "--nothing-outside" in err
    assert run(command, *files, *given, "--nothing-outside", "--events", str(tmp_path / "events"))[0] == 2
    assert not (tmp_path / "gateway.db").exists()
