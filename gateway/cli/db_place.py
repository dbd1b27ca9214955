"""Where a command's database is, and how far a command has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway import bootstrap
from gateway.cli.evidence import public_keys
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.ops.settings import Settings, load_settings
from gateway.stores.open import SQLITE

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="GATEWAY_DATABASE_URL", help="sqlite:///PATH or postgresql://USER@HOST/NAME"),
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML) of the gateway: its database and password file.")]


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and the public keys that sign its log where they are known."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    keys: tuple[CheckpointKey, ...] = ()

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix(SQLITE)) if self.url.startswith(SQLITE) else None


def place_of(url: str | None, config: Path | None) -> Place:
    """Return the database that is meant. Raises `typer.BadParameter` unless one way says it, `ConfigurationError`, `KeystoreError`."""
    if (url is None) == (config is None):
        raise typer.BadParameter("say where the database is: one of --url and --config")
    if url is not None:
        return Place(url)
    settings = load_settings(config, needs=["store"])
    return Place(settings.store.url.get_secret_value(), bootstrap.store_password(settings), checkpoint_keys(settings))


def checkpoint_keys(settings: Settings) -> tuple[CheckpointKey, ...]:
    """Return the keys that may have signed the log; none where this machine has no public keys of the gateway."""
    if not settings.id or not (settings.paths.keys / "public" / f"{settings.id}.json").is_file():
        return ()
    return public_keys(bootstrap.keystore(settings).own(), settings.id).checkpoint


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; give what moves it."""
    err = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
