"""Keys in a folder. Everything wrong with it is found and reported at once; nothing of it is then used.

```text
public/<gateway id>.json   our public keys, a JWKS with dates      public/<gateway id>.jwt   the same, signed by the root key
private/<kid>.pem          P-256 and Ed25519, PKCS 8               private/<kid>.jwk         key-encryption keys and index keys
trust/<partner>.json       a partner's public keys, a JWKS with dates
```

The root's private key is in none of these: `gateway keys init` writes it elsewhere and it is then taken offline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.contract.errors import OperatorError
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jose, jwks, vault
from gateway.core.keyring import Keyring
from gateway.core.keys import DecryptionKey, EncryptionKey, KeyEntry, PrivateKey, SigningKey, Use, VerifyKey
from gateway.core.problems import RefusedInputError
from gateway.core.vault import Compartment
from gateway.keystores import secret_files
from gateway.keystores.secret_files import KeyFileError

DEV_PREFIX: Final = "dev-"
PASSPHRASE_BYTES_MIN: Final = 14  # 112 bits at most: less is no protection of a stolen disk
_PARTNER: Final = re.compile(r"[a-z0-9-]{2,32}")
_PUBLIC_BYTES_MAX: Final = 256 * 1024
_SECRET_MEMBERS: Final = frozenset({"kty", "k", "kid", "gw_use", "valid_from", "valid_to"})
_SIGNS: Final = (Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT)


class SecretUse(StrEnum):
    """What a symmetric key is for."""

    KEK = "kek"  # a key-encryption-key epoch: its `kid` is the epoch
    INDEX = "index"  # makes row and record keys of subjects; never changes while there are rows
    REFERRAL_KEK = "referral-kek"  # the same two for support referrals, which live apart (R-REF-03)
    REFERRAL_INDEX = "referral-index"


EPOCHS: Final = (SecretUse.KEK, SecretUse.REFERRAL_KEK)
INDEXES: Final = (SecretUse.INDEX, SecretUse.REFERRAL_INDEX)


class KeystoreError(OperatorError):
    """Keys that do not load. `faults` names every file and member; the gateway does not start."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Keep all faults."""
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A symmetric key and when new things are put under it."""

    kid: str
    use: SecretUse
    valid_from: datetime
    valid_to: datetime
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeys:
    """What inner holds and nobody else: our private keys, each with its own `kid` and use."""

    public: Keyring
    signing: Mapping[KeyId, SigningKey] = field(repr=False)
    decryption_keys: Mapping[KeyId, DecryptionKey] = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)

    def signing_key(self, use: Use, now: datetime) -> SigningKey:
        """Return the newest key of ours that signs for `use` at `now`. Raises `KeystoreError` if none is valid."""
        entries = [e for e in self.public.entries if e.use is use and e.kid in self.signing]
        valid = [e for e in entries if e.revoked_at is None and e.valid_from <= now < e.valid_to]
        if not valid:
            raise KeystoreError([f"no {use} key is valid now"])
        return self.signing[max(valid, key=lambda e: (e.valid_from, e.kid)).kid]

    def registers(self, now: datetime) -> Compartment:
        """Return the keys of what registers' messages are kept under. Raises `KeystoreError` if no epoch is valid."""
        return self._compartment(SecretUse.KEK, SecretUse.INDEX, now)

    def referrals(self, now: datetime) -> Compartment:
        """Return the keys of what support referrals are kept under. Raises `KeystoreError` if no epoch is valid."""
        return self._compartment(SecretUse.REFERRAL_KEK, SecretUse.REFERRAL_INDEX, now)

    def _compartment(self, kek: SecretUse, index: SecretUse, now: datetime) -> Compartment:
        keks = [secret for secret in self.secrets if secret.use is kek]
        valid = [s for s in keks if s.valid_from <= now < s.valid_to]
        if not valid:
            raise KeystoreError([f"no {kek} is valid now"])
        (index_key,) = (secret.key for secret in self.secrets if secret.use is index)
        newest = max(valid, key=lambda s: (s.valid_from, s.kid))
        return Compartment(index_key=index_key, keks={s.kid: s.key for s in keks}, epoch=newest.kid)


