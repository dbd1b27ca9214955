"""Two files of a database: the data opens nothing without the keys, and what is damaged or does not belong together is refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.stores.open import migrate
from gateway.stores.sqlite_backup import BackupError, check_file, put_together, read, take

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = b"\xa5\x5a" * 24


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    await migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        for number in range(50):
            add(connection, number)
        connection.commit()
    return path


def add(connection: sqlite3.Connection, number: int) -> None:
    key = f"{number:064x}"
    connection.execute("INSERT INTO subject (key, seq) VALUES (?, ?)", [key, number])
    connection.execute("INSERT INTO subject_key (key, epoch, wrapped) VALUES (?, 'kek-1', ?)", [key, SECRET + number.to_bytes(4, "big")])
    tried = "INSERT INTO attempt (partner, leg_id, jti, number, at, code) VALUES ('fr-police', ?, ?, 1, 0, 'delivered')"
    connection.execute(tried, [key, key])
    submitted = "INSERT INTO partner_key VALUES (?, 'fr-police', '{}', 't', 'approved', 's1', 'd', 0, 0, 'anna', NULL)"
    connection.execute(submitted, [key])
    connection.execute("INSERT INTO message_key (iss, jti, wrapped) VALUES ('gb-register', ?, ?)", [key, SECRET])


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(line for line in connection.iterdump() if "backup_info" not in line)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "data").mkdir()
    (tmp_path / "keys").mkdir()
    return tmp_path / "data" / "b.db", tmp_path / "keys" / "b.db"


def test_what_is_put_together_again_is_the_database_that_was_copied(database: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    made = take(database, *files, at=AT)
    assert (made.taken_at, dict(made.keys)) == (AT, {"subject_key": 50, "message_key": 50})
    put_together(read(*files), *files, target=tmp_path / "again.db")
    assert dump(tmp_path / "again.db") == dump(database)
    assert {path.stat().st_mode & 0o777 for path in (*files, tmp_path / "again.db")} == {0o600}


def test_no_byte_of_a_key_is_in_the_file_with_data_and_nothing_is_left_beside(database: Path, files: tuple[Path, Path]) -> None:
    data, keys = files
    take(database, data, keys, at=AT)
    assert SECRET in keys.read_bytes()
    assert SECRET not in data.read_bytes()
    assert [path.name for folder in (data.parent, keys.parent) for path in folder.iterdir()] == ["b.db", "b.db"]


def test_a_copy_is_one_state_while_somebody_writes(database: Path, files: tuple[Path, Path]) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            for number in range(1000, 100_000):
                if stop.is_set():
                    return
                add(connection, number)
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = take(database, *files, at=AT)
    finally:
        stop.set()
        writer.join()
    with closing(sqlite3.connect(files[0])) as connection:
        subjects = connection.execute("SELECT count(*) FROM subject").fetchone()[0]
    assert made.keys["subject_key"] == made.keys["message_key"] == subjects, "each subject came with its keys"


def test_progress_comes_to_its_end(database: Path, files: tuple[Path, Path]) -> None:
    told: list[tuple[int, int]] = []
    take(database, *files, at=AT, progress=lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1] > 0


@pytest.mark.parametrize("there", [0, 1])
def test_nothing_is_overwritten(database: Path, files: tuple[Path, Path], there: int) -> None:
    files[there].write_bytes(b"mine")
    with pytest.raises(BackupError, match="exists already"):
        take(database, *files, at=AT)
    assert files[there].read_bytes() == b"mine"
    assert not files[1 - there].exists()


def test_data_and_keys_in_one_file_are_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="two media"):
        take(database, tmp_path / "b.db", tmp_path / "." / "b.db", at=AT)


def test_a_target_that_is_there_stays(database: Path, files: tuple[Path, Path]) -> None:
    made, before = take(database, *files, at=AT), dump(database)
    with pytest.raises(BackupError, match="exists already"):
        put_together(made, *files, target=database)
    assert dump(database) == before


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[4096 * 2 : 4096 * 3] = bytes(reversed(raw[4096 * 2 : 4096 * 3]))
    path.write_bytes(raw)


def forget_a_key(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM subject_key WHERE rowid = 7")
        connection.commit()


def point_nowhere(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO refusal (message_iss, message_jti, position, roles, reason, because) VALUES ('a', 'b', 0, '[]', 'X', '[]')"
        )
        connection.commit()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 2 + 100])


def not_a_database(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def swap(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE backup_info")
        connection.commit()


SPOILT: dict[str, tuple[int, Callable[[Path], None]]] = {
    "a page of data": (0, damage),
    "a page of keys": (1, damage),
    "a key is gone": (1, forget_a_key),
    "a row that points nowhere": (0, point_nowhere),
    "a file that was cut": (0, cut),
    "no database": (1, not_a_database),
    "no backup": (0, swap),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_backup_that_was_spoilt_is_refused_and_its_file_named(database: Path, files: tuple[Path, Path], case: str) -> None:
    take(database, *files, at=AT)
    which, spoil = SPOILT[case]
    spoil(files[which])
    with pytest.raises(BackupError) as refused:
        read(*files)
    assert all(str(files[which]) in fault for fault in refused.value.faults)


def test_keys_of_another_backup_and_files_the_wrong_way_round_are_refused(database: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    take(database, *files, at=AT)
    take(database, tmp_path / "later", tmp_path / "later-keys", at=AT.replace(hour=13))
    with pytest.raises(BackupError, match="is of the backup of"):
        read(files[0], tmp_path / "later-keys")
    with pytest.raises(BackupError, match="holds the keys, and is given as the one with the data"):
        read(files[1], files[0])


def test_a_backup_of_nothing_leaves_nothing(tmp_path: Path, files: tuple[Path, Path]) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    for source in (tmp_path / "empty.db", tmp_path / "none.db"):
        with pytest.raises(BackupError):
            take(source, *files, at=AT)
    assert not any(path.exists() for path in files)


def test_a_damaged_database_in_use_is_told(database: Path) -> None:
    check_file(database)
    damage(database)
    with pytest.raises(BackupError, match="damaged"):
        check_file(database)
