"""A real PostgreSQL for tests, from the system's package: loopback, free port, throw-away data folder, fsync on.

`python -m tests.services.postgres` starts one and keeps it until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.services.processes import UnavailableError, free_port, stop, wait_for_port

USER = "gateway"


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """How to reach the server as its owner."""

    dsn: str = field(repr=False)  # postgresql://user:password@127.0.0.1:port/database
    pid: int = 0  # 0: not ours to stop
    folder: str = ""

    def database(self, name: str) -> str:
        """Return the address of another database on the same server."""
        return f"{self.dsn.rsplit('/', 1)[0]}/{name}"


def postgres_bin() -> Path:
    """Return the folder of `initdb` and `postgres`, the newest first. Raises `UnavailableError`."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]), reverse=True)
    if not versions and on_path is None:
        raise UnavailableError("PostgreSQL: no `initdb` on PATH nor in /usr/lib/postgresql/*/bin")
    return versions[0].parent if versions else Path(on_path or "").resolve().parent


def _other_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: return what makes a child run as the package's own user instead."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise UnavailableError("PostgreSQL: we are root and there is no user `postgres` to run it as") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgresServer:
    """One server in a folder of its own; can be stopped, killed and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "postgres.log"
        self.pid = 0
        self._password = secrets.token_urlsafe(18)
        self._bin = postgres_bin()
        self._as = _other_user()

    @property
    def settings(self) -> PostgresSettings:
        """How to reach it."""
        return PostgresSettings(f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/postgres", self.pid, str(self.folder))

    def initialise(self) -> None:
        """Make the data folder, owned by the user that will run the server."""
        secret = self.folder / "password"
        secret.write_text(self._password, encoding="utf-8")
        if self._as:
            for path in (self.folder, secret):
                os.chown(path, self._as["user"], self._as["group"])
        command = [str(self._bin / "initdb"), "-D", str(self.folder / "data"), "-U", USER, f"--pwfile={secret}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120, **self._as
        )
        secret.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stderr[-1500:]}")

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on",
            "max_connections": "200",
        }
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data")]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as
            )
        self.pid = process.pid
        process.returncode = 0  # collected by processes.alive: Popen must not warn about it
        wait_for_port(self.port, pid=self.pid, log=self.log)
        asyncio.run(_wait_until_ready(self.settings.dsn))

    def stop(self) -> None:
        """Stop it in order, without waiting for its clients (a "fast" shutdown)."""
        stop(self.pid, by=signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would."""
        stop(self.pid, by=signal.SIGQUIT)


async def _wait_until_ready(dsn: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
            except asyncpg.CannotConnectNowError:  # the port is open, recovery goes on
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return


async def create_database(settings: PostgresSettings) -> str:
    """Make an empty database and return its name."""
    name = f"test_{secrets.token_hex(6)}"
    await _as_owner(settings, f"CREATE DATABASE {name}")
    return name


async def drop_database(settings: PostgresSettings, name: str) -> None:
    """Drop a database, and whoever is still in it."""
    await _as_owner(settings, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _as_owner(settings: PostgresSettings, statement: str) -> None:
    connection = await asyncpg.connect(settings.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def postgres_service(folder: Path | None = None) -> Iterator[PostgresSettings]:
    """Start a server, stop it at the end. Raises `UnavailableError` where this machine cannot run one."""
    postgres_bin()
    with tempfile.TemporaryDirectory(prefix="gateway-postgres-", dir=folder) as name:
        server = PostgresServer(Path(name))
        server.initialise()
        try:
            server.start()
            yield server.settings
        finally:
            if server.pid:
                server.stop()


def main() -> None:
    """Run one until Ctrl-C and print how to reach it."""
    with postgres_service() as settings:
        print(f"dsn={settings.dsn}\npid={settings.pid}\nfolder={settings.folder}")  # noqa: T201
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
