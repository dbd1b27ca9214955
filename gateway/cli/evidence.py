"""`gateway evidence`: check a log offline, with public keys only; and write one out to be checked.

Exit codes of `verify`: 0 good, 2 usage, 3 evidence broken, 4 cannot read.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.engine import make_url

from gateway import bootstrap
from gateway.app.ports import Store
from gateway.app.sequence import Evidence
from gateway.core.evidence import bundle, checkpoint, succession
from gateway.core.evidence.bundle import Kept, Keys, Leaf, VerifiedLog
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.keyring import Keyring
from gateway.core.keys import Use, VerifyKey
from gateway.core.problems import RefusedInputError
from gateway.ops.settings import Settings, load_settings

BROKEN: Final = 3
UNREADABLE: Final = 4
CHECKPOINT: Final = "checkpoint"
CHECKPOINTS: Final = "checkpoints.jsonl"
LEAVES: Final = "leaves.jsonl"
KEYS: Final = "keys.json"
LINE_BYTES_MAX: Final = 1024 * 1024  # an entry with RECIPIENTS_COUNT_MAX legs is far below

app = typer.Typer(help="The evidence log: check it offline, write it out.", no_args_is_help=True)


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory written by `gateway evidence export`.")],
    against: Annotated[
        Path | None, typer.Option(help="A directory of receipts and checkpoints that others kept: each must fit into the log.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Public keys you hold, as keys.json. Without it the bundle's own are taken, and printed to be compared."),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(help="Of a restored gateway: a checkpoint, or the bundle, of the log before. The first entry must follow it."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was found good to this new file, as JSON.")] = None,
) -> None:
    """Check a bundle: signatures, every leaf, the root, every earlier checkpoint, and what others kept."""
    if report is not None and report.exists():
        raise typer.BadParameter("exists already; a report of an earlier check must not pass for one of this", param_hint="--report")
    try:
        trusted = bundle.read_keys(_read(keys or directory / KEYS))
    except EvidenceError as exc:
        _stop(UNREADABLE, "cannot read the keys", exc.faults)
    except OSError as exc:
        _stop(UNREADABLE, "cannot read", [_reason(exc)])
    try:
        found = _verify(directory, against, trusted)
        before = None if previous is None else _follow(found, previous, trusted)
        if report is not None:
            _write_new(report, _report(found))
    except EvidenceError as exc:
        _stop(BROKEN, "the evidence is broken", exc.faults)
    except OSError as exc:
        _stop(UNREADABLE, "cannot read or write", [_reason(exc)])
    _tell(found, trusted, own_keys=keys is None)
    if before is not None:
        head, more = before
        typer.echo(f"its first entry follows {head.origin} with {head.size + more} entries; of these, {head.size} were given and fit")


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory that does not exist yet.")],
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings file of the gateway: its database is read, its public keys are added.")
    ] = None,
) -> None:
    """Write the log up to its newest checkpoint, to be checked anywhere. The gateway may run meanwhile."""
    settings = load_settings(config)
    _check_there(settings)
    try:
        size = asyncio.run(_export(settings, directory))
    except RefusedInputError as exc:
        _stop(UNREADABLE, "cannot export", [exc.problem.detail])
    except OSError as exc:
        _stop(UNREADABLE, "cannot read or write", [_reason(exc)])
    typer.echo(f"written {directory}: {size} entries, checkpoints and public keys")


def _check_there(settings: Settings) -> None:
    """Refuse a SQLite file that is not there: opening it would make one."""
    url = make_url(settings.store.url.get_secret_value())
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        _stop(UNREADABLE, "cannot read", [f"{url.database}: there is no database"])


async def _export(settings: Settings, directory: Path) -> int:
    keyring = bootstrap.keystore(settings).own()
    async with bootstrap.store_of(settings) as store:
        return await export_log(store, keyring, directory)


async def export_log(store: Store, keyring: Keyring, directory: Path) -> int:
    """Write the log of a store to a new directory; return its size. Raises `RefusedInputError` before the first checkpoint, `OSError`."""
    evidence = Evidence(store)
    found = await evidence.export()
    await write_bundle(directory, evidence.leaves(found.size), checkpoints=found.checkpoints, keys=public_keys(keyring, found.origin))
    return found.size


def public_keys(keyring: Keyring, origin: str) -> Keys:
    """Return those of our public keys that an auditor checks with: of the log `origin`, and of receipts."""
    known = [entry for entry in keyring.entries if isinstance(entry, VerifyKey)]
    logs = [CheckpointKey(origin, k.public) for k in known if k.use is Use.CHECKPOINT and isinstance(k.public, Ed25519PublicKey)]
    receipts = {str(k.kid): k.public for k in known if k.use is Use.RECEIPT and isinstance(k.public, EllipticCurvePublicKey)}
    return Keys(tuple(logs), receipts)


async def write_bundle(directory: Path, leaves: AsyncIterable[Sequence[Leaf]], *, checkpoints: Sequence[str], keys: Keys) -> None:
    """Write a bundle to a directory that does not exist yet: all of it, or nothing.

    `leaves` come page by page, from the first; `checkpoints` are all notes, the newest (which covers exactly these leaves) last.
    Raises `OSError`, `FileExistsError` among them.
    """
    with _new_directory(directory) as draft:
        (draft / CHECKPOINT).write_bytes(checkpoints[-1].encode())
        (draft / CHECKPOINTS).write_bytes(b"".join(map(bundle.write_note, checkpoints[:-1])))
        (draft / KEYS).write_bytes(bundle.write_keys(keys))
        with (draft / LEAVES).open("wb") as file:
            async for page in leaves:
                file.write(b"".join(map(bundle.write_leaf, page)))
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _new_directory(directory: Path) -> Iterator[Path]:
    """Give a draft that becomes `directory` when all went well, and nothing otherwise."""
    if directory.exists():
        raise FileExistsError(errno.EEXIST, "exists already", str(directory))
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _verify(directory: Path, against: Path | None, keys: Keys) -> VerifiedLog:
    note = _text(directory / CHECKPOINT)
    earlier = [bundle.read_note(line, number) for number, line in enumerate(_lines(directory / CHECKPOINTS))]
    kept = [] if against is None else list(_kept(against))
    if against is not None and not kept:
        raise FileNotFoundError(errno.ENOENT, "holds no receipt and no checkpoint", str(against))
    leaves = (bundle.read_leaf(line, number) for number, line in enumerate(_lines(directory / LEAVES)))
    return bundle.verify_bundle(note, leaves, keys=keys, earlier=earlier, kept=kept)


def _follow(found: VerifiedLog, path: Path, keys: Keys) -> tuple[Checkpoint, int]:
    """Hold the first entry against the head of the log before; return that, and how many entries more it names."""
    note = _text(path / CHECKPOINT if path.is_dir() else path)
    before = checkpoint.verify(note, succession.keys_of(note.partition("\n")[0], keys.checkpoint))
    return before, succession.follow(found.opened, before)


def _kept(directory: Path) -> Iterator[Kept]:
    """Read what others kept: a file with an empty line in it is a signed note, any other has a receipt on each line."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name, text = path.relative_to(directory).as_posix(), _text(path)
        if "\n\n" in text:
            yield Kept(name, text)
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            yield Kept(name if len(lines) == 1 else f"{name}:{number}", line)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            yield line


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read()


