"""Receipts as an auditor reads them: a compact JWS of type gw-receipt+jwt, ES256, by a receipt key of the gateway (design 3.5).

Apart from `core/tokens`, so that the offline check stands alone. It knows one algorithm, one type and our one spelling of JSON, and
takes nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.core.evidence import entries
from gateway.core.evidence.errors import UNREADABLE, EvidenceError

ReceiptKeys = Mapping[str, ec.EllipticCurvePublicKey]  # by `kid`
RECEIPT_BYTES_MAX: Final = 256 * 1024
_SIGNATURE_BYTES: Final = 64
_COORDINATE_BYTES: Final = 32
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")  # the spelling of our tokens
_KEYS: Final = msgspec.json.Encoder(order="sorted")
_T = TypeVar("_T")


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    alg: str
    kid: str
    typ: str


class _Received(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    iss: str
    jti: str
    digest: entries.Digest


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    iss: str
    aud: str
    iat: int
    jti: str
    received: _Received
    leaf: entries.Digest
    warnings: list[dict[str, Any]]
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose signature is good: the message (who, id, digest of the signing input), its leaf hash, the note it carried."""

    iss: str
    jti: str
    digest: str
    leaf: bytes
    checkpoint: str | None


def verify(text: str, keys: ReceiptKeys) -> Receipt:
    """Return the receipt in a compact JWS. Raises `EvidenceError` for any other shape, type, algorithm, key or signature.

    Does not show that the leaf is in a log. Does not look at the key's period: the log says when, and a thief of a key cannot add to it.
    """
    if len(text) > RECEIPT_BYTES_MAX:
        raise EvidenceError("not a receipt: too large")
    parts = text.split(".")
    if len(parts) != 3:
        raise EvidenceError("not a receipt: not three parts")
    head, body, signature = map(_base64url, parts)
    header = _strict(head, _Header)
    if (header.alg, header.typ) != ("ES256", "gw-receipt+jwt"):
        raise EvidenceError("not a receipt: another algorithm or type")
    key = keys.get(header.kid)
    if key is None:
        raise EvidenceError("receipt: the keys given do not have its kid")
    _check(key, signature, f"{parts[0]}.{parts[1]}".encode())
    claims = _strict(body, _Claims)
    return Receipt(claims.received.iss, claims.received.jti, claims.received.digest, bytes.fromhex(claims.leaf), claims.checkpoint)


def _check(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
    if len(signature) != _SIGNATURE_BYTES:
        raise EvidenceError("receipt: the signature has the wrong length")
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, signed, ec.ECDSA(SHA256()))
    except InvalidSignature as exc:
        raise EvidenceError("receipt: the signature is wrong") from exc


def read_keys(raw: bytes) -> ReceiptKeys:
    """Return the receipt keys of a JWKS (members of `gw_use` receipt; others are passed over). Raises `EvidenceError`."""
    try:
        value = msgspec.json.decode(raw, type=dict[str, list[dict[str, Any]]])
    except UNREADABLE:
        raise EvidenceError("keys: not a JWKS") from None
    keys: dict[str, ec.EllipticCurvePublicKey] = {}
    for jwk in value.get("keys", []):
        if jwk.get("gw_use") != "receipt":
            continue
        kid, public = _read_key(jwk)
        if kid in keys:
            raise EvidenceError("keys: a kid is there twice")
        keys[kid] = public
    return keys


def write_keys(keys: ReceiptKeys) -> bytes:
    """Return receipt keys as a JWKS."""
    return _KEYS.encode({"keys": [_write_key(kid, keys[kid]) for kid in sorted(keys)]})


def _read_key(jwk: Mapping[str, Any]) -> tuple[str, ec.EllipticCurvePublicKey]:
    kid, x, y = jwk.get("kid"), jwk.get("x"), jwk.get("y")
    if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256") or not isinstance(kid, str) or not isinstance(x, str) or not isinstance(y, str):
        raise EvidenceError("keys: a receipt key is not on P-256")
    across, up = _base64url(x), _base64url(y)
    if len(across) != _COORDINATE_BYTES or len(up) != _COORDINATE_BYTES:
        raise EvidenceError("keys: a coordinate of a receipt key has the wrong length")
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(across, "big"), int.from_bytes(up, "big"), ec.SECP256R1())
        return kid, numbers.public_key()
    except ValueError as exc:
        raise EvidenceError("keys: a receipt key is not a point of P-256") from exc


def _write_key(kid: str, key: ec.EllipticCurvePublicKey) -> Mapping[str, str]:
    numbers = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(_COORDINATE_BYTES, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "gw_use": "receipt"}


def _base64url(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceError("not base64url") from exc
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise EvidenceError("base64url is not canonical")
    return raw


def _strict(raw: bytes, kind: type[_T]) -> _T:
    """Read JSON of one kind in the one spelling we write: of two equal keys the decoder would lose one, and the comparison sees it."""
    try:
        if _ENCODER.encode(msgspec.json.decode(raw)) != raw:
            raise EvidenceError("not a receipt: its JSON is not in our spelling")
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE:
        raise EvidenceError("not a receipt: not its members") from None  # the cause may quote a value
