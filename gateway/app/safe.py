"""Payloads at rest: under a message key, under the subject's key, under a key-encryption-key epoch (erasure by key destruction).

Two compartments, each with an index key and epochs of its own: the registers', and that of support referrals (R-REF-03). A referral, and
every message that counts to its subject, is kept, found and joined by the keys of its compartment alone: the same person under the same
reference has two row keys that nobody can tell to be one without both index keys.
"""

from __future__ import annotations

from typing import Final

from gateway.app.ports import Dice, SubjectRow, WrappedKey
from gateway.contract.errors import OperatorError
from gateway.contract.values import PartnerId, Ref, SubjectKey
from gateway.core import referral, vault
from gateway.core.message import Message
from gateway.core.vault import Compartment

REFERRALS: Final = "r-"  # before the row key of a subject of the referrals' compartment


class EpochMissingError(OperatorError):
    """A row names a key-encryption-key epoch that is not loaded, or not of its compartment."""


class Safe:
    """Holds the keys of both compartments; only inner has one."""

    def __init__(self, registers: Compartment, referrals: Compartment, dice: Dice) -> None:
        """Take the keys: what is new goes under the `epoch` of its compartment, what is old opens under any of its `keks`."""
        self._registers, self._referrals, self._dice = registers, referrals, dice

    def use(self, registers: Compartment, referrals: Compartment) -> None:
        """Take other keys: a new epoch for what is new, one more or less for what is old."""
        self._registers, self._referrals = registers, referrals

    def index(self, message: Message, answered: SubjectKey | None = None) -> SubjectKey:
        """Return the row key of a message's subject: an HMAC, so that the row says nothing about the person.

        A reply counts to the subject of what it answers; a referral stays among referrals, whatever it answers.
        """
        referred = message.family.name == referral.FAMILY
        if answered is not None and (is_referral(answered) or not referred):
            return answered
        if not referred:
            return vault.subject_key_of(self._registers.index_key, *message.subject)
        return SubjectKey(REFERRALS + vault.subject_key_of(self._referrals.index_key, *message.subject))

    def conversation(self, subject: SubjectKey, txn: str) -> str:
        """Return a message's `txn` as its row says it: among referrals an HMAC, as the same `txn` may stand with a register's message."""
        return vault.conversation_key_of(self._referrals.index_key, txn) if is_referral(subject) else txn

    def record_key(self, partner: PartnerId, subject: SubjectKey) -> bytes:
        """Return the bus key of a (partner, subject)."""
        return vault.record_key_of(self._of(subject).index_key, partner, subject)

    def new_subject_key(self, subject: SubjectKey) -> WrappedKey:
        """Make a key for a subject that may be new."""
        compartment = self._of(subject)
        return WrappedKey(compartment.epoch, vault.wrap(compartment.keks[compartment.epoch], self._dice.key()))

    def subject_key(self, row: SubjectRow) -> bytes:
        """Unwrap a subject's key. Raises `EpochMissingError`."""
        kek = self._of(row.key).keks.get(row.epoch)
        if kek is None:
            raise EpochMissingError(row.epoch)
        return vault.unwrap(kek, row.wrapped)

    @property
    def epochs(self) -> frozenset[str]:
        """What new keys of subjects are put under."""
        return frozenset({self._registers.epoch, self._referrals.epoch})

    def rewrapped(self, key: SubjectKey, epoch: str, wrapped: bytes) -> WrappedKey:
        """Return a subject's key under the epoch in force. Raises `EpochMissingError`."""
        plain = self.subject_key(SubjectRow(key=key, seq=0, epoch=epoch, wrapped=wrapped))
        now = self._of(key)
        return WrappedKey(now.epoch, vault.wrap(now.keks[now.epoch], plain))

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

    def _of(self, subject: SubjectKey) -> Compartment:
        return self._referrals if is_referral(subject) else self._registers


def is_referral(subject: SubjectKey) -> bool:
    """Say whether a row key is that of a subject of referrals."""
    return subject.startswith(REFERRALS)


def _place(of: Ref, what: str) -> bytes:
    return f"{what}\x00{of.iss}\x00{of.jti}".encode()
