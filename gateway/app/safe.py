"""Payloads at rest: under a message key, under the subject's key, under a key-encryption-key epoch (erasure by key destruction)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.app.ports import Dice, SubjectRow, WrappedKey
from gateway.contract.errors import OperatorError
from gateway.contract.values import PartnerId, Ref, SubjectKey
from gateway.core import vault


class EpochMissingError(OperatorError):
    """A row names a key-encryption-key epoch that is not loaded."""


class Safe:
    """Holds the key-encryption keys and the index key; only inner has one."""

    def __init__(self, keks: Mapping[str, bytes], epoch: str, index_key: bytes, dice: Dice) -> None:
        """Wrap new keys under `epoch`; unwrap under any of `keks`."""
        self._keks, self._epoch, self._index_key, self._dice = keks, epoch, index_key, dice

    def index(self, subject: tuple[PartnerId, str, str]) -> SubjectKey:
        """Return the row key of a subject: an HMAC, so that the row says nothing about the person."""
        return vault.subject_key_of(self._index_key, *subject)

    def record_key(self, partner: PartnerId, subject: SubjectKey) -> bytes:
        """Return the bus key of a (partner, subject)."""
        return vault.record_key_of(self._index_key, partner, subject)

    def new_subject_key(self) -> WrappedKey:
        """Make a key for a subject that may be new."""
        return WrappedKey(self._epoch, vault.wrap(self._keks[self._epoch], self._dice.key()))

    def subject_key(self, row: SubjectRow) -> bytes:
        """Unwrap a subject's key. Raises `EpochMissingError`."""
        kek = self._keks.get(row.epoch)
        if kek is None:
            raise EpochMissingError(row.epoch)
        return vault.unwrap(kek, row.wrapped)

    def new_message_key(self, row: SubjectRow) -> tuple[bytes, bytes]:
        """Make a message key; return it, and as wrapped under the subject's key."""
        key = self._dice.key()
        return key, vault.wrap(self.subject_key(row), key)

    def message_key(self, row: SubjectRow, wrapped: bytes) -> bytes:
        """Unwrap a message key."""
        return vault.unwrap(self.subject_key(row), wrapped)

    def seal(self, key: bytes, plaintext: bytes, *, of: Ref, what: str) -> bytes:
        """Encrypt one part of a message; `of` and `what` bind it to its place."""
        return vault.seal(key, plaintext, nonce=self._dice.key()[: vault.NONCE_BYTES], aad=_place(of, what))

    def open(self, key: bytes, sealed: bytes, *, of: Ref, what: str) -> bytes:
        """Decrypt one part of a message. Raises `InvariantError` if it is not what was put there."""
        return vault.open_sealed(key, sealed, aad=_place(of, what))


def _place(of: Ref, what: str) -> bytes:
    return f"{what}\x00{of.iss}\x00{of.jti}".encode()
