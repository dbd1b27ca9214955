"""Keys as types: one key, one use, one period. Holding the right type is holding the right key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.contract.values import KeyId, PartnerId
from gateway.core.problems import UntrustedError

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Use(StrEnum):
    """What a key is for. `gw_use` in a JWKS; no key has two."""

    SUBMIT = "submit"  # a partner signs messages
    DOCUMENT = "document"  # we sign deliveries
    REQUEST = "request"  # a partner signs API requests
    COMMAND = "command"  # an operator signs commands
    RECEIPT = "receipt"  # we sign receipts and rejections
    CHECKPOINT = "checkpoint"  # we sign tree heads (C2SP notes, not tokens)
    ROOT = "root"  # offline: signs our key set
    ENCRYPT = "encrypt"  # others encrypt to the owner


class Alg(StrEnum):
    """What a key can do: fixed by the key, never by a token's header."""

    ES256 = "ES256"
    ED25519 = "Ed25519"
    ECDH_ES = "ECDH-ES"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A public key we know: whose, for what, and from when to when (`valid_to` itself is outside)."""

    owner: PartnerId
    kid: KeyId
    use: Use
    valid_from: datetime
    valid_to: datetime
    revoked_at: datetime | None = None
    previous: KeyId | None = None  # our own key set: the key that this one follows

    def check_period(self, at: datetime) -> None:
        """Raise `UntrustedError` unless `at` is inside the period.

        Apart from `Keyring.find`, because a repeat signed with a since expired key still gets its stored receipt (design 3.2).
        """
        if not self.valid_from <= at < self.valid_to:
            raise UntrustedError(f"key {self.kid} is outside its period")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyKey(KeyEntry):
    """A public key that checks signatures."""

    alg: Alg
    public: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKey(KeyEntry):
    """A public P-256 key that its owner decrypts for."""

    public: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key that signs; its text form never shows the key."""

    kid: KeyId
    use: Use
    private: PrivateKey = field(repr=False)

    @property
    def alg(self) -> Alg:
        """The one algorithm of this key."""
        return Alg.ES256 if isinstance(self.private, ec.EllipticCurvePrivateKey) else Alg.ED25519


@dataclass(frozen=True, slots=True, kw_only=True)
class DecryptionKey:
    """A private P-256 key. It opens what was encrypted to it for as long as it exists: its end is its destruction."""

    kid: KeyId
    private: ec.EllipticCurvePrivateKey = field(repr=False)
