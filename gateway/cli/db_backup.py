"""`gateway db backup | restore | reopen`: two files of a SQLite database, and how a gateway goes on from a copy that is always too old."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway import bootstrap
from gateway.app import restore as restoring
from gateway.app.ports import Store
from gateway.app.restore import Restored, RestoreError
from gateway.cli.db_place import Config, Place, Url, place_of, progress
from gateway.cli.evidence import export_log, public_keys
from gateway.core.evidence import succession
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.succession import Outside
from gateway.core.keyring import Keyring
from gateway.ops.settings import Settings, load_settings
from gateway.stores import sqlite_backup
from gateway.stores.open import SQLITE, open_store
from gateway.stores.sqlite_backup import Backup, BackupError

POSTGRES: Final = "is no SQLite file; for PostgreSQL see docs/howto/backup.md: pg_dump, pg_restore, then `gateway db reopen`"

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The file with the data.")]
Keys = Annotated[Path, typer.Option("--keys", help="The file with the keys, on another medium than the data.")]
Needed = Annotated[Path, typer.Option("--config", exists=True, dir_okay=False, help="Settings file (TOML) of the gateway.")]
OldLog = Annotated[
    Path, typer.Option("--old-log", help="New directory for the log as the backup has it: a bundle for `gateway evidence verify`.")
]
Report = Annotated[Path, typer.Option("--report", help="New file for what is missing and must be asked for again, as JSON.")]
Checkpoints = Annotated[
    list[Path] | None, typer.Option("--checkpoint", help="A signed checkpoint that somebody kept, or a folder of them. May be repeated.")
]
Receipts = Annotated[
    list[Path] | None, typer.Option("--receipts", help="Receipts that senders kept, one a line, or a folder of them. May be repeated.")
]
Events = Annotated[Path | None, typer.Option("--events", help="A dump of gw.events, one event a line.")]
Nothing = Annotated[bool, typer.Option("--nothing-outside", help="Nobody has a checkpoint, receipt or event: follow the backup's own log.")]


def backup(
    data: Data,
    keys: Keys,
    url: Url = None,
    config: Config = None,
) -> None:
    """Copy a SQLite database into two new files, data and keys, and read both again. The gateway may run meanwhile."""
    place = place_of(url, config)
    if place.file is None:
        raise BackupError(f"the database {POSTGRES}")
    with progress("pages") as told:
        made = sqlite_backup.take(place.file, data, keys, at=datetime.now(UTC), progress=told)
    for path, digest in made.digests.items():
        typer.echo(f"written  {path}  sha256 {digest}")
    counts = ", ".join(f"{count} rows of {table}" for table, count in made.keys.items())
    typer.echo(f"the backup of {made.taken_at:%Y-%m-%d %H:%M:%S} UTC was read again and is whole: schema version {made.schema}, {counts}")
    if data.resolve().parent == keys.resolve().parent:
        typer.echo(f"Move {keys} to another medium now: beside the data it opens everything, also what is erased later.", err=True)


def restore(  # noqa: PLR0913 -- each is an option
    data: Data,
    keys: Keys,
    *,
    config: Needed,
    old_log: OldLog,
    report: Report,
    checkpoint: Checkpoints = None,
    receipts: Receipts = None,
    events: Events = None,
    nothing_outside: Nothing = False,
) -> None:
    """Make the database of the settings from a backup. The gateway's next start opens a new log that names the one before."""
    settings, place = _of(config)
    if place.file is None:
        raise BackupError(f"the database {POSTGRES}")
    _refuse_there(place.file, place.file.with_name(place.file.name + "-wal"), old_log, report)
    backup_ = sqlite_backup.read(data, keys)
    typer.echo(f"the backup of {backup_.taken_at:%Y-%m-%d %H:%M:%S} UTC is whole")
    outside = _Sources(checkpoint or (), receipts or (), events, nothing=nothing_outside).check()
    draft = place.file.with_name(f".{place.file.name}.{secrets.token_hex(4)}.draft")
    try:
        with progress("pages") as told:
            sqlite_backup.put_together(backup_, data, keys, target=draft, progress=told)
        found = asyncio.run(_reopen(Place(f"{SQLITE}{draft}"), settings, outside, old_log=old_log))
        _write_report(report, settings, found, backup_)
        _put_in_place(draft, place.file)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    typer.echo(f"written  {place.file}")
    _tell(found, old_log, report)


def reopen(  # noqa: PLR0913 -- each is an option
    *,
    config: Needed,
    old_log: OldLog,
    report: Report,
    checkpoint: Checkpoints = None,
    receipts: Receipts = None,
    events: Events = None,
    nothing_outside: Nothing = False,
) -> None:
    """After the database itself was restored by other means (pg_restore): have the next start open a new log that names the one before."""
    settings, place = _of(config)
    _refuse_there(old_log, report)
    outside = _Sources(checkpoint or (), receipts or (), events, nothing=nothing_outside).check()
    found = asyncio.run(_reopen(place, settings, outside, old_log=old_log))
    _write_report(report, settings, found, None)
    _tell(found, old_log, report)


