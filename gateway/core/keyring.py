"""The public keys we trust: found by owner, id and use together, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.contract.errors import OperatorError
from gateway.contract.values import KeyId, PartnerId
from gateway.core.keys import EncryptionKey, KeyEntry, Use, VerifyKey
from gateway.core.problems import UntrustedError


class NoEncryptionKeyError(OperatorError):
    """A partner has no valid key to encrypt to: nothing can be sent to it."""


class KeyringError(OperatorError):
    """Two trusted keys of one owner share an id."""


class Keyring:
    """Trusted public keys. Never changed: a reload makes a new one."""

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        """Take the keys. Raises `KeyringError` where an owner has one id twice."""
        self._by_id: dict[tuple[PartnerId, KeyId], KeyEntry] = {}
        for entry in entries:
            if self._by_id.setdefault((entry.owner, entry.kid), entry) is not entry:
                raise KeyringError(entry.owner, entry.kid)

    @property
    def entries(self) -> tuple[KeyEntry, ...]:
        """Every key, by owner and id."""
        return tuple(entry for _, entry in sorted(self._by_id.items(), key=lambda item: item[0]))

    def find(self, owner: PartnerId, kid: KeyId, *, use: Use) -> VerifyKey:
        """Return the one key that owner, id and use agree on. Raises `UntrustedError` if unknown, of another use or revoked.

        The period is a question of its own: call `check_period` on the answer, unless these very bytes were accepted before (design 3.2).
        """
        entry = self._verify_key(owner, kid, use)
        if entry.revoked_at is not None:
            raise UntrustedError(f"key {kid} of {owner} is revoked")
        return entry

    def find_at(self, owner: PartnerId, kid: KeyId, *, use: Use, at: datetime) -> VerifyKey:
        """Return the key that was good at `at`: so an old receipt verifies for ever. Raises `UntrustedError`.

        A thief of the key chooses `iat` himself: of a revoked key, believe a receipt only with its inclusion proof in a checkpoint seen
        before the revocation.
        """
        entry = self._verify_key(owner, kid, use)
        entry.check_period(at)
        if entry.revoked_at is not None and entry.revoked_at <= at:
            raise UntrustedError(f"key {kid} of {owner} was revoked by then")
        return entry

    def encryption_key(self, owner: PartnerId, now: datetime) -> EncryptionKey:
        """Return the newest key that `owner` takes encryption to. Raises `NoEncryptionKeyError`."""
        valid = [
            entry
            for entry in self._by_id.values()
            if isinstance(entry, EncryptionKey)
            and entry.owner == owner
            and entry.revoked_at is None
            and entry.valid_from <= now < entry.valid_to
        ]
        if not valid:
            raise NoEncryptionKeyError(owner)
        return max(valid, key=lambda entry: (entry.valid_from, entry.kid))

    def _verify_key(self, owner: PartnerId, kid: KeyId, use: Use) -> VerifyKey:
        entry = self._by_id.get((owner, kid))
        if not isinstance(entry, VerifyKey) or entry.use != use:
            raise UntrustedError(f"{owner} has no {use} key {kid}")  # never "try the others"
        return entry
