"""Tokens in three steps: `unwrap` opens and trusts nothing, `verify` trusts one key, `message` and others then read the claims.

Every kind of token has its own `typ`, and each key use signs the kinds listed here and no other (design 3.5).
Signatures draw their randomness inside `cryptography`; nothing else here does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, KeyId, PartnerId
from gateway.core import jose, jwe, strict_json
from gateway.core.keys import Alg, DecryptionKey, EncryptionKey, SigningKey, Use, VerifyKey
from gateway.core.limits import MESSAGE_BYTES_MAX
from gateway.core.message import Signed
from gateway.core.problems import Code, MalformedError, UntrustedError
from gateway.core.strict_json import JsonObject

Encryption = Literal["required", "allowed"]
EVENT: Final = "secevent+jwt"  # RFC 8417, section 2.3
REQUEST: Final = "gw-request+jwt"
COMMAND: Final = "gw-command+jwt"
RECEIPT: Final = "gw-receipt+jwt"
REJECTION: Final = "gw-rejection+jwt"
KEYS: Final = "gw-keys+jwt"
KEY: Final = "gw-key+jwt"  # a partner's next key, signed by a current one
KEY_PROOF: Final = "gw-key-proof+jwt"  # inside it, signed by the next key itself
TYPES_OF: Final[Mapping[Use, frozenset[str]]] = {
    Use.SUBMIT: frozenset({EVENT, KEY, KEY_PROOF}),
    Use.DOCUMENT: frozenset({EVENT}),
    Use.REQUEST: frozenset({REQUEST, KEY_PROOF}),
    Use.COMMAND: frozenset({COMMAND}),
    Use.RECEIPT: frozenset({RECEIPT, REJECTION}),
    Use.ROOT: frozenset({KEYS}),
    Use.CHECKPOINT: frozenset(),
    Use.ENCRYPT: frozenset(),
}
_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
_ALG_OF: Final[Mapping[str, Alg]] = {"ES256": Alg.ES256, "Ed25519": Alg.ED25519, "EdDSA": Alg.ED25519}  # RFC 9864; EdDSA is its older name
_ECDSA: Final = ec.ECDSA(SHA256())
_SIGNATURE_BYTES: Final = 64  # r and s of P-256, or an Ed25519 signature
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # RFC 9562, lower case
_UUID_VERSION_AT: Final = 14
_JTI: Final = re.compile(r"[!-~]{1,128}")  # visible ASCII: it is looked up and logged before the schema has seen it


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was opened. Nobody has vouched for anything in it."""

    kid: KeyId
    typ: str
    alg: Alg
    signing_input: bytes
    payload: bytes
    signature: bytes

    @property
    def compact(self) -> bytes:
        """The compact JWS, byte for byte as it came: base64url has one spelling here."""
        return self.signing_input + b"." + jose.b64encode(self.signature)


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims that `signer` signed. Built by `verify` alone."""

    claims: JsonObject
    signer: PartnerId
    kid: KeyId
    typ: str
    jti: Jti
    digest: str  # hex SHA-256 of the signing input: "same content", as signatures are random

    @property
    def signed(self) -> Signed:
        """Who signed which bytes."""
        return Signed(self.signer, self.jti, self.digest)


def unwrap(raw: bytes, decryption_keys: Mapping[KeyId, DecryptionKey], *, typ: str, encrypted: Encryption) -> Token:
    """Return the token in `raw`: size, shape, decryption, header, in this order. Trusts nothing.

    Raises `MalformedError` for what is no token, `UntrustedError` for algorithms, keys, headers and a missing encryption.
    """
    parts = jose.split(raw)
    if len(parts) == jose.JWE_PARTS:
        parts = jwe.decrypt(parts, decryption_keys).split(b".", jose.JWS_PARTS)
        if len(parts) != jose.JWS_PARTS:
            raise MalformedError("the decrypted text is not a compact JWS", expected="three parts")
    elif encrypted == "required":
        raise UntrustedError("not encrypted")
    return _open(parts, typ)


def verify(token: Token, key: VerifyKey) -> Verified:
    """Return what `key`'s owner signed. The key fixes algorithm and kind of token, the header only has to agree.

    Does not look at the key's period: `KeyEntry.check_period` does, when the claims turn out to be new. Does not compare `iss` either: who
    reads the claims does, as `signer` is the truth.
    Raises `UntrustedError` for a signature, key or kind that do not fit, `MalformedError` for signed text that is no set of claims.
    """
    if token.kid != key.kid or token.alg is not key.alg:
        raise UntrustedError(f"key {key.kid} is not the token's")
    if token.typ not in TYPES_OF[key.use]:
        raise UntrustedError(f"a {key.use} key does not sign {token.typ}")
    _check_signature(token, key)
    claims = strict_json.parse_object(token.payload)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not _JTI.fullmatch(jti):
        raise MalformedError("jti is missing or not an id", code=Code.CLAIM_INVALID, expected="a UUIDv7", claim="jti")
    return Verified(claims, key.owner, key.kid, token.typ, Jti(jti), sha256(token.signing_input).hexdigest())


def sign(claims: Mapping[str, object], key: SigningKey, *, typ: str) -> bytes:
    """Return `claims` as a compact JWS of kind `typ`. Raises `InvariantError` if the key's use does not sign that kind."""
    if typ not in TYPES_OF[key.use]:
        raise InvariantError(key.use, typ)
    signing_input = _written_header(key.alg, key.kid, typ) + b"." + jose.b64encode(strict_json.canonical(claims))
    return signing_input + b"." + jose.b64encode(_signature(signing_input, key))