class FileKeystore:
    """Reads the keys a role may hold: `trusted` and `own` in every role, `private` in inner alone."""

    def __init__(self, directory: Path, gateway: PartnerId, *, dev: bool = False, passphrase: bytes | None = None) -> None:
        """Name the folder and whose it is. `dev` lets keys through that say they are for development only."""
        self._directory = directory
        self._gateway = gateway
        self._dev = dev
        self._passphrase = passphrase

    def trusted(self) -> Keyring:
        """Return the partners' public keys. Raises `KeystoreError`: one key that does not load stops the start."""
        faults: list[str] = []
        entries: list[KeyEntry] = []
        folder = self._directory / "trust"
        for path in _files(folder, faults):
            if path.suffix != ".json" or not _PARTNER.fullmatch(path.stem) or path.stem == self._gateway:
                faults.append(f"{path}: is not named <partner id>.json")
                continue
            entries += self._public(path, PartnerId(path.stem), faults)
        _stop(faults)
        return Keyring(entries)

    def own(self) -> Keyring:
        """Return our own public keys. Raises `KeystoreError`."""
        faults: list[str] = []
        entries = self._public(self._directory / "public" / f"{self._gateway}.json", self._gateway, faults)
        _stop(faults)
        return Keyring(entries)

    def key_set(self) -> bytes:
        """Return our key set as the root key signed it. Raises `KeystoreError`."""
        path = self._directory / "public" / f"{self._gateway}.jwt"
        try:
            return path.read_bytes().rstrip(b"\n")
        except OSError as exc:
            raise KeystoreError([f"{path}: cannot be read; gateway keys export makes it"]) from exc

    def private(self) -> PrivateKeys:
        """Return our private keys, compared with our public ones. Raises `KeystoreError` with every fault."""
        faults: list[str] = []
        if self._passphrase is not None and len(self._passphrase) < PASSPHRASE_BYTES_MIN:
            raise KeystoreError([f"the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes"])
        public = self.own()
        load = _Private({entry.kid: entry for entry in public.entries}, self._passphrase, dev=self._dev)
        for path in _files(self._directory / "private", faults):
            try:
                load.file(path)
            except (KeyFileError, RefusedInputError, ValueError) as exc:
                faults.append(f"{path}: {exc.problem.detail if isinstance(exc, RefusedInputError) else exc}")
        faults += [f"{self._directory / 'private'}: {fault}" for fault in load.missing()]
        _stop(faults)
        return PrivateKeys(public=public, signing=load.signing, decryption_keys=load.decryption, secrets=tuple(load.secrets))

    def _public(self, path: Path, owner: PartnerId, faults: list[str]) -> tuple[KeyEntry, ...]:
        try:
            with path.open("rb") as file:
                entries = jwks.read_jwks(file.read(_PUBLIC_BYTES_MAX), owner)  # what is cut off is no JSON
        except OSError:
            faults.append(f"{path}: cannot be read")
            return ()
        except jwks.JwksError as exc:
            faults += [f"{path}: {fault}" for fault in exc.faults]
            return ()
        faults += [f"{path}: {fault}" for entry in entries for fault in _dev_faults(entry.kid, dev=self._dev)]
        return entries