@dataclass(frozen=True, slots=True, kw_only=False)
class _Sources:
    """Files in which something from outside the database is."""

    checkpoints: Sequence[Path]
    receipts: Sequence[Path]
    events: Path | None
    nothing: bool

    def check(self) -> _Sources:
        """Return itself. Raises `typer.BadParameter` where it says nothing, or two things."""
        given = bool(self.checkpoints or self.receipts or self.events)
        if given == self.nothing:
            raise typer.BadParameter(
                "say what was found outside the database: --checkpoint, --receipts or --events; or that nothing was: --nothing-outside"
            )
        return self

    def read(self, keyring: Keyring, gateway: str, *, origin: str) -> Outside:
        """Read the files. Raises `EvidenceError` with every fault, `OSError`."""
        keys = public_keys(keyring, gateway)
        found, faults = Outside(), list[str]()
        for path in [*_files(self.checkpoints), *_files(self.receipts)]:
            try:
                text = path.read_text(encoding="utf-8")
                kept = succession.read_kept(str(path), text, keys=keys.checkpoint, receipt_keys=keys.receipts, gateway=gateway)
                found = Outside(found.heads + kept.heads, found.receipts + kept.receipts)
            except EvidenceError as exc:
                faults += [fault if fault.startswith(str(path)) else f"{path}: {fault}" for fault in exc.faults]
            except UnicodeDecodeError:
                faults.append(f"{path}: is not UTF-8")
        if faults:
            raise EvidenceError(*faults)
        if self.events is None:
            return found
        with self.events.open("rb") as lines:
            told = succession.read_events(str(self.events), (line for line in lines if line.strip()), origin=origin)
        return Outside(found.heads, found.receipts, told.events)


def _files(paths: Sequence[Path]) -> list[Path]:
    return [each for path in paths for each in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path])]


async def _reopen(place: Place, settings: Settings, sources: _Sources, *, old_log: Path) -> Restored:
    keyring = bootstrap.keystore(settings).own()
    async with open_store(place.url, password=place.password, dev=settings.is_dev) as store:
        outside = sources.read(keyring, settings.id, origin=await _origin(store, settings.id))
        with progress("entries") as told:
            found = await restoring.look(
                store, outside, gateway=settings.id, keys=public_keys(keyring, settings.id).checkpoint, now=datetime.now(UTC), progress=told
            )
        if found.entries_count:
            await export_log(store, keyring, old_log)
        await restoring.open_next(store, found)
    return found


async def _origin(store: Store, gateway: str) -> str:
    async with store.reading() as work:
        newest = await work.latest_checkpoint()
    return gateway if newest is None else newest.note.partition("\n")[0]


def _of(config: Path) -> tuple[Settings, Place]:
    settings = load_settings(config, needs=["store", "id", "paths", "profile"])
    return settings, place_of(None, config)


def _refuse_there(*paths: Path) -> None:
    there = [f"{path}: exists already; nothing was written" for path in paths if path.exists()]
    if there:
        raise BackupError(*there)


def _put_in_place(draft: Path, target: Path) -> None:
    """Give the finished file its name, unless another has it by now."""
    if draft.with_name(draft.name + "-wal").exists():
        raise RestoreError(f"{draft}: is still in use; nothing was put in its place")
    try:
        os.link(draft, target)
    except FileExistsError:
        raise BackupError(f"{target}: exists by now; nothing was written") from None
    folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_report(path: Path, settings: Settings, found: Restored, backup_: Backup | None) -> None:
    partners = sorted(each.stem for each in settings.paths.partners.glob("*.toml"))
    value: Mapping[str, Any] = found.report(partners=partners)
    if backup_ is not None:
        value = {"backup": {"id": backup_.id, "taken_at": backup_.taken_at.isoformat()}, **value}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _tell(found: Restored, old_log: Path, report: Path) -> None:
    gone, ledger = found.succession, found.ledger
    if found.entries_count:
        typer.echo(f"written  {old_log}: the log as the backup has it, {found.entries_count} entries")
    before = gone.previous
    typer.echo(
        f"the next start opens the log {gone.next_origin}; it follows {before.origin} with {before.size} entries, by {gone.found_in}"
    )
    if gone.missing_count:
        typer.echo(f"missing: {gone.missing_count} entries of {before.origin}; gw.events told {len(gone.recovered)} of them")
    else:
        typer.echo("missing: nothing that is known of; what was said after the newest checkpoint found is not known of")
    if found.since.erased:
        typer.echo(f"erased again: {len(found.since.erased)} erasures that were recorded after the backup")
    if found.ended:
        typer.echo(f"refused or revoked again: {len(found.ended)} keys that partners had submitted")
    if found.since.stopped:
        typer.echo(f"paused or suspended again: {', '.join(sorted(found.since.stopped))}")
    typer.echo(f"written  {report}: what must be asked for again")
    typer.echo(f"  every sender: repeat what was receipted since {ledger.last_at or 'the beginning'} (the same messages, byte for byte)")
    if found.lost:
        typer.echo(f"  {len(found.lost)} submissions are known by name to be missing")
    if ledger.legs:
        typer.echo(
            f"  {len(ledger.legs)} legs were under way: they go on from the state of the backup; {len(found.later)} are known to have moved"
        )
