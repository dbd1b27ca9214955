"""Compact JWE with the one allowed suite: ECDH-ES on P-256 and A256GCM (RFC 7516, RFC 7518 sections 4.6 and 5.3).

Assembled on `cryptography` directly, because it is on the way of every message. The ephemeral key is drawn by `cryptography`
inside `encrypt`: with signatures, the only place where core lets a library roll dice.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.contract.values import KeyId
from gateway.core import jose, strict_json
from gateway.core.keys import DecryptionKey, EncryptionKey
from gateway.core.problems import UntrustedError

_MEMBERS: Final = frozenset({"alg", "enc", "kid", "cty", "epk"})
_EPK_MEMBERS: Final = frozenset({"kty", "crv", "x", "y"})
_FIXED: Final = {"alg": "ECDH-ES", "enc": "A256GCM", "cty": "JWT"}
_COORDINATE_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
# Concat KDF (RFC 7518, section 4.6.2): round 1 | Z | length and name of the algorithm | empty PartyUInfo, PartyVInfo | 256 bits
_KDF_ROUND: Final = (1).to_bytes(4, "big")
_KDF_INFO: Final = (7).to_bytes(4, "big") + b"A256GCM" + bytes(8) + (256).to_bytes(4, "big")
_ZERO_NONCE: Final = bytes(_NONCE_BYTES)


def encrypt(jws: bytes, recipient: EncryptionKey) -> bytes:
    """Return `jws` encrypted to `recipient`.

    The nonce is zero: the content key comes from an ephemeral key that was drawn for this one text, so no nonce is used twice under it.
    """
    own = ec.generate_private_key(ec.SECP256R1())
    protected = jose.b64encode(strict_json.canonical({**_FIXED, "kid": recipient.kid, "epk": _epk(own.public_key())}))
    sealed = AESGCM(_content_key(own, recipient.public)).encrypt(_ZERO_NONCE, jws, protected)
    return b".".join((protected, b"", *map(jose.b64encode, (_ZERO_NONCE, sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]))))


def decrypt(parts: list[bytes], keys: Mapping[KeyId, DecryptionKey]) -> bytes:
    """Return what the five `parts` of a JWE hold. The sender is unknown: anybody can encrypt to us.

    Raises `MalformedError` for a shape, `UntrustedError` for algorithm, key and tag.
    """
    head = jose.header(parts[0], _MEMBERS)
    for name, wanted in _FIXED.items():
        if head[name] != wanted:
            raise UntrustedError(f"header {name}")
    kid = jose.key_id(head["kid"])
    public = _read_epk(head["epk"])
    encrypted_key, nonce, ciphertext, tag = map(jose.b64decode, parts[1:])
    if encrypted_key or len(nonce) != _NONCE_BYTES or len(tag) != _TAG_BYTES:
        raise UntrustedError("JWE part lengths")
    key = keys.get(kid)
    if key is None:
        raise UntrustedError(f"no decryption key {kid}")
    try:
        return AESGCM(_content_key(key.private, public)).decrypt(nonce, ciphertext + tag, parts[0])
    except InvalidTag as exc:
        raise UntrustedError(f"does not decrypt with {kid}") from exc


def _content_key(private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey) -> bytes:
    return sha256(_KDF_ROUND + private.exchange(ec.ECDH(), public) + _KDF_INFO).digest()


def _epk(public: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = public.public_numbers()
    x, y = (jose.b64encode(n.to_bytes(_COORDINATE_BYTES, "big")).decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _read_epk(value: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(value, dict) or value.keys() != _EPK_MEMBERS or value["kty"] != "EC" or value["crv"] != "P-256":
        raise UntrustedError("header epk")
    x, y = (jose.b64decode(jose.text(value[name], "epk").encode()) for name in ("x", "y"))
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise UntrustedError("header epk")
    try:  # an invalid-curve point would leak the private key bit by bit
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()).public_key()
    except ValueError as exc:
        raise UntrustedError("header epk is not on P-256") from exc