class _Private:
    """Collects private keys from files, each into the place that its public key or its own `gw_use` names."""

    def __init__(self, public: Mapping[str, KeyEntry], passphrase: bytes | None, *, dev: bool) -> None:
        self._public = public
        self._passphrase = passphrase
        self._dev = dev
        self.signing: dict[KeyId, SigningKey] = {}
        self.decryption: dict[KeyId, DecryptionKey] = {}
        self.secrets: list[Secret] = []

    def file(self, path: Path) -> None:
        """Take one file. Raises `KeyFileError`, `RefusedInputError` or `ValueError` with what is wrong."""
        readers: Mapping[str, Callable[[bytes, KeyId], None]] = {".pem": self._pair, ".jwk": self._secret}
        reader = readers.get(path.suffix)
        if reader is None:
            raise KeyFileError("is neither <kid>.pem nor <kid>.jwk")
        for fault in _dev_faults(path.stem, dev=self._dev):
            raise KeyFileError(fault)
        reader(secret_files.read(path), KeyId(path.stem))

    def missing(self) -> list[str]:
        """Name the uses that nothing was found for, and secrets that are not two: a compartment under a common key is none."""
        has = {key.use for key in self.signing.values()}
        faults = [f"no {use} key" for use in _SIGNS if use not in has]
        if not self.decryption:
            faults.append(f"no {Use.ENCRYPT} key")
        counts = Counter(secret.use for secret in self.secrets)
        faults += [f"no {use} key" for use in EPOCHS if not counts[use]]
        faults += [f"{counts[use]} {use} keys: there must be exactly one" for use in INDEXES if counts[use] != 1]
        return faults + [f"{a.kid} and {b.kid} are one key" for a, b in combinations(self.secrets, 2) if a.key == b.key]

    def _pair(self, raw: bytes, kid: KeyId) -> None:
        key = secret_files.read_private(raw, self._passphrase)
        entry = self._public.get(kid)
        if entry is None:
            raise KeyFileError("has no public key of this id")
        if not isinstance(entry, VerifyKey | EncryptionKey) or key.public_key() != entry.public:
            raise KeyFileError("does not belong to the public key of this id")
        self._place(key, entry)

    def _place(self, key: PrivateKey, entry: KeyEntry) -> None:
        if entry.use is Use.ENCRYPT and isinstance(key, ec.EllipticCurvePrivateKey):
            self.decryption[entry.kid] = DecryptionKey(kid=entry.kid, private=key)
        elif entry.use in _SIGNS:
            self.signing[entry.kid] = SigningKey(kid=entry.kid, use=entry.use, private=key)
        else:
            raise KeyFileError(f"is a {entry.use} key: it does not belong on this machine, take it away")

    def _secret(self, raw: bytes, kid: KeyId) -> None:
        jwk = secret_files.read_secret(raw, self._passphrase)
        if jwk.keys() != _SECRET_MEMBERS:
            raise KeyFileError(f"must have exactly the members {', '.join(sorted(_SECRET_MEMBERS))}")
        if jwk["kty"] != "oct" or jwk["kid"] != kid or jwk["gw_use"] not in tuple(SecretUse):
            raise KeyFileError("kty, kid or gw_use is not what it must be")
        key = jose.b64decode(jwk["k"].encode()) if isinstance(jwk["k"], str) else b""
        if len(key) != vault.KEY_BYTES:
            raise KeyFileError(f"k must be {vault.KEY_BYTES} bytes")
        valid_from, valid_to = (jwks.read_instant(jwk[name]) for name in ("valid_from", "valid_to"))
        self.secrets.append(Secret(kid=kid, use=SecretUse(jwk["gw_use"]), valid_from=valid_from, valid_to=valid_to, key=key))


def _files(folder: Path, faults: list[str]) -> list[Path]:
    """List a folder of keys; what is not there is a fault, hidden files (`.gitkeep`) and README.md are none."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "README.md")
    except OSError:
        faults.append(f"{folder}: cannot be read")
        return []


def _dev_faults(kid: str, *, dev: bool) -> list[str]:
    return [f"key {kid} is for development only"] if kid.startswith(DEV_PREFIX) and not dev else []


def _stop(faults: list[str]) -> None:
    if faults:
        raise KeystoreError(faults)
