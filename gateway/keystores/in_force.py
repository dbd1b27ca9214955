"""Which of our keys are used at a moment, of each kind the newest that is valid then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.app.turn import InForce, Read
from gateway.app.world import Signers
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.keys import Use
from gateway.keystores.files import EPOCHS, KeystoreError, PrivateKeys
from gateway.keystores.generate import OUR_USES


def in_force(keys: PrivateKeys, origin: str) -> Read:
    """Return what says which keys are used when; it raises `KeystoreError` where one of a kind is missing. `origin` names the first log."""

    def at(now: datetime) -> InForce:
        checkpoint = _checkpoint_signer(keys, origin, now)
        return InForce(
            signers=signers(keys, now), checkpoint=checkpoint, registers=keys.registers(now), referrals=keys.referrals(now),
            ends=ends(keys, now),
        )  # fmt: skip

    return at


def ends(keys: PrivateKeys, now: datetime) -> Mapping[str, datetime]:
    """Return of each use until when we hold a key that is valid then, from now on without a gap; `now` where there is none."""
    held = keys.signing.keys() | keys.decryption_keys.keys()
    spans: dict[str, list[tuple[datetime, datetime]]] = {use.value: [] for use in (*OUR_USES, *EPOCHS)}
    for entry in keys.public.entries:
        if entry.kid in held and entry.revoked_at is None:
            spans[entry.use.value].append((entry.valid_from, entry.valid_to))
    for secret in keys.secrets:
        if secret.use in EPOCHS:
            spans[secret.use.value].append((secret.valid_from, secret.valid_to))
    return {use: _end(of_use, now) for use, of_use in spans.items()}


def _end(spans: Iterable[tuple[datetime, datetime]], now: datetime) -> datetime:
    end = now
    for valid_from, valid_to in sorted(spans):
        if valid_from <= end:
            end = max(end, valid_to)
    return end


def signers(keys: PrivateKeys, now: datetime) -> Signers:
    """Return the keys that sign tokens. Raises `KeystoreError`."""
    return Signers(document=keys.signing_key(Use.DOCUMENT, now), receipt=keys.signing_key(Use.RECEIPT, now), public=keys.public)


def _checkpoint_signer(keys: PrivateKeys, origin: str, now: datetime) -> CheckpointSigner:
    key = keys.signing_key(Use.CHECKPOINT, now)
    if not isinstance(key.private, Ed25519PrivateKey):
        raise KeystoreError([f"key {key.kid}: a checkpoint key is Ed25519"])
    return CheckpointSigner(origin, key.private)
