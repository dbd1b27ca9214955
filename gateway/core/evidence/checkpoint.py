"""Signed tree heads as everybody's tools read them: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519.

    example.org/gateway/1            origin: the log, and the name of its key
    17                               size
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=
                                     an empty line, then signatures: name, base64(key id, signature)
    — example.org/gateway/1 uSsYI…

A note is read strictly: one spelling, no other line. Signatures of keys we were not given (witnesses) are passed over; one of ours must
be there and good.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.contract.errors import InvariantError
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.merkle import HASH_BYTES

NOTE_BYTES_MAX: Final = 8 * 1024  # three lines and SIGNATURES_COUNT_MAX signatures
SIGNATURES_COUNT_MAX: Final = 16  # ours and a few witnesses
_ED25519: Final = b"\x01"  # signature type of C2SP signed-note
_KEY_ID_BYTES: Final = 4
_SIZE_MAX: Final = 2**63 - 1  # what a signed 64-bit position can count
_ORIGIN: Final = re.compile(r"[a-z0-9][a-z0-9./-]{0,127}")  # narrower than C2SP: no capitals, so that no two look alike
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE: Final = re.compile(r"— ([^\s+]{1,255}) ([A-Za-z0-9+/]+=*)")
_VKEY: Final = re.compile(r"([a-z0-9][a-z0-9./-]{0,127})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")
_Signer = tuple[str, bytes]  # name and key id


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of one log: how many leaves, under which root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed text. Raises `InvariantError` for what is no tree head."""
        if not _ORIGIN.fullmatch(self.origin) or not 0 <= self.size <= _SIZE_MAX or len(self.root) != HASH_BYTES:
            raise InvariantError("not a tree head", self.size)
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """The public key of a log. The same key under another name is another key: its id covers both."""

    name: str
    public: Ed25519PublicKey

    def __post_init__(self) -> None:
        """Refuse names that no note can carry."""
        if not _ORIGIN.fullmatch(self.name):
            raise InvariantError("not the name of a log")

    @property
    def key_id(self) -> bytes:
        """The first bytes of SHA-256 over name, newline, type and key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public.public_bytes_raw()).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as one line of text: name, id, type and key (C2SP signed-note, verifier keys)."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public.public_bytes_raw()).decode()}"

    @staticmethod
    def parse(vkey: str) -> CheckpointKey:
        """Return the key that `vkey` spells. Raises `EvidenceError`, also where its id is not that of its key."""
        match = _VKEY.fullmatch(vkey)
        raw = _base64(match[3]) if match else b""
        if match is None or raw[:1] != _ED25519 or len(raw) != 1 + HASH_BYTES:
            raise EvidenceError("not an Ed25519 verifier key")
        key = CheckpointKey(match[1], Ed25519PublicKey.from_public_bytes(raw[1:]))
        if key.vkey != vkey:
            raise EvidenceError(f"verifier key {match[1]}: the id is not that of the key")
        return key


@dataclass(frozen=True, slots=True)
class CheckpointSigner:
    """The private key of a log, with the log's name: what only the sequencer holds."""

    origin: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def key(self) -> CheckpointKey:
        """The public half."""
        return CheckpointKey(self.origin, self.private.public_key())

    def sign(self, size: int, root: bytes) -> str:
        """Return the signed note of a tree head. Raises `InvariantError` for what is none."""
        text = Checkpoint(self.origin, size, root).text
        signature = base64.b64encode(self.key.key_id + self.private.sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n"


def verify(note: str, keys: Sequence[CheckpointKey]) -> Checkpoint:
    """Return the tree head that one of `keys`, named like its log, has signed.

    Does not show that the log only grew: `merkle.verify_consistency` does. Raises `EvidenceError`.
    """
    checkpoint, lines = _parse(note)
    trusted = {(key.name, key.key_id): key for key in keys}
    ours = [(trusted[signer], raw) for signer, raw in lines if signer in trusted and signer[0] == checkpoint.origin]
    if not ours:
        raise EvidenceError("checkpoint: none of the keys given has signed it")
    for key, raw in ours:  # a bad signature of a key we trust is no reason to look for a good one
        try:
            key.public.verify(raw[_KEY_ID_BYTES:], checkpoint.text.encode())
        except InvalidSignature as exc:
            raise EvidenceError(f"checkpoint: the signature of key {key.key_id.hex()} is wrong") from exc
    return checkpoint


def _parse(note: str) -> tuple[Checkpoint, list[tuple[_Signer, bytes]]]:
    """Return what a note says and its signatures (signer; key id and signature), none of it checked."""
    if len(note) > NOTE_BYTES_MAX:
        raise EvidenceError("checkpoint: larger than a note may be")
    text, gap, tail = note.partition("\n\n")
    lines = text.split("\n")
    if not gap or len(lines) != 3 or not tail.endswith("\n"):
        raise EvidenceError("checkpoint: not three lines, an empty line and signatures")
    origin, size, root = lines
    if not _ORIGIN.fullmatch(origin) or not _SIZE.fullmatch(size) or int(size) > _SIZE_MAX:
        raise EvidenceError("checkpoint: not an origin and a size")
    decoded = _base64(root)
    if len(decoded) != HASH_BYTES:
        raise EvidenceError("checkpoint: not a root of 32 bytes")
    return Checkpoint(origin, int(size), decoded), _signatures(tail[:-1].split("\n"))


def _signatures(lines: Sequence[str]) -> list[tuple[_Signer, bytes]]:
    if len(lines) > SIGNATURES_COUNT_MAX:
        raise EvidenceError("checkpoint: too many signatures")
    found: list[tuple[_Signer, bytes]] = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        raw = _base64(match[2]) if match else b""
        if match is None or len(raw) <= _KEY_ID_BYTES:
            raise EvidenceError("checkpoint: a line is not a signature")
        found.append(((match[1], raw[:_KEY_ID_BYTES]), raw))
    if len(dict(found)) != len(found):
        raise EvidenceError("checkpoint: a key has signed twice")
    return found


def _base64(text: str) -> bytes:
    """Return what `text` spells in its one spelling of standard base64, padded. Raises `EvidenceError`."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceError("checkpoint: not base64") from exc
    if base64.b64encode(raw).decode() != text:
        raise EvidenceError("checkpoint: base64 is not canonical")
    return raw
