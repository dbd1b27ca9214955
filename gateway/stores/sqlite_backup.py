"""A SQLite database as two files: the data, and apart from it the keys that open them. And the two as one database again.

A copy of the data alone opens nothing, for ever: whoever destroys a key and its copies ends what lies under it, in every backup of data
too. So the two files belong on two media, and the one with keys is kept no longer than erasure may take.

The copy is SQLite's own online backup inside one read transaction: one state of everything, whatever the gateway writes meanwhile. It is
made beside the file with keys; the file with data is written anew from it (`VACUUM INTO`), so that no page of it ever held a key.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.contract.errors import OperatorError
from gateway.stores.sqlite import WORDS
from gateway.stores.tables import SCHEMA_VERSION, lease, message_key, subject_key

KEY_TABLES: Final = (subject_key.name, message_key.name)
INFO: Final = "backup_info"
PAGES_AT_ONCE: Final = 256
FAULTS_COUNT_MAX: Final = 20
_CHUNK_BYTES: Final = 1024 * 1024
_INFO_NAMES: Final = frozenset({"id", "part", "taken_at", "schema", *(f"count.{table}" for table in KEY_TABLES)})
Progress = Callable[[int, int], None]  # done, of


class BackupError(OperatorError):
    """A backup that cannot be made, or must not be used. `faults` say why, and nothing of it was kept."""

    def __init__(self, *faults: str) -> None:
        """Keep all faults."""
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Backup:
    """Two files that belong together, and have been read again after they were written."""

    id: str
    taken_at: datetime
    schema: int
    keys: Mapping[str, int]  # key table → rows
    digests: Mapping[Path, str]  # hex SHA-256 of each file


def take(source: Path, data: Path, keys: Path, *, at: datetime, progress: Progress | None = None) -> Backup:
    """Copy a database, which may be in use, into a file of data and one of keys; read both again. Overwrites nothing.

    Raises `BackupError`; then neither file is there.
    """
    _refuse_there(data, keys)
    if not source.is_file():
        raise BackupError(f"{source}: there is no database")
    draft = keys.with_name(f".{keys.name}.{secrets.token_hex(4)}.draft")
    with _removed_after(draft), _removed_on_failure() as made, _words(source):
        _new_file(draft)
        _copy(source, draft, progress)
        info = {"id": secrets.token_hex(16), "taken_at": at.isoformat(), **_counts(draft)}
        made.append(_new_file(keys))
        _part_keys(draft, keys, info)
        made.append(_new_file(data))
        _part_data(draft, data, info)
        backup = read(data, keys)
        for path in (data, keys):
            _sync(path)
    return backup


def read(data: Path, keys: Path) -> Backup:
    """Return what two files hold, each checked from end to end. Raises `BackupError`: damaged, or not of one backup."""
    missing = [f"{path}: there is no such file" for path in (data, keys) if not path.is_file()]
    if missing:
        raise BackupError(*missing)
    infos = {}
    for path, part in ((data, "data"), (keys, "keys")):
        with _words(path), closing(_open(path)) as connection:
            infos[part] = _read_info(connection, path, part)
            damage = list(damages(connection))
            if damage:
                raise BackupError(*(f"{path}: {fault}" for fault in damage))
            _check_tables(connection, path, infos[part])
    if infos["data"]["id"] != infos["keys"]["id"]:
        raise BackupError(f"{keys}: is of the backup of {infos['keys']['taken_at']}, {data} of that of {infos['data']['taken_at']}")
    info = infos["data"]
    return Backup(
        id=info["id"], taken_at=datetime.fromisoformat(info["taken_at"]), schema=int(info["schema"]),
        keys={table: int(info[f"count.{table}"]) for table in KEY_TABLES}, digests={path: _digest(path) for path in (data, keys)},
    )  # fmt: skip


def put_together(backup: Backup, data: Path, keys: Path, *, target: Path, progress: Progress | None = None) -> None:
    """Make one database of the two files of a backup that `read` found good. `target` must not exist. Raises `BackupError`."""
    _refuse_there(target, target.with_name(target.name + "-wal"), target.with_name(target.name + "-shm"))
    with _removed_on_failure() as made, _words(target):
        made.append(_new_file(target))
        _copy(data, target, progress)
        with closing(_open(target, writes=True)) as connection:
            connection.execute("ATTACH ? AS keys", (_uri(keys),))
            connection.execute("BEGIN IMMEDIATE")
            for table in KEY_TABLES:
                columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
                connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM keys.{table}")  # noqa: S608 -- our own names
            connection.execute(f"DROP TABLE main.{INFO}")
            connection.execute(f"DELETE FROM main.{lease.name}")  # noqa: S608 -- our own name; whoever held one worked on another file
            connection.execute("COMMIT")
            connection.execute("DETACH keys")
            damage = [*damages(connection), *_miscounted(connection, backup.keys)]
        if damage:
            raise BackupError(*(f"{target}: {fault}" for fault in damage))
        _sync(target)


def damages(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what SQLite itself finds wrong with a file: pages, indexes, constraints, rows that point at nothing."""
    for (found,) in connection.execute(f"PRAGMA integrity_check({FAULTS_COUNT_MAX})"):
        if found != "ok":
            yield f"is damaged: {found}"
    for number, (table, row, parent, _) in enumerate(connection.execute("PRAGMA foreign_key_check")):
        if number >= FAULTS_COUNT_MAX:
            break
        yield f"{table}, row {row}: points at a row of {parent} that is not there"


def check_file(path: Path) -> None:
    """Say that a database, which may be in use, is whole. Raises `BackupError` with what SQLite finds wrong."""
    with _words(path), closing(_open_used(path)) as connection:
        faults = [f"{path}: {fault}" for fault in damages(connection)]
    if faults:
        raise BackupError(*faults)


