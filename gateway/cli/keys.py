"""`gateway keys`: make, list, publish and rotate the gateway's keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli import keys_drill, keys_rotate
from gateway.cli.errors import Commands
from gateway.contract.values import PartnerId
from gateway.core import jwks, strict_json
from gateway.core.keys import KeyEntry, Use
from gateway.keystores import generate, secret_files
from gateway.keystores.files import PASSPHRASE_BYTES_MIN, FileKeystore, KeystoreError

app = typer.Typer(cls=Commands, help="Make, list, publish and rotate the gateway's keys.", no_args_is_help=True)
app.command("rotate")(keys_rotate.rotate)
app.command("retire")(keys_rotate.retire)
app.command("revoke")(keys_rotate.revoke)
app.command("drill")(keys_drill.drill)
app.command("rewrap")(keys_drill.rewrap)
EXIT_REFUSED = 3  # nothing was written; 2 is typer's own, for usage


class KeyProfile(StrEnum):
    """Where keys may serve: a gateway of profile production refuses keys made for dev."""

    DEV = "dev"
    PRODUCTION = "production"


Directory = Annotated[Path, typer.Option("--dir", help="Folder of the keys.")]
Gateway = Annotated[str, typer.Option("--gateway", help="The gateway's partner id.")]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File with the passphrase of private keys. Without it they are stored with mode 0600."),
]


@app.command()
def init(
    gateway: Gateway,
    directory: Directory = Path("keys"),
    *,
    root_out: Annotated[Path | None, typer.Option("--root-out", help="Folder for the root key: a medium that you take offline.")] = None,
    profile: Annotated[KeyProfile, typer.Option(help="dev marks the keys as never fit for production.")] = KeyProfile.PRODUCTION,
    passphrase_file: Passphrase = None,
) -> None:
    """Make all keys of a new gateway. Overwrites nothing."""
    dev = profile is KeyProfile.DEV
    if root_out is None and not dev:
        raise typer.BadParameter("say where the root key goes: a medium that you take offline", param_hint="--root-out")
    owner = _partner(gateway)
    try:
        plan = generate.Plan(owner=owner, now=datetime.now(UTC), dev=dev, passphrase=read_passphrase(passphrase_file))
        created = generate.create(directory, root_out or directory / "root", plan)
    except KeystoreError as exc:
        _refuse(exc)
    except OSError as exc:
        _refuse(KeystoreError([f"{exc.filename}: {exc.strerror}"]))
    for path in created.files:
        typer.echo(f"written  {path}")
    typer.echo(f"written  {created.root}   ROOT KEY")
    typer.echo(
        "Take the root key offline now and keep two copies: it signs the key set that partners pin, and no running gateway needs it."
    )


@app.command("add-referrals")
def add_referrals(
    gateway: Gateway,
    directory: Directory = Path("keys"),
    *,
    profile: Annotated[KeyProfile, typer.Option(help="dev marks the keys as never fit for production.")] = KeyProfile.PRODUCTION,
    passphrase_file: Passphrase = None,
) -> None:
    """Make the keys that support referrals are kept under, for a gateway whose keys are older than these. Overwrites nothing."""
    try:
        passphrase = read_passphrase(passphrase_file)
        plan = generate.Plan(owner=_partner(gateway), now=datetime.now(UTC), dev=profile is KeyProfile.DEV, passphrase=passphrase)
        for path in generate.add_referrals(directory, plan):
            typer.echo(f"written  {path}")
    except KeystoreError as exc:
        _refuse(exc)
    except OSError as exc:
        _refuse(KeystoreError([f"{exc.filename}: {exc.strerror}"]))


@app.command("list")
def list_keys(
    gateway: Gateway, directory: Directory = Path("keys"), *, dev: Annotated[bool, typer.Option(help="Take dev- keys.")] = False
) -> None:
    """List our public keys and those of partners, with their periods."""
    keystore = FileKeystore(directory, _partner(gateway), dev=dev)
    try:
        entries = (*keystore.own().entries, *keystore.trusted().entries)
    except KeystoreError as exc:
        _refuse(exc)
    now = datetime.now(UTC)
    table = Table("owner", "use", "key", "from", "to", "state", box=None)
    for entry in entries:
        dates = (f"{at:%Y-%m-%d}" for at in (entry.valid_from, entry.valid_to))
        table.add_row(entry.owner, entry.use, entry.kid, *dates, _state(entry, now))
    Console(width=None if Console().is_terminal else 160).print(table)
    typer.echo("Keys that partners submitted themselves are in no file: see gateway partner keys list.")


@app.command()
def export(
    gateway: Gateway,
    directory: Directory = Path("keys"),
    *,
    out: Annotated[Path, typer.Option(help="Folder for <gateway>.jwks.json and <gateway>.keys.jwt; nothing in it is overwritten.")],
    root_key: Annotated[Path | None, typer.Option("--root-key", help="Sign the key set anew with this root key.")] = None,
    passphrase_file: Passphrase = None,
    dev: Annotated[bool, typer.Option(help="Take dev- keys.")] = False,
) -> None:
    """Write what partners need: our public keys, the signed key set, and the root's public key to pin."""
    owner = _partner(gateway)
    keystore = FileKeystore(directory, owner, dev=dev)
    try:
        entries = keystore.own().entries
        signed = keystore.key_set() if root_key is None else _sign(entries, root_key, passphrase_file)
        roots = [entry for entry in entries if entry.use is Use.ROOT]
        others = [entry for entry in entries if entry.use is not Use.ROOT]
        out.mkdir(parents=True, exist_ok=True)
        documents = {
            f"{owner}.jwks.json": strict_json.canonical(jwks.write_jwks(others)),
            f"{owner}.root.json": strict_json.canonical(jwks.write_jwks(roots)),
            f"{owner}.keys.jwt": signed,
        }
        for name, raw in documents.items():
            secret_files.write(out / name, raw + b"\n", mode=0o644)
            typer.echo(f"written  {out / name}")
    except KeystoreError as exc:
        _refuse(exc)
    except (OSError, secret_files.KeyFileError) as exc:
        _refuse(KeystoreError([f"{getattr(exc, 'filename', None) or root_key}: {getattr(exc, 'strerror', None) or exc}"]))
    typer.echo("Partners pin the root key over another channel than the one that brings the key set.")


