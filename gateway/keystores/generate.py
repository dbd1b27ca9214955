"""Makes a gateway's keys and signs its key set. Never overwrites a key; the root key goes to a place of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.contract.values import KeyId, PartnerId
from gateway.core import jose, jwks, keyset, strict_json, tokens, vault
from gateway.core.keys import Alg, EncryptionKey, KeyEntry, PrivateKey, SigningKey, Use, VerifyKey
from gateway.core.strict_json import JsonObject
from gateway.keystores import secret_files
from gateway.keystores.files import DEV_PREFIX, INDEXES, KeystoreError, SecretUse

PAIR_DAYS: Final = 400
LONG_DAYS: Final = 3_650  # the root key is pinned by partners, index keys name rows: neither is changed lightly
REFERRALS: Final = (SecretUse.REFERRAL_KEK, SecretUse.REFERRAL_INDEX)
OUR_USES: Final = (Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT, Use.ENCRYPT)
_PUBLIC_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Whose keys, and from when. `dev` marks keys that only a gateway of profile dev takes."""

    owner: PartnerId
    now: datetime
    dev: bool = False
    passphrase: bytes | None = None

    def period(self, days: int) -> tuple[datetime, datetime]:
        """Return the first and the last instant of keys for `days`."""
        start = self.now.replace(microsecond=0)
        return start, start + timedelta(days=days)

    def kid(self, use: Use | SecretUse, mark: str) -> KeyId:
        """Return an id that says what the key is for and from which day."""
        return KeyId(f"{DEV_PREFIX if self.dev else ''}{use}-{self.now:%Y%m%d}-{mark}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A new key pair."""

    entry: VerifyKey | EncryptionKey
    private: PrivateKey


@dataclass(frozen=True, slots=True)
class Created:
    """Where new keys were written."""

    root: Path
    files: tuple[Path, ...]


def new_pair(plan: Plan, use: Use) -> Pair:
    """Draw a key pair: Ed25519 for checkpoints, P-256 for everything else."""
    valid_from, valid_to = plan.period(LONG_DAYS if use is Use.ROOT else PAIR_DAYS)
    if use is Use.CHECKPOINT:
        signer = ed25519.Ed25519PrivateKey.generate()
        kid = plan.kid(use, _mark(signer))
        public = signer.public_key()
        return Pair(
            VerifyKey(owner=plan.owner, kid=kid, use=use, valid_from=valid_from, valid_to=valid_to, alg=Alg.ED25519, public=public), signer
        )
    private = ec.generate_private_key(ec.SECP256R1())
    kid, point = plan.kid(use, _mark(private)), private.public_key()
    if use is Use.ENCRYPT:
        return Pair(EncryptionKey(owner=plan.owner, kid=kid, use=use, valid_from=valid_from, valid_to=valid_to, public=point), private)
    return Pair(
        VerifyKey(owner=plan.owner, kid=kid, use=use, valid_from=valid_from, valid_to=valid_to, alg=Alg.ES256, public=point), private
    )


def new_secret(plan: Plan, use: SecretUse) -> JsonObject:
    """Draw a symmetric key, as the JSON Web Key that goes into its file."""
    valid_from, valid_to = plan.period(LONG_DAYS if use in INDEXES else PAIR_DAYS)
    key = jose.b64encode(secrets.token_bytes(vault.KEY_BYTES)).decode()
    kid = plan.kid(use, secrets.token_hex(4))
    dates = {"valid_from": jwks.write_instant(valid_from), "valid_to": jwks.write_instant(valid_to)}
    return {"kty": "oct", "k": key, "kid": kid, "gw_use": use.value, **dates}


def create(directory: Path, root_out: Path, plan: Plan) -> Created:
    """Make all keys of a new gateway. Raises `KeystoreError` if there are any already, or if the root key would lie among the others."""
    public = directory / "public" / f"{plan.owner}.json"
    private = directory / "private"
    _refuse_existing(directory, root_out, public)
    for folder in (public.parent, directory / "trust", private, root_out):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root, pairs = new_pair(plan, Use.ROOT), [new_pair(plan, use) for use in OUR_USES]
    written = [root_out / f"{root.entry.kid}.pem"]
    secret_files.write(written[0], secret_files.write_private(root.private, plan.passphrase))
    for pair in pairs:
        written.append(private / f"{pair.entry.kid}.pem")
        secret_files.write(written[-1], secret_files.write_private(pair.private, plan.passphrase))
    written += _write_secrets(private, plan, SecretUse)
    entries = [pair.entry for pair in (root, *pairs)]
    secret_files.write(public, strict_json.canonical(jwks.write_jwks(entries)) + b"\n", mode=_PUBLIC_MODE)
    signed = public.with_suffix(".jwt")
    secret_files.write(signed, sign_key_set(entries, root.private, now=plan.now) + b"\n", mode=_PUBLIC_MODE)
    return Created(written[0], (*written[1:], public, signed))


def add_referrals(directory: Path, plan: Plan) -> tuple[Path, ...]:
    """Make the keys of the referrals' compartment for a gateway that has all others. Raises `KeystoreError` if there are any already."""
    private = directory / "private"
    there = sorted(path for use in REFERRALS for path in private.glob(f"*{use}-*.jwk"))
    if there or not private.is_dir():
        faults = [f"{path}: there are such keys already; nothing was written" for path in there]
        raise KeystoreError(faults or [f"{private}: there is no such folder; gateway keys init makes all keys"])
    return tuple(_write_secrets(private, plan, REFERRALS))


def _write_secrets(private: Path, plan: Plan, uses: Iterable[SecretUse]) -> list[Path]:
    written = []
    for secret in (new_secret(plan, use) for use in uses):
        written.append(private / f"{secret['kid']}.jwk")
        secret_files.write(written[-1], secret_files.write_secret(secret, plan.passphrase))
    return written


def sign_key_set(entries: Iterable[KeyEntry], root: PrivateKey, *, now: datetime) -> bytes:
    """Return our key set signed by the root key. Raises `KeystoreError` if `root` is the private half of no root key among `entries`."""
    entries = tuple(entries)
    for entry in entries:
        if isinstance(entry, VerifyKey) and entry.use is Use.ROOT and entry.public == root.public_key():
            claims = keyset.keyset_claims(entries, entry, jti=secrets.token_hex(16), now=now)
            return tokens.sign(claims, SigningKey(kid=entry.kid, use=Use.ROOT, private=root), typ=tokens.KEYS)
    raise KeystoreError(["this is not the gateway's root key"])


def _refuse_existing(directory: Path, root_out: Path, public: Path) -> None:
    private = directory / "private"
    faults = [f"{path}: there are keys already; nothing was written" for path in (public, public.with_suffix(".jwt")) if path.exists()]
    faults += [
        f"{folder}: there are keys already; nothing was written" for folder in (private, root_out) if any(folder.glob("*.[pj][ew][mk]"))
    ]
    if root_out.resolve() in {private.resolve(), public.parent.resolve(), (directory / "trust").resolve(), directory.resolve()}:
        faults.append(f"{root_out}: the root key must not lie among the other keys")
    if faults:
        raise KeystoreError(faults)


def _mark(key: PrivateKey) -> str:
    """Return the start of the public key's SHA-256, so that two keys of one day and use differ."""
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:8]