# --- the parts --------------------------------------------------------------------------------------------------------


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy all pages as they are at one moment: the read transaction holds that state, so the copy never starts again."""

    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    with closing(_open_used(source)) as reader, closing(_open(target, writes=True)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reader.backup(writer, pages=PAGES_AT_ONCE, progress=told, sleep=0)
        writer.execute("PRAGMA journal_mode=DELETE")


def _counts(draft: Path) -> dict[str, str]:
    with closing(_open(draft)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"meta", *KEY_TABLES} <= names:
            raise BackupError("is no database of a gateway; run `gateway db migrate` on a new one")
        schema = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0]
        counts = {f"count.{table}": str(_count(connection, table)) for table in KEY_TABLES}
    return {"schema": str(schema), **counts}


def _part_keys(draft: Path, keys: Path, info: Mapping[str, str]) -> None:
    with closing(_open(keys, writes=True)) as connection:
        connection.execute("ATTACH ? AS whole", (_uri(draft),))
        connection.execute("BEGIN")
        for table in KEY_TABLES:
            (made,) = connection.execute("SELECT sql FROM whole.sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
            connection.execute(made)
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM whole.{table}")  # noqa: S608 -- our own names
        _write_info(connection, {**info, "part": "keys"})
        connection.execute("COMMIT")


def _part_data(draft: Path, data: Path, info: Mapping[str, str]) -> None:
    with closing(_open(draft, writes=True)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in KEY_TABLES:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- our own names
        _write_info(connection, {**info, "part": "data"})
        connection.execute("COMMIT")
        connection.execute("VACUUM INTO ?", (str(data),))


def _write_info(connection: sqlite3.Connection, info: Mapping[str, str]) -> None:
    connection.execute(f"CREATE TABLE main.{INFO} (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.executemany(f"INSERT INTO main.{INFO} VALUES (?, ?)", sorted(info.items()))  # noqa: S608 -- our own name


def _read_info(connection: sqlite3.Connection, path: Path, part: str) -> dict[str, str]:
    try:
        info = dict(connection.execute(f"SELECT name, value FROM {INFO}"))  # noqa: S608 -- our own name
    except sqlite3.OperationalError:
        info = {}
    if info.keys() != _INFO_NAMES:
        raise BackupError(f"{path}: is no file of a backup that `gateway db backup` made")
    if info["part"] != part:
        raise BackupError(f"{path}: holds the {info['part']}, and is given as the one with the {part}")
    if int(info["schema"]) > SCHEMA_VERSION:
        raise BackupError(f"{path}: has schema version {info['schema']}, this program knows {SCHEMA_VERSION}: install a newer one")
    return info


def _check_tables(connection: sqlite3.Connection, path: Path, info: Mapping[str, str]) -> None:
    wanted = {table: int(info[f"count.{table}"]) if info["part"] == "keys" else 0 for table in KEY_TABLES}
    faults = list(_miscounted(connection, wanted))
    if faults:
        raise BackupError(*(f"{path}: {fault}" for fault in faults))


def _miscounted(connection: sqlite3.Connection, wanted: Mapping[str, int]) -> Iterator[str]:
    for table, count in wanted.items():
        found = _count(connection, table)
        if found != count:
            yield f"{table} has {found} rows, not {count}"


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 -- our own names


# --- files ------------------------------------------------------------------------------------------------------------


def _open(path: Path, *, writes: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path, "rw" if writes else "ro"), uri=True, isolation_level=None, timeout=10)
    for pragma in ("secure_delete=ON", "trusted_schema=OFF", "temp_store=MEMORY", "synchronous=EXTRA"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _open_used(path: Path) -> sqlite3.Connection:
    """Open a database that others may use, to read: as a writer, so that the last to close leaves no empty write-ahead log behind."""
    connection = _open(path, writes=True)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _uri(path: Path, mode: str = "ro") -> str:
    return f"{path.resolve().as_uri()}?mode={mode}"


def _new_file(path: Path) -> Path:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise BackupError(f"{path}: {exc.strerror}") from exc
    return path


def _refuse_there(*paths: Path) -> None:
    there = [f"{path}: exists already; nothing was written" for path in paths if path.exists()]
    if there:
        raise BackupError(*there)
    if len({path.resolve() for path in paths}) != len(paths):
        raise BackupError("data and keys are one file: they belong on two media")


def _sync(path: Path) -> None:
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _removed_after(draft: Path) -> Iterator[None]:
    """Leave nothing of a draft that held keys and data together: overwritten, then gone."""
    try:
        yield
    finally:
        if draft.exists():
            with draft.open("r+b") as file:
                for _ in range(0, draft.stat().st_size, _CHUNK_BYTES):
                    file.write(bytes(_CHUNK_BYTES))
                file.flush()
                os.fsync(file.fileno())
        for path in (draft, *(draft.with_name(draft.name + suffix) for suffix in ("-journal", "-wal", "-shm"))):
            path.unlink(missing_ok=True)


@contextmanager
def _removed_on_failure() -> Iterator[list[Path]]:
    """Give a list of files made here, which are gone again unless all went well."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in made:
            for each in (path, path.with_name(path.name + "-journal")):
                each.unlink(missing_ok=True)
        raise


@contextmanager
def _words(path: Path) -> Iterator[None]:
    """Say in words what SQLite and the disk say in codes."""
    try:
        yield
    except sqlite3.Error as exc:
        name = getattr(exc, "sqlite_errorname", "") or ""
        words = next((words for code, words in WORDS.items() if name.startswith(code)), f"SQLite says {name or type(exc).__name__}")
        raise BackupError(f"{path}: {words}") from exc
    except OSError as exc:
        raise BackupError(f"{exc.filename or path}: {exc.strerror}") from exc
