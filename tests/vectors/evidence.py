"""A small log that is good in every way, and how to change one thing of it. Keys are throw-away and made from fixed bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.contract.values import KeyId
from gateway.core import tokens
from gateway.core.evidence import entries
from gateway.core.evidence.bundle import Keys, Leaf
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.evidence.merkle import leaf_hash, root_of
from gateway.core.keys import SigningKey, Use

ORIGIN = "gateway.example/log/1"
SIGNER = CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
RECEIPT_KEY = SigningKey(kid=KeyId("receipt-1"), use=Use.RECEIPT, private=ec.derive_private_key(1001, ec.SECP256R1()))
KEYS = Keys((SIGNER.key,), {"receipt-1": RECEIPT_KEY.private.public_key()})
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def uuid(number: int) -> str:
    return f"01890a5d-ac96-774b-bcce-{number:012x}"


def accepted(number: int) -> entries.Accepted:
    return entries.Accepted(
        at=entries.moment(START + timedelta(seconds=number)), iss="ie-register", jti=uuid(number), digest=f"{number:064x}",
        family="travel-notification", family_version="1.0", decided_by={"policies": "b" * 64, "gateway": "0.1.0"},
        legs=(entries.Leg(leg_id=uuid(1000 + number), jti=uuid(2000 + number), partner="fr-police", countries=("FR",), state="planned", because=("send-neighbours",)),),
        refusals=(entries.Refusal(country="XK", reason="NO_PARTNER"),),
    )  # fmt: skip


def log(count: int, *, origin: str = ORIGIN) -> list[bytes]:
    """Return the entries of a log: the one that opens it, and accepted messages numbered like their leaves."""
    opened = entries.LogOpened(at=entries.moment(START), origin=origin).encode()
    return [opened, *(accepted(number).encode() for number in range(1, count))]


def leaves(raw: Sequence[bytes]) -> list[Leaf]:
    return [Leaf(index, entry, leaf_hash(entry)) for index, entry in enumerate(raw)]


def note(raw: Sequence[bytes], signer: CheckpointSigner = SIGNER) -> str:
    return signer.sign(len(raw), root_of(map(leaf_hash, raw)))


@dataclass
class ReceiptOf:
    """A receipt for leaf `number` of `log`, each part of which a test may change before it is signed."""

    number: int
    checkpoint: str | None = None
    leaf: str | None = None
    digest: str | None = None
    key: SigningKey = RECEIPT_KEY

    @property
    def claims(self) -> dict[str, object]:
        entry = accepted(self.number)
        return {
            "iss": "gateway", "aud": entry.iss, "iat": 1795262400, "jti": uuid(9000 + self.number),
            "received": {"iss": entry.iss, "jti": entry.jti, "digest": self.digest or entry.digest},
            "leaf": self.leaf or leaf_hash(entry.encode()).hex(), "warnings": [], "checkpoint": self.checkpoint,
        }  # fmt: skip

    def sign(self, typ: str = tokens.RECEIPT) -> str:
        return tokens.sign(self.claims, self.key, typ=typ).decode()
