"""One key after another: a new one is published before it is used, an old one is retired, a stolen one revoked.

Every change writes private keys first, then our public keys, then the key set that the root key signed; each file appears whole or not at
all. A public key is never taken away: what it signed must verify for ever.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.contract.values import KeyId, PartnerId
from gateway.core import jwks, strict_json
from gateway.core.keys import KeyEntry, PrivateKey, Use
from gateway.keystores import generate, secret_files
from gateway.keystores.files import EPOCHS, FileKeystore, KeystoreError, SecretUse
from gateway.keystores.generate import OUR_USES, Plan

PUBLIC_MODE: Final = 0o644
_CHUNK_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new key: used from `valid_from` on; `previous` until then."""

    kid: KeyId
    previous: KeyId | None
    valid_from: datetime
    files: tuple[Path, ...]


def rotate(directory: Path, plan: Plan, use: Use, *, root: PrivateKey, at: datetime) -> Rotated:
    """Make the next key of a pair and publish it, `at` now. `plan.now` is when it comes into use.

    Raises `KeystoreError`; then nothing is changed.
    """
    entries = _own(directory, plan)
    if use not in OUR_USES:
        raise KeystoreError([f"a {use} key is none that a gateway rotates"])
    before = max((e for e in entries if e.use is use), key=lambda e: (e.valid_from, e.kid), default=None)
    pair = generate.new_pair(plan, use)
    if before is not None and before.valid_from >= pair.entry.valid_from:
        raise KeystoreError([f"key {before.kid} comes into use only then, or later: wait for it, or revoke it"])
    entry = replace(pair.entry, previous=before.kid if before else None)
    signed = _signed([*entries, entry], root, at)
    private = directory / "private" / f"{entry.kid}.pem"
    secret_files.write(private, secret_files.write_private(pair.private, plan.passphrase))
    files = _publish(directory, plan.owner, [*entries, entry], signed)
    return Rotated(entry.kid, entry.previous, entry.valid_from, (private, *files))


def rotate_epoch(directory: Path, plan: Plan, use: SecretUse) -> Rotated:
    """Make the next key-encryption-key epoch of a compartment. Raises `KeystoreError` for a key that names rows: it never changes."""
    if use not in EPOCHS:
        raise KeystoreError([f"an {use} key names rows: it stays as long as they do"])
    known = [s for s in FileKeystore(directory, plan.owner, dev=plan.dev, passphrase=plan.passphrase).private().secrets if s.use is use]
    before = max(known, key=lambda s: (s.valid_from, s.kid))
    made = generate.new_secret(plan, use)
    valid_from = jwks.read_instant(made["valid_from"])
    if before.valid_from >= valid_from:
        raise KeystoreError([f"{before.kid} comes into use only then, or later: wait for it"])
    path = directory / "private" / f"{made['kid']}.jwk"
    secret_files.write(path, secret_files.write_secret(made, plan.passphrase))
    return Rotated(KeyId(made["kid"]), KeyId(before.kid), valid_from, (path,))


def retire(directory: Path, plan: Plan, kid: KeyId, *, root: PrivateKey) -> tuple[Path, ...]:
    """End a key of ours at `plan.now`, and destroy its private half. What it signed still verifies.

    Raises `KeystoreError` where no other key of its use is in force by then; nothing is changed.
    """
    entries = _own(directory, plan)
    entry = _find(entries, kid)
    _refuse_last(entries, entry, plan.now)
    if not entry.valid_from < plan.now:
        raise KeystoreError([f"key {kid} is not in use yet: revoke it"])
    ended = replace(entry, valid_to=min(entry.valid_to, plan.now.replace(microsecond=0)))
    after = [ended if each is entry else each for each in entries]
    files = _publish(directory, plan.owner, after, _signed(after, root, plan.now))
    destroy(directory / "private" / f"{kid}.pem")
    return files


def revoke(directory: Path, plan: Plan, kid: KeyId, *, root: PrivateKey) -> tuple[Path, ...]:
    """Revoke a key of ours from `plan.now` on: nothing more is signed with it, and nobody believes it. Its private half stays.

    Raises `KeystoreError` where no other key of its use is in force: make one first, or nothing could be signed.
    """
    entries = _own(directory, plan)
    entry = _find(entries, kid)
    _refuse_last(entries, entry, plan.now)
    after = [replace(each, revoked_at=plan.now.replace(microsecond=0)) if each is entry else each for each in entries]
    return _publish(directory, plan.owner, after, _signed(after, root, plan.now))


def revoke_trusted(directory: Path, partner: PartnerId, kid: KeyId, *, at: datetime) -> Path:
    """Revoke a partner's key. Nothing must follow: who has no other key is heard, and sent to, no more. Raises `KeystoreError`."""
    path = directory / "trust" / f"{partner}.json"
    try:
        entries = jwks.read_jwks(path.read_bytes(), partner)
    except OSError as exc:
        raise KeystoreError([f"{path}: cannot be read"]) from exc
    except jwks.JwksError as exc:
        raise KeystoreError([f"{path}: {fault}" for fault in exc.faults]) from exc
    entry = _find(entries, kid)
    after = [replace(each, revoked_at=at.replace(microsecond=0)) if each is entry else each for each in entries]
    _replace(path, strict_json.canonical(jwks.write_jwks(after)) + b"\n")
    return path


def destroy(path: Path) -> None:
    """Overwrite a private key and take it away. On media that write elsewhere (flash, copies) that is no proof: destroy those too."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(0, size, _CHUNK_BYTES):
            file.write(secrets.token_bytes(_CHUNK_BYTES))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    _sync(path.parent)


def _own(directory: Path, plan: Plan) -> tuple[KeyEntry, ...]:
    return FileKeystore(directory, plan.owner, dev=plan.dev, passphrase=plan.passphrase).own().entries


def _find(entries: Iterable[KeyEntry], kid: KeyId) -> KeyEntry:
    found = next((entry for entry in entries if entry.kid == kid), None)
    if found is None:
        raise KeystoreError([f"there is no key {kid}"])
    if found.use is Use.ROOT:
        raise KeystoreError([f"key {kid} is the root: partners pin it, and no key set changes that"])
    if found.revoked_at is not None:
        raise KeystoreError([f"key {kid} is revoked already"])
    return found


def _refuse_last(entries: Iterable[KeyEntry], entry: KeyEntry, at: datetime) -> None:
    others = [e for e in entries if e.use is entry.use and e.kid != entry.kid and e.revoked_at is None and e.valid_from <= at < e.valid_to]
    if not others:
        raise KeystoreError([f"no other {entry.use} key is in force: gateway keys rotate --use {entry.use} --wait 0 makes one at once"])


def _signed(entries: Sequence[KeyEntry], root: PrivateKey, at: datetime) -> bytes:
    try:
        return generate.sign_key_set(entries, root, now=at)
    except jwks.JwksError as exc:
        raise KeystoreError(exc.faults) from exc


def _publish(directory: Path, owner: PartnerId, entries: Sequence[KeyEntry], signed: bytes) -> tuple[Path, ...]:
    public = directory / "public" / f"{owner}.json"
    _replace(public, strict_json.canonical(jwks.write_jwks(entries)) + b"\n")
    _replace(public.with_suffix(".jwt"), signed + b"\n")
    return public, public.with_suffix(".jwt")


def _replace(path: Path, raw: bytes) -> None:
    """Put a new file in the place of an old one: whoever reads sees all of one of the two."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        secret_files.write(draft, raw, mode=PUBLIC_MODE)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
