"""The migrations make exactly the tables that the code knows, and each says when it may run."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from gateway.stores.schema import MIGRATIONS, upgrade
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


def test_the_newest_migration_is_the_schema_version_of_the_code() -> None:
    assert scripts().get_current_head() == f"{SCHEMA_VERSION:04}"


def test_key_tables_stand_apart_from_the_data() -> None:
    for name in ("subject_key", "message_key"):
        assert not metadata.tables[name].foreign_keys
        assert not [key for table in metadata.tables.values() for key in table.foreign_keys if key.column.table.name == name]
