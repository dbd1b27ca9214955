"""`gateway keys drill | rewrap`: what a key signed or opened, as a report; and everything under the epoch in force."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway import bootstrap
from gateway.app import rewrap as putting
from gateway.app.drill import Drill
from gateway.app.safe import Safe
from gateway.app.trust import DECIDED
from gateway.cli.db_place import progress
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.jwks import write_instant
from gateway.core.keys import KeyEntry, VerifyKey
from gateway.core.next_key import respelled
from gateway.keystores import rotate
from gateway.keystores.files import EPOCHS, KeystoreError, PrivateKeys, Secret
from gateway.ops.settings import Settings, load_settings
from gateway.ops.system import SystemDice

KEYS_COUNT_MAX: Final = 10_000  # that partners submitted: operators approved each


def drill(
    config: Annotated[
        Path, typer.Option("--config", exists=True, dir_okay=False, help="Settings file (TOML) of an inner or embedded one.")
    ],
    kid: Annotated[str, typer.Option("--kid", help="Which key: ours, a partner's, an operator's, or a key-encryption-key epoch.")],
    out: Annotated[Path, typer.Option("--out", help="New file for the report: one JSON object a line, the key first.")],
    *,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose key it is, where several have one of that id.")] = None,
) -> None:
    """List every message, receipt, leg, checkpoint and command that a key touched. The gateway may run meanwhile."""
    settings = load_settings(config, needs=["id", "paths", "profile", "passphrase_file", "store"])
    keys = bootstrap.keystore(settings).private()
    found = _find(settings, keys, kid, owner, asyncio.run(_submitted(settings)))
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        counts = asyncio.run(_write(settings, keys, found, file))
    told = ", ".join(f"{count} of {what}" for what, count in sorted(counts.items())) or "nothing"
    typer.echo(f"written  {out}: {told}")


def rewrap(
    config: Annotated[
        Path, typer.Option("--config", exists=True, dir_okay=False, help="Settings file (TOML) of an inner or embedded one.")
    ],
    *,
    destroy: Annotated[
        str | None, typer.Option("--destroy", help="Then destroy this key-encryption-key epoch, which nothing is under.")
    ] = None,
) -> None:
    """Put the keys of all subjects under the epoch in force. The gateway may run; every inner must have read the new epoch before."""
    settings = load_settings(config, needs=["id", "paths", "profile", "passphrase_file", "store"])
    keys = bootstrap.keystore(settings).private()
    if destroy is not None and not any(secret.kid == destroy and secret.use in EPOCHS for secret in keys.secrets):
        raise KeystoreError([f"there is no epoch {destroy}"])
    asyncio.run(_rewrap(settings, keys, destroy))
    if destroy is None:
        return
    rotate.destroy(settings.paths.keys / "private" / f"{destroy}.jwk")
    typer.echo(f"destroyed  {destroy}; destroy its copies too, and run gateway reload on each inner")


async def _rewrap(settings: Settings, keys: PrivateKeys, destroy: str | None) -> None:
    now = datetime.now(UTC)
    safe = Safe(keys.registers(now), keys.referrals(now), SystemDice())
    async with bootstrap.store_of(settings) as store:
        with progress("keys") as told:
            moved = await putting.rewrap(store, safe, progress=told)
        typer.echo(f"{moved} keys of subjects were put under {' and '.join(sorted(safe.epochs))}")
        if destroy is not None:
            await putting.end(store, safe, destroy)


async def _write(settings: Settings, keys: PrivateKeys, found: KeyEntry | Secret, file: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    file.write(json.dumps(_header(found)) + "\n")
    now = datetime.now(UTC)
    safe = Safe(keys.registers(now), keys.referrals(now), SystemDice())
    async with bootstrap.store_of(settings) as store:
        async for item in _items(Drill(store, safe, gateway=settings.gateway), found, settings):
            counts[item["what"]] += 1
            file.write(json.dumps(item) + "\n")
    return counts


def _items(made: Drill, found: KeyEntry | Secret, settings: Settings) -> AsyncIterator[dict[str, Any]]:
    if isinstance(found, Secret):
        return made.of_epoch(found.kid)
    if isinstance(found, VerifyKey) and isinstance(found.public, Ed25519PublicKey) and found.owner == settings.gateway:
        return made.of_pair(found, CheckpointKey(settings.id, found.public))
    return made.of_pair(found)


async def _submitted(settings: Settings) -> list[KeyEntry]:
    """Return the keys that partners submitted and an operator approved, and that no file has."""
    filed = {(entry.owner, entry.kid) for entry in bootstrap.keystore(settings).trusted().entries}
    async with bootstrap.store_of(settings) as store, store.reading() as work:
        rows = await work.keys(None, DECIDED, after=None, limit=KEYS_COUNT_MAX)
    missing = [row for row in rows if (row.partner, row.kid) not in filed]
    return [respelled(row.jwk, row.partner, revoked_at=row.revoked_at) for row in missing]


def _find(settings: Settings, keys: PrivateKeys, kid: str, owner: str | None, submitted: Sequence[KeyEntry]) -> KeyEntry | Secret:
    people = [key for person in bootstrap.load_people(settings, ()) for key in person.keys] if settings.paths.operators else []
    pairs = (*keys.public.entries, *bootstrap.keystore(settings).trusted().entries, *submitted, *people)
    found: list[KeyEntry | Secret] = [each for each in pairs if each.kid == kid and owner in {None, each.owner}]
    found += [secret for secret in keys.secrets if secret.kid == kid and secret.use in EPOCHS and owner in {None, settings.id}]
    if len(found) != 1:
        raise KeystoreError([f"there is no key {kid}" if not found else f"several have a key {kid}: say --owner"])
    return found[0]


def _header(found: KeyEntry | Secret) -> dict[str, Any]:
    revoked = getattr(found, "revoked_at", None)
    return {
        "kid": found.kid, "use": found.use.value, "owner": getattr(found, "owner", None),
        "valid_from": write_instant(found.valid_from), "valid_to": write_instant(found.valid_to),
        "revoked_at": write_instant(revoked) if revoked is not None else None, "listed_at": write_instant(datetime.now(UTC)),
    }  # fmt: skip
