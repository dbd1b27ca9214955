"""The migrations make exactly the tables that the code knows, and each says when it may run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from gateway.app.ports import StoreUnavailableError
from gateway.stores.schema import MIGRATIONS, found_version, refuse_older, upgrade
from gateway.stores.tables import SCHEMA_VERSION, metadata


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def test_a_migrated_database_has_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    with engine.begin() as connection:
        upgrade(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_migrated_database_has_the_indexes_of_the_code_with_their_conditions(tmp_path: Path) -> None:
    found = {}
    for name in ("migrated", "made"):
        engine = create_engine(f"sqlite:///{tmp_path}/{name}.db")
        with engine.begin() as connection:
            if name == "migrated":
                upgrade(connection)
            else:
                metadata.create_all(connection)
            found[name] = {
                (table, index["name"], tuple(index["column_names"]), index["unique"], str(index["dialect_options"].get("sqlite_where")))
                for table in metadata.tables
                for index in inspect(connection).get_indexes(table)
            }
        engine.dispose()
    assert found["migrated"] == found["made"]
    assert len(found["made"]) > 10


def test_every_migration_says_whether_it_runs_before_or_after_the_new_code() -> None:
    phases = {script.revision: getattr(script.module, "phase", None) for script in scripts().walk_revisions()}
    assert set(phases.values()) <= {"pre", "post"}, phases


def test_a_database_of_the_first_version_is_brought_to_the_newest(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/first.db")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        assert "watch" not in inspect(connection).get_table_names()
    with engine.begin() as connection:
        upgrade(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert dict(connection.execute(text("SELECT name, value FROM meta")).all()) == {"schema": SCHEMA_VERSION, "oldest_code": 1}
    engine.dispose()


def test_the_newest_migration_before_the_new_code_is_its_schema_version() -> None:
    newest = max(script.revision for script in scripts().walk_revisions() if script.module.phase == "pre")
    assert newest == f"{SCHEMA_VERSION:04}"


def test_key_tables_stand_apart_from_the_data() -> None:
    for name in ("subject_key", "message_key"):
        assert not metadata.tables[name].foreign_keys
        assert not [key for table in metadata.tables.values() for key in table.foreign_keys if key.column.table.name == name]


# --- an upgrade: migrate, replace the processes, finish -------------------------------------------------------------------

STEP = '''"""A step of a test."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on, phase = "{number:04}", "{before:04}", None, None, "{phase}"


def upgrade() -> None:
    """Add or take away."""
    {what}
    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value={number}))
    if phase == "post":
        op.execute(meta.update().where(meta.c.name == "oldest_code").values(value={before}))
'''
ADDS, DROPS = 'op.create_table("added", sa.Column("id", sa.Integer(), primary_key=True))', 'op.drop_table("sender_line")'


def steps(folder: Path, *phases: str) -> Path:
    """Return the migrations with more of them: `pre` adds a table, `post` drops one."""
    copied = folder / "migrations"
    shutil.copytree(MIGRATIONS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    for number, phase in enumerate(phases, start=SCHEMA_VERSION + 1):
        what = (ADDS if phase == "pre" else DROPS).replace('"added"', f'"added_{number}"')
        text = STEP.format(number=number, before=number - 1, phase=phase, what=what)
        (copied / "versions" / f"{number:04}_step.py").write_text(text, encoding="utf-8")
    return copied


NEXT = SCHEMA_VERSION + 1


@pytest.mark.parametrize(
    ("phases", "finish", "version", "oldest"),
    [
        ((), False, SCHEMA_VERSION, 1),
        (("pre",), False, NEXT, 1),
        (("pre", "post"), False, NEXT, 1),
        (("pre", "post"), True, NEXT + 1, NEXT),
        (("post",), False, SCHEMA_VERSION, 1),
        (("post",), True, NEXT, SCHEMA_VERSION),
    ],
)
def test_without_finish_nothing_is_taken_away_from_the_code_before(
    tmp_path: Path, phases: tuple[str, ...], finish: bool, version: int, oldest: int
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/steps.db")
    with engine.begin() as connection:
        upgrade(connection)
    migrations = steps(tmp_path, *phases)
    for _ in range(2):  # safe to repeat
        with engine.begin() as connection:
            upgrade(connection, finish=finish, migrations=migrations)
    with engine.connect() as connection:
        assert found_version(connection) == version
        assert dict(connection.execute(text("SELECT name, value FROM meta")).all()) == {"schema": version, "oldest_code": oldest}
        assert inspect(connection).has_table("sender_line") is not (finish and "post" in phases)
    engine.dispose()


def test_a_step_behind_an_upgrade_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/steps.db")
    with engine.begin() as connection:
        upgrade(connection)
    with pytest.raises(StoreUnavailableError, match="was not finished: run `gateway db migrate --finish`"), engine.begin() as connection:
        upgrade(connection, finish=False, migrations=steps(tmp_path, "post", "pre"))
    with engine.connect() as connection:
        assert found_version(connection) == SCHEMA_VERSION
    engine.dispose()


def test_a_new_database_gets_every_step_for_it_has_no_older_code(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/new.db")
    with engine.begin() as connection:
        upgrade(connection, finish=False, migrations=steps(tmp_path, "pre", "post"))
    with engine.connect() as connection:
        assert found_version(connection) == NEXT + 1
    engine.dispose()


def test_a_database_of_newer_code_is_left_as_it_is(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/newer.db")
    with engine.begin() as connection:
        upgrade(connection, migrations=steps(tmp_path, "pre", "post"))
    with engine.begin() as connection:
        upgrade(connection)
        assert found_version(connection) == NEXT + 1
    engine.dispose()


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        ([], 0),
        ([None, "", "psql"], 0),
        ([f"gateway/{SCHEMA_VERSION}", f"gateway/{SCHEMA_VERSION + 1}"], 0),
        ([f"gateway/{SCHEMA_VERSION - 1}", f"gateway/{SCHEMA_VERSION}"], 1),
        (["gateway"], 1),  # as processes called themselves once
        (["gateway/", "gateway/x", "gateway/1"], 3),
    ],
)
def test_an_upgrade_is_not_finished_while_older_code_is_connected(names: list[str | None], refused: int) -> None:
    if not refused:
        refuse_older(names)
        return
    with pytest.raises(StoreUnavailableError, match=f"^{refused} connections of programs older than schema version {SCHEMA_VERSION}"):
        refuse_older(names)
