"""Encryption at rest: payload under a message key, under a subject's key, under a key-encryption-key epoch (design 3.12).

Destroying a key ends what lies under it. What lies in one compartment neither opens nor is found by the keys of another. Keys and nonces
are arguments: core owns no dice.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.contract.errors import InvariantError
from gateway.contract.values import PartnerId, SubjectKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_LENGTH_BYTES: Final = 4


class VaultError(InvariantError):
    """What lies in the database does not open with the key that should open it: wrong place, wrong key, or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compartment:
    """The keys of rows that live together: an index key, and every key-encryption-key epoch there is; new keys go under `epoch`."""

    index_key: bytes = field(repr=False)
    keks: Mapping[str, bytes] = field(repr=False)
    epoch: str


def wrap(outer: bytes, key: bytes) -> bytes:
    """Return `key` under `outer` (AES Key Wrap, RFC 3394: needs no nonce). Raises `InvariantError` for keys of another length."""
    _check_keys(outer, key)
    return aes_key_wrap(outer, key)


def unwrap(outer: bytes, wrapped: bytes) -> bytes:
    """Return the key in `wrapped`. Raises `VaultError`."""
    _check_keys(outer)
    try:
        return aes_key_unwrap(outer, wrapped)
    except InvalidUnwrap as exc:
        raise VaultError("key") from exc


def rewrap(wrapped: bytes, *, old: bytes, new: bytes) -> bytes:
    """Return a wrapped key under a newer epoch, so that the older one can be destroyed. Raises `VaultError`."""
    return wrap(new, unwrap(old, wrapped))


def seal(key: bytes, plaintext: bytes, *, nonce: bytes, aad: bytes) -> bytes:
    """Return `nonce` and `plaintext` under `key` (AES-256-GCM). `aad` binds it to its place; a `nonce` never repeats under one key."""
    _check_keys(key)
    if len(nonce) != NONCE_BYTES:
        raise InvariantError("nonce length")
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def open_sealed(key: bytes, sealed: bytes, *, aad: bytes) -> bytes:
    """Return what `seal` put there. Raises `VaultError` if key, place or bytes are not the same."""
    _check_keys(key)
    if len(sealed) < NONCE_BYTES:
        raise VaultError("payload")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag as exc:
        raise VaultError("payload") from exc


def subject_key_of(index_key: bytes, partner: PartnerId, iss: str, ref: str) -> SubjectKey:
    """Return the row key of a subject: hex HMAC-SHA-256, so that a row says nothing about the person."""
    return SubjectKey(_index(index_key, "subject", partner, iss, ref).hex())


def record_key_of(index_key: bytes, partner: PartnerId, subject: SubjectKey) -> bytes:
    """Return the bus key of a (partner, subject): the outer zone cannot link a person over partners (design 3.11)."""
    return _index(index_key, "record", partner, subject)


def conversation_key_of(index_key: bytes, txn: str) -> str:
    """Return what a row may say in place of its `txn`: hex HMAC-SHA-256, which without the index key joins with no other `txn`."""
    return _index(index_key, "conversation", txn).hex()


def _index(index_key: bytes, label: str, *parts: str) -> bytes:
    """HMAC over a label and length-prefixed parts, so that no two lists of parts are the same bytes."""
    _check_keys(index_key)
    mac = hmac.new(index_key, digestmod=sha256)
    for part in (label, *parts):
        raw = part.encode()
        mac.update(len(raw).to_bytes(_LENGTH_BYTES, "big") + raw)
    return mac.digest()


def _check_keys(*keys: bytes) -> None:
    if any(len(key) != KEY_BYTES for key in keys):
        raise InvariantError("key length")