def _sign(entries: tuple[KeyEntry, ...], root_key: Path, passphrase_file: Path | None) -> bytes:
    private = secret_files.read_private(secret_files.read(root_key), read_passphrase(passphrase_file))
    return generate.sign_key_set(entries, private, now=datetime.now(UTC))


def _state(entry: KeyEntry, now: datetime) -> str:
    if entry.revoked_at is not None:
        return f"revoked {entry.revoked_at:%Y-%m-%d}"
    if now < entry.valid_from:
        return "not yet"
    return "valid" if now < entry.valid_to else "ended"


def _partner(text: str) -> PartnerId:
    if not re.fullmatch(r"[a-z0-9-]{2,32}", text):
        raise typer.BadParameter("must be 2 to 32 of a-z, 0-9 and -", param_hint="--gateway")
    return PartnerId(text)


def read_passphrase(path: Path | None) -> bytes | None:
    """Return the passphrase in a file. Raises `KeystoreError` where it cannot be read, or is too short."""
    if path is None:
        return None
    try:
        found = secret_files.read(path).rstrip(b"\r\n")
    except secret_files.KeyFileError as exc:
        raise KeystoreError([f"{path}: {exc}"]) from exc
    if len(found) < PASSPHRASE_BYTES_MIN:
        raise KeystoreError([f"{path}: a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes"])
    return found


def _refuse(exc: KeystoreError) -> NoReturn:
    for fault in exc.faults:
        typer.echo(f"refused  {fault}", err=True)
    raise typer.Exit(EXIT_REFUSED) from exc