def _text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError(f"{path.name}: not UTF-8") from None


def _report(found: VerifiedLog) -> bytes:
    value = {
        "origin": found.head.origin,
        "size": found.head.size,
        "root": found.head.root.hex(),
        "previous": None if found.opened.previous is None else succession.describe(found.opened.previous),
        "keys": found.key_ids,
        "checkpoints": found.checkpoints_count,
        "receipts": found.receipts_count,
        "entries": found.kinds,
        "first_at": found.first_at,
        "last_at": found.last_at,
    }
    return json.dumps(value, indent=2).encode() + b"\n"


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and never replaces another."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.link(draft, path)
    finally:
        Path(draft).unlink()


def _tell(found: VerifiedLog, keys: Keys, *, own_keys: bool) -> None:
    typer.echo(f"good: {found.head.origin}, {found.head.size} entries from {found.first_at} to {found.last_at}")
    typer.echo(f"root {found.head.root.hex()}")
    if found.opened.previous is not None:
        before = found.opened.previous
        typer.echo(f"opened after a restore; the log before: {before.origin}, {before.size} entries, root {before.root}")
    typer.echo("entries: " + ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()))
    typer.echo(f"consistent with {found.checkpoints_count} other checkpoints; {found.receipts_count} receipts are in the log")
    if own_keys:
        typer.echo("checked with the keys in the bundle itself; compare them with those you were given:")
        for key in keys.checkpoint:
            typer.echo(f"  {key.vkey}")


def _stop(code: int, what: str, faults: Sequence[str]) -> NoReturn:
    typer.echo(f"{what}:", err=True)
    for fault in faults:
        typer.echo(f"  {fault}", err=True)
    raise typer.Exit(code)


def _reason(exc: OSError) -> str:
    return f"{exc.filename}: {exc.strerror}"