def encrypt(jws: bytes, recipient: EncryptionKey) -> bytes:
    """Return `jws` as a nested JWE that only `recipient` opens."""
    return jwe.encrypt(jws, recipient)


def digest_of(jws: bytes) -> str:
    """Return the digest `verify` gives for a compact JWS of our own making."""
    return sha256(jws.rpartition(b".")[0]).hexdigest()


def is_uuid(value: str) -> bool:
    """Say whether `value` is a UUID in its one spelling (RFC 9562, lower case)."""
    return _UUID.fullmatch(value) is not None


def is_uuid7(value: str) -> bool:
    """Say whether `value` is a UUID of version 7 in its one spelling."""
    return is_uuid(value) and value[_UUID_VERSION_AT] == "7"


def _open(parts: list[bytes], typ: str) -> Token:
    head = jose.header(parts[0], _MEMBERS)
    alg = _ALG_OF.get(jose.text(head["alg"], "alg"))
    if alg is None:
        raise UntrustedError("header alg")
    if head["typ"] != typ:
        raise UntrustedError("header typ")
    payload = jose.b64decode(parts[1])
    if len(payload) > MESSAGE_BYTES_MAX:
        raise MalformedError("larger than a message may be", code=Code.MESSAGE_TOO_LARGE, expected=f"at most {MESSAGE_BYTES_MAX} bytes")
    return Token(jose.key_id(head["kid"]), typ, alg, parts[0] + b"." + parts[1], payload, jose.b64decode(parts[2]))


def _check_signature(token: Token, key: VerifyKey) -> None:
    signature = token.signature
    if len(signature) != _SIGNATURE_BYTES:
        raise UntrustedError("signature length")  # a DER signature too: one signature, one spelling
    try:
        if isinstance(key.public, ec.EllipticCurvePublicKey):
            der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            key.public.verify(der, token.signing_input, _ECDSA)
        else:
            key.public.verify(signature, token.signing_input)
    except InvalidSignature as exc:
        raise UntrustedError(f"signature does not verify with {key.kid}") from exc


def _signature(signing_input: bytes, key: SigningKey) -> bytes:
    if isinstance(key.private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.private.sign(signing_input, _ECDSA))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.private.sign(signing_input)


@lru_cache(maxsize=64)
def _written_header(alg: Alg, kid: KeyId, typ: str) -> bytes:
    """Encode a header of ours; few differ, so they are kept."""
    return jose.b64encode(strict_json.canonical({"alg": alg, "kid": kid, "typ": typ}))
