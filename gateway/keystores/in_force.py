"""Which of our keys are used at a moment, of each kind the newest that is valid then."""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.app.turn import InForce, Read
from gateway.app.world import Signers
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.keys import Use
from gateway.keystores.files import KeystoreError, PrivateKeys


def in_force(keys: PrivateKeys, origin: str) -> Read:
    """Return what says which keys are used when; it raises `KeystoreError` where one of a kind is missing. `origin` names the first log."""

    def at(now: datetime) -> InForce:
        checkpoint = _checkpoint_signer(keys, origin, now)
        return InForce(signers=signers(keys, now), checkpoint=checkpoint, registers=keys.registers(now), referrals=keys.referrals(now))

    return at


def signers(keys: PrivateKeys, now: datetime) -> Signers:
    """Return the keys that sign tokens. Raises `KeystoreError`."""
    return Signers(document=keys.signing_key(Use.DOCUMENT, now), receipt=keys.signing_key(Use.RECEIPT, now), public=keys.public)


def _checkpoint_signer(keys: PrivateKeys, origin: str, now: datetime) -> CheckpointSigner:
    key = keys.signing_key(Use.CHECKPOINT, now)
    if not isinstance(key.private, Ed25519PrivateKey):
        raise KeystoreError([f"key {key.kid}: a checkpoint key is Ed25519"])
    return CheckpointSigner(origin, key.private)
