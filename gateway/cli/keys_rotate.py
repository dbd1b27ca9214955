"""`gateway keys rotate | retire | revoke`: one key after another, while the gateway runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import bootstrap
from gateway.cli.reload import reload
from gateway.contract.values import KeyId, PartnerId
from gateway.core.keys import PrivateKey, Use
from gateway.keystores import rotate as turning
from gateway.keystores import secret_files
from gateway.keystores.files import KeystoreError, SecretUse
from gateway.keystores.generate import Plan
from gateway.keystores.rotate import Rotated
from gateway.keystores.secret_files import KeyFileError
from gateway.ops.settings import Settings, load_settings

CACHE_SECONDS: Final = 300  # how long a key set that was fetched may be kept (gateway/api/public.py)
WAIT_SECONDS: Final = 86_400


class Rotating(StrEnum):
    """What can be rotated: each kind of key of ours but the root, which partners pin, and index keys, which name rows."""

    DOCUMENT = "document"
    RECEIPT = "receipt"
    CHECKPOINT = "checkpoint"
    ENCRYPT = "encrypt"
    KEK = "kek"
    REFERRAL_KEK = "referral-kek"


Config = Annotated[Path, typer.Option("--config", exists=True, dir_okay=False, help="Settings file (TOML) of an inner or embedded one.")]
RootKey = Annotated[Path | None, typer.Option("--root-key", help="The root key, from its offline medium: it signs the new key set.")]
ReloadNow = Annotated[bool, typer.Option("--reload/--no-reload", help="Have the running gateway read its keys again at once.")]
RootPassphrase = Annotated[Path | None, typer.Option("--root-passphrase-file", help="File with the passphrase of the root key.")]
Kid = Annotated[str, typer.Option("--kid", help="Which key: see `gateway keys list`.")]


def rotate(
    config: Config,
    use: Annotated[list[Rotating], typer.Option("--use", help="Kind of key; may be repeated.")],
    *,
    root_key: RootKey = None,
    root_passphrase_file: RootPassphrase = None,
    wait: Annotated[int, typer.Option(min=0, help="Seconds until the new key is used: longer than an old key set is kept.")] = WAIT_SECONDS,
    reload_now: ReloadNow = True,
) -> None:
    """Make and publish the next key of a kind; after the wait every process signs with it, or encrypts under it, by itself."""
    settings, now = _settings(config), datetime.now(UTC)
    root = _root(root_key, root_passphrase_file) if set(use) - {Rotating.KEK, Rotating.REFERRAL_KEK} else None
    plan = replace(_plan(settings, now), now=now + timedelta(seconds=wait))
    for kind in dict.fromkeys(use):
        _tell(_rotated(settings, kind, plan, root=root, at=now))
    if wait < CACHE_SECONDS:
        typer.echo(f"who fetched the key set less than {CACHE_SECONDS} s ago may not know the new key when it is used", err=True)
    _after(config, settings, reload_now=reload_now)


def retire(
    config: Config,
    kid: Kid,
    *,
    root_key: RootKey = None,
    root_passphrase_file: RootPassphrase = None,
    reload_now: ReloadNow = True,
) -> None:
    """End a key that another follows, and destroy its private half. What it signed still verifies; what is encrypted to it is lost."""
    settings = _settings(config)
    plan = _plan(settings, datetime.now(UTC))
    root = _root(root_key, root_passphrase_file)
    for path in turning.retire(settings.paths.keys, plan, KeyId(kid), root=root):
        typer.echo(f"written  {path}")
    typer.echo(f"destroyed  the private half of {kid}; destroy its copies too")
    _after(config, settings, reload_now=reload_now)


def revoke(
    config: Config,
    kid: Kid,
    *,
    partner: Annotated[str | None, typer.Option("--partner", help="Whose key it is; without it, ours.")] = None,
    root_key: RootKey = None,
    root_passphrase_file: RootPassphrase = None,
    reload_now: ReloadNow = True,
) -> None:
    """Believe a key no more, ours or a partner's: what is queued to it waits for another, what is queued under it is held."""
    settings, now = _settings(config), datetime.now(UTC)
    if partner is not None:
        path = turning.revoke_trusted(settings.paths.keys, PartnerId(partner), KeyId(kid), at=now)
        typer.echo(f"written  {path}")
    else:
        root = _root(root_key, root_passphrase_file)
        for path in turning.revoke(settings.paths.keys, _plan(settings, now), KeyId(kid), root=root):
            typer.echo(f"written  {path}")
        typer.echo("tell every partner now: until it fetches the key set it believes the key")
    _after(config, settings, reload_now=reload_now)


def _rotated(settings: Settings, kind: Rotating, plan: Plan, *, root: PrivateKey | None, at: datetime) -> Rotated:
    if kind in {Rotating.KEK, Rotating.REFERRAL_KEK}:
        return turning.rotate_epoch(settings.paths.keys, plan, SecretUse(kind.value))
    if root is None:
        raise KeystoreError(["the root key is needed"])
    return turning.rotate(settings.paths.keys, plan, Use(kind.value), root=root, at=at)


def _tell(made: Rotated) -> None:
    for path in made.files:
        typer.echo(f"written  {path}")
    typer.echo(f"{made.kid} is used from {made.valid_from:%Y-%m-%d %H:%M:%S} UTC on; it follows {made.previous}")


def _after(config: Path, settings: Settings, *, reload_now: bool) -> None:
    public = settings.paths.keys / "public"
    socket = settings.admin_listener.socket
    if reload_now and socket is not None and socket.exists():
        reload(config=config)
    else:
        typer.echo("the gateway was not told: run gateway reload on each inner", err=True)
    typer.echo(f"copy {public} to every other edge and inner; an edge notices by itself")


def _settings(config: Path) -> Settings:
    return load_settings(config, needs=["id", "paths", "profile", "passphrase_file", "admin_listener"])


def _plan(settings: Settings, now: datetime) -> Plan:
    return Plan(owner=settings.gateway, now=now, dev=settings.is_dev, passphrase=bootstrap.passphrase(settings))


def _root(path: Path | None, passphrase_file: Path | None) -> PrivateKey:
    if path is None:
        raise typer.BadParameter("the key set is signed anew: bring the root key", param_hint="--root-key")
    try:
        passphrase = None if passphrase_file is None else secret_files.read(passphrase_file).rstrip(b"\r\n")
        return secret_files.read_private(secret_files.read(path), passphrase)
    except KeyFileError as exc:
        raise KeystoreError([f"{path}: {exc}"]) from exc
