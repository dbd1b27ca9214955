"""Private keys as files: PEM (PKCS 8) for key pairs, a JSON Web Key for symmetric keys; each encrypted, or for its owner's eyes only."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.registry import Header

from gateway.contract.errors import OperatorError
from gateway.core import strict_json
from gateway.core.keys import PrivateKey
from gateway.core.problems import RefusedInputError
from gateway.core.strict_json import JsonObject

_BYTES_MAX: Final = 16 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROUNDS: Final = 210_000  # of PBKDF2-HMAC-SHA-512 (OWASP password storage, 2023)
_BEGIN: Final = b"-----BEGIN "  # of a PEM block, before its label (RFC 7468)
_ENCRYPTED: Final = _BEGIN + b"ENCRYPTED PRIVATE KEY-----"
_PBES2: Final = ["PBES2-HS512+A256KW", "A256GCM"]


class KeyFileError(OperatorError):
    """A key file that must not be used; says why, never shows content."""


def read(path: Path) -> bytes:
    """Return a file's bytes. Raises `KeyFileError` if it is missing, no plain file, too large, or others may read it unencrypted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise KeyFileError("cannot be opened (a link is not followed)") from exc
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)  # of what was opened, not of what stands there now
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError("is no plain file")
        raw = file.read(_BYTES_MAX + 1)
    if len(raw) > _BYTES_MAX:
        raise KeyFileError(f"is larger than {_BYTES_MAX} bytes")
    if status.st_mode & _OTHERS and not _is_encrypted(raw):
        raise KeyFileError("may be read by others and is not encrypted: chmod 600")
    return raw


def write(path: Path, raw: bytes, *, mode: int = 0o600) -> None:
    """Write a new file, durably. Raises `FileExistsError`: a key is never overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(descriptor)


def read_private(raw: bytes, passphrase: bytes | None) -> PrivateKey:
    """Return the private key in a PEM file: P-256 or Ed25519. Raises `KeyFileError`."""
    if raw.count(_BEGIN) != 1:
        raise KeyFileError("must hold exactly one PEM block")
    encrypted = _ENCRYPTED in raw
    if encrypted and passphrase is None:
        raise KeyFileError("is encrypted and no passphrase is set")
    try:
        key = serialization.load_pem_private_key(raw, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyFileError("is no PKCS 8 key, or the passphrase is another") from exc
    if isinstance(key, ed25519.Ed25519PrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
        return key
    raise KeyFileError("must be a key on P-256 or Ed25519")


def write_private(key: PrivateKey, passphrase: bytes | None) -> bytes:
    """Return a private key as PEM, encrypted where a passphrase is given."""
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def read_secret(raw: bytes, passphrase: bytes | None) -> JsonObject:
    """Return the JSON Web Key in a file, opened where it is encrypted (RFC 7517, section 7). Raises `KeyFileError`."""
    try:
        if not _is_encrypted(raw):
            return strict_json.parse_object(raw)
        if passphrase is None:
            raise KeyFileError("is encrypted and no passphrase is set")
        opened = jwe.decrypt_compact(raw.strip(), OctKey.import_key(passphrase), algorithms=_PBES2)
        return strict_json.parse_object(opened.plaintext or b"")
    except (JoseError, ValueError, RefusedInputError) as exc:
        raise KeyFileError("is no JSON Web Key, or the passphrase is another") from exc


def write_secret(jwk: JsonObject, passphrase: bytes | None) -> bytes:
    """Return a symmetric JSON Web Key as file content, encrypted where a passphrase is given."""
    raw = strict_json.canonical(jwk)
    if passphrase is None:
        return raw + b"\n"
    header: Header = {"alg": _PBES2[0], "enc": _PBES2[1], "cty": "jwk+json", "p2c": _ROUNDS}
    return jwe.encrypt_compact(header, raw, OctKey.import_key(passphrase), algorithms=_PBES2).encode() + b"\n"


def _is_encrypted(raw: bytes) -> bool:
    return raw.startswith((_ENCRYPTED, b"eyJ"))
