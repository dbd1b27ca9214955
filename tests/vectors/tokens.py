"""Tokens that must be refused: one change each from a valid one, signed and encrypted again so that the check meant is the one reached.

Built by hand on `cryptography`, apart from the code under test. `lenient` names the foreign libraries that are known to take a vector;
every other one must refuse it as we do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.contract.values import KeyId, PartnerId
from gateway.core.keys import Alg, DecryptionKey, EncryptionKey, SigningKey, Use, VerifyKey
from gateway.core.problems import Code

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
OWNER = PartnerId("se-register")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
JTI = "01977a3e-5c00-7000-8000-000000000001"
CLAIMS: Mapping[str, Any] = {"iss": OWNER, "aud": "gw", "jti": JTI, "iat": 1780315200, "events": {"https://e.example/x": {"name": "Ö"}}}

EC_KEY = ec.derive_private_key(0x1234_5678_9ABC_DEF0_1111, ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = ec.derive_private_key(0x2222_5678_9ABC_DEF0_1111, ec.SECP256R1())
GATEWAY_KEY = ec.derive_private_key(0x3333_5678_9ABC_DEF0_1111, ec.SECP256R1())

VERIFY_EC = VerifyKey(owner=OWNER, kid=KeyId("s1"), use=Use.SUBMIT, valid_from=FROM, valid_to=TO, alg=Alg.ES256, public=EC_KEY.public_key())
VERIFY_ED = VerifyKey(
    owner=OWNER, kid=KeyId("e1"), use=Use.SUBMIT, valid_from=FROM, valid_to=TO, alg=Alg.ED25519, public=ED_KEY.public_key()
)
SIGN_EC = SigningKey(kid=KeyId("s1"), use=Use.SUBMIT, private=EC_KEY)
SIGN_ED = SigningKey(kid=KeyId("e1"), use=Use.SUBMIT, private=ED_KEY)
ENCRYPT = EncryptionKey(
    owner=PartnerId("gw"), kid=KeyId("d1"), use=Use.ENCRYPT, valid_from=FROM, valid_to=TO, public=GATEWAY_KEY.public_key()
)
DECRYPT = {KeyId("d1"): DecryptionKey(kid=KeyId("d1"), private=GATEWAY_KEY)}

MALFORMED = Code.NOT_A_TOKEN
NOT_JSON = Code.NOT_JSON
LARGE = Code.MESSAGE_TOO_LARGE
UNTRUSTED = Code.UNTRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One token that we refuse with `code`."""

    name: str
    raw: bytes
    code: Code
    lenient: frozenset[str] = frozenset()  # of pyjwt, joserfc, node


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def es256(data: bytes, key: ec.EllipticCurvePrivateKey = EC_KEY) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def es256_der(data: bytes) -> bytes:
    return EC_KEY.sign(data, ec.ECDSA(hashes.SHA256()))


def hs256(data: bytes) -> bytes:
    """Sign with the public key as the secret: the classic confusion."""
    pem = EC_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hmac.new(pem, data, hashlib.sha256).digest()


HEAD: Mapping[str, Any] = {"alg": "ES256", "kid": "s1", "typ": "secevent+jwt"}


def jws(header: Mapping[str, Any] | bytes = HEAD, payload: bytes | None = None, signer: Callable[[bytes], bytes] = es256) -> bytes:
    """Return a compact JWS with any header, payload and signer."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = json.dumps(CLAIMS).encode() if payload is None else payload
    data = b64(head) + b"." + b64(body)
    return data + b"." + b64(signer(data))


def parts(raw: bytes, position: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return `raw` with one part changed."""
    pieces = raw.split(b".")
    pieces[position] = change(pieces[position])
    return b".".join(pieces)


def spare_bits(part: bytes) -> bytes:
    """Set the unused low bits of the last character: a second spelling of the same bytes."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in {2, 3}, "this part has no spare bits"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1 :][:1]


def without(header: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key != name}


ALL = frozenset({"pyjwt", "joserfc", "node"})
PYTHON = frozenset({"pyjwt", "joserfc"})
NODE = frozenset({"node"})


def byte_vectors() -> Iterator[Vector]:
    """Bytes that are no compact JWS, or spell one in another way."""
    good = jws()
    padded_head = b64(json.dumps(HEAD).encode()) + b"="
    yield Vector(name="empty", raw=b"", code=MALFORMED)
    yield Vector(name="one part", raw=good.split(b".")[0], code=MALFORMED)
    yield Vector(name="two parts", raw=good.rsplit(b".", 1)[0], code=MALFORMED)
    yield Vector(name="four parts", raw=good + b".", code=MALFORMED)
    yield Vector(name="six parts", raw=good + b"...", code=MALFORMED)
    yield Vector(name="newline after", raw=good + b"\n", code=MALFORMED, lenient=NODE)
    yield Vector(name="space before", raw=b" " + good, code=MALFORMED)
    yield Vector(name="trailing bytes", raw=good + b"!", code=MALFORMED)
    yield Vector(name="NUL after", raw=good + b"\x00", code=MALFORMED)
    yield Vector(name="not ASCII", raw=good + "ö".encode(), code=MALFORMED)
    yield Vector(name="padded payload", raw=parts(good, 1, lambda p: p + b"=" * (-len(p) % 4 or 4)), code=MALFORMED)
    yield Vector(name="padded signature", raw=parts(good, 2, lambda p: p + b"=="), code=MALFORMED, lenient=frozenset({"node", "pyjwt"}))
    yield Vector(name="padded header", raw=padded_head + good[good.index(b".") :], code=MALFORMED)
    yield Vector(name="signature with spare bits", raw=parts(good, 2, spare_bits), code=MALFORMED, lenient=NODE)
    yield Vector(name="standard base64 alphabet", raw=parts(good, 2, lambda _: b"+" * 86), code=MALFORMED)
    yield Vector(name="larger than a sealed message", raw=b"a" * (512 * 1024 + 1), code=LARGE)
    yield Vector(name="payload too large", raw=jws(payload=json.dumps({**CLAIMS, "x": "a" * 256 * 1024}).encode()), code=LARGE, lenient=ALL)


def header_vectors() -> Iterator[Vector]:
    """Headers that must be refused, well signed."""
    yield Vector(name="header too large", raw=jws({**HEAD, "kid": "s" * 4000}), code=MALFORMED, lenient=frozenset({"node", "pyjwt"}))
    yield Vector(name="header is no JSON", raw=jws(b"{"), code=NOT_JSON)
    yield Vector(name="header is a list", raw=jws(b"[]"), code=NOT_JSON)
    yield Vector(name="header with trailing bytes", raw=jws(json.dumps(HEAD).encode() + b"x"), code=NOT_JSON)
    yield Vector(
        name="header key twice", raw=jws(b'{"alg":"none","alg":"ES256","kid":"s1","typ":"secevent+jwt"}'), code=NOT_JSON, lenient=ALL
    )
    yield Vector(name="alg none", raw=jws({**HEAD, "alg": "none"}, signer=lambda _: b""), code=UNTRUSTED)
    yield Vector(name="alg None, other spelling", raw=jws({**HEAD, "alg": "nOnE"}, signer=lambda _: b""), code=UNTRUSTED)
    yield Vector(name="alg HS256 with the public key", raw=jws({**HEAD, "alg": "HS256"}, signer=hs256), code=UNTRUSTED)
    yield Vector(name="alg of another kind of key", raw=jws({**HEAD, "alg": "EdDSA"}), code=UNTRUSTED)
    yield Vector(name="alg ES384", raw=jws({**HEAD, "alg": "ES384"}), code=UNTRUSTED)
    yield Vector(name="alg in lower case", raw=jws({**HEAD, "alg": "es256"}), code=UNTRUSTED)
    yield Vector(name="alg is a number", raw=jws({**HEAD, "alg": 256}), code=UNTRUSTED)
    yield Vector(name="alg is a list", raw=jws({**HEAD, "alg": ["ES256"]}), code=UNTRUSTED)
    yield Vector(name="no alg", raw=jws(without(HEAD, "alg")), code=UNTRUSTED)
    yield Vector(name="no kid", raw=jws(without(HEAD, "kid")), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="kid is a path", raw=jws({**HEAD, "kid": "../s1"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="kid is an object", raw=jws({**HEAD, "kid": {}}), code=UNTRUSTED, lenient=NODE)
    yield Vector(name="another kid", raw=jws({**HEAD, "kid": "s2"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="no typ", raw=jws(without(HEAD, "typ")), code=UNTRUSTED, lenient=PYTHON)
    yield Vector(name="typ of another token", raw=jws({**HEAD, "typ": "gw-request+jwt"}), code=UNTRUSTED, lenient=PYTHON)
    yield Vector(name="typ JWT", raw=jws({**HEAD, "typ": "JWT"}), code=UNTRUSTED, lenient=PYTHON)
    yield Vector(name="crit", raw=jws({**HEAD, "crit": ["exp"], "exp": 1}), code=UNTRUSTED)
    yield Vector(name="unencoded payload", raw=jws({**HEAD, "crit": ["b64"], "b64": False}), code=UNTRUSTED)
    yield Vector(name="jwk", raw=jws({**HEAD, "jwk": _jwk(OTHER_KEY)}, signer=lambda d: es256(d, OTHER_KEY)), code=UNTRUSTED)
    yield Vector(name="jku", raw=jws({**HEAD, "jku": "https://keys.example/jwks"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="x5c", raw=jws({**HEAD, "x5c": ["AAAA"]}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="x5u", raw=jws({**HEAD, "x5u": "https://keys.example/x"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="zip in a JWS", raw=jws({**HEAD, "zip": "DEF"}), code=UNTRUSTED, lenient=frozenset({"node", "pyjwt"}))


def signature_vectors() -> Iterator[Vector]:
    """Signatures that must be refused."""
    good = jws()
    yield Vector(name="no signature", raw=jws(signer=lambda _: b""), code=UNTRUSTED)
    yield Vector(name="DER signature", raw=jws(signer=es256_der), code=UNTRUSTED)
    yield Vector(name="signature one byte short", raw=jws(signer=lambda d: es256(d)[:63]), code=UNTRUSTED)
    yield Vector(name="signature one byte long", raw=jws(signer=lambda d: es256(d) + b"\0"), code=UNTRUSTED)
    yield Vector(name="r and s zero", raw=jws(signer=lambda _: bytes(64)), code=UNTRUSTED)
    yield Vector(name="r is the order", raw=jws(signer=lambda d: P256_ORDER.to_bytes(32, "big") + es256(d)[32:]), code=UNTRUSTED)
    yield Vector(name="s zero", raw=jws(signer=lambda d: es256(d)[:32] + bytes(32)), code=UNTRUSTED)
    yield Vector(name="r and s swapped", raw=jws(signer=lambda d: es256(d)[32:] + es256(d)[:32]), code=UNTRUSTED)
    yield Vector(name="another key's signature", raw=jws(signer=lambda d: es256(d, OTHER_KEY)), code=UNTRUSTED)
    yield Vector(name="payload changed", raw=parts(good, 1, lambda _: b64(json.dumps({**CLAIMS, "aud": "xx"}).encode())), code=UNTRUSTED)


def payload_vectors() -> Iterator[Vector]:
    """Payloads that must be refused, well signed."""
    yield Vector(name="payload key twice", raw=jws(payload=b'{"jti":"a","jti":"b"}'), code=NOT_JSON, lenient=ALL)
    yield Vector(name="payload is a list", raw=jws(payload=b"[]"), code=NOT_JSON)
    yield Vector(name="payload empty", raw=jws(payload=b""), code=NOT_JSON)
    yield Vector(name="payload NaN", raw=jws(payload=b'{"jti":"a","x":NaN}'), code=NOT_JSON, lenient=PYTHON)
    yield Vector(name="payload 1e999", raw=jws(payload=b'{"jti":"a","x":1e999}'), code=NOT_JSON, lenient=ALL)
    yield Vector(name="payload too deep", raw=jws(payload=b'{"x":' + b"[" * 40 + b"]" * 40 + b"}"), code=NOT_JSON, lenient=ALL)
    yield Vector(name="payload with trailing bytes", raw=jws(payload=json.dumps(CLAIMS).encode() + b"{}"), code=NOT_JSON)
    yield Vector(name="payload in latin-1", raw=jws(payload=b'{"jti":"a","x":"\xf6"}'), code=NOT_JSON)
    yield Vector(name="no jti", raw=jws(payload=json.dumps(without(CLAIMS, "jti")).encode()), code=Code.CLAIM_INVALID, lenient=ALL)
    yield Vector(
        name="jti is a number",
        raw=jws(payload=json.dumps({**CLAIMS, "jti": 7}).encode()),
        code=Code.CLAIM_INVALID,
        lenient=frozenset({"joserfc", "node"}),
    )


def _jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", **{n: b64(getattr(numbers, n).to_bytes(32, "big")).decode() for n in ("x", "y")}}


EPHEMERAL = ec.derive_private_key(0x4444_5678_9ABC_DEF0_1111, ec.SECP256R1())
JWE_HEAD: Mapping[str, Any] = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": "d1", "cty": "JWT", "epk": _jwk(EPHEMERAL)}


def content_key(party: tuple[bytes, bytes] = (b"", b""), name: bytes = b"A256GCM") -> bytes:
    """Concat KDF of RFC 7518, section 4.6.2, written out."""
    shared = EPHEMERAL.exchange(ec.ECDH(), GATEWAY_KEY.public_key())
    info = b"".join(len(part).to_bytes(4, "big") + part for part in (name, *party)) + (256).to_bytes(4, "big")
    return hashlib.sha256(b"\0\0\0\1" + shared + info).digest()


def jwe(header: Mapping[str, Any] | bytes = JWE_HEAD, text: bytes | None = None, *, key: bytes | None = None, **change: bytes) -> bytes:
    """Return a compact JWE with any header, text and parts (`encrypted_key`, `nonce`, `ciphertext`, `tag`)."""
    head = b64(header if isinstance(header, bytes) else json.dumps(header).encode())
    nonce = change.get("nonce", b"n" * 12)
    sealed = AESGCM(key or content_key()).encrypt(nonce, jws() if text is None else text, head)
    pieces = (change.get("encrypted_key", b""), nonce, change.get("ciphertext", sealed[:-16]), change.get("tag", sealed[-16:]))
    return b".".join((head, *map(b64, pieces)))


def _epk(**change: Any) -> dict[str, Any]:
    return {**JWE_HEAD, "epk": {**_jwk(EPHEMERAL), **change}}


def jwe_vectors() -> Iterator[Vector]:
    """Encrypted tokens that must be refused."""
    good = jwe()
    head = json.dumps(JWE_HEAD).encode()
    apu = (b"ann", b"")
    yield Vector(name="not encrypted", raw=jws(), code=UNTRUSTED)
    yield Vector(name="JWE padded tag", raw=parts(good, 4, lambda p: p + b"=="), code=MALFORMED, lenient=NODE)
    yield Vector(name="JWE tag with spare bits", raw=parts(good, 4, spare_bits), code=MALFORMED, lenient=NODE)
    yield Vector(name="JWE trailing byte", raw=good + b"!", code=MALFORMED)
    yield Vector(name="JWE sixth part", raw=good + b".", code=MALFORMED)
    yield Vector(name="JWE header key twice", raw=jwe(b'{"enc":"A128GCM",' + head[1:]), code=NOT_JSON, lenient=ALL)
    yield Vector(name="JWE zip", raw=jwe({**JWE_HEAD, "zip": "DEF"}), code=UNTRUSTED)
    yield Vector(name="JWE crit", raw=jwe({**JWE_HEAD, "crit": ["exp"], "exp": 1}), code=UNTRUSTED)
    yield Vector(name="JWE no cty", raw=jwe(without(JWE_HEAD, "cty")), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE cty json", raw=jwe({**JWE_HEAD, "cty": "json"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE no kid", raw=jwe(without(JWE_HEAD, "kid")), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE unknown kid", raw=jwe({**JWE_HEAD, "kid": "d2"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE apu", raw=jwe({**JWE_HEAD, "apu": b64(b"ann").decode()}, key=content_key(apu)), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE apu not in the key", raw=jwe({**JWE_HEAD, "apu": b64(b"ann").decode()}), code=UNTRUSTED)
    yield Vector(name="JWE jku", raw=jwe({**JWE_HEAD, "jku": "https://keys.example/"}), code=UNTRUSTED, lenient=ALL)
    yield Vector(name="JWE alg dir", raw=jwe({**JWE_HEAD, "alg": "dir"}), code=UNTRUSTED)
    yield Vector(name="JWE alg RSA1_5", raw=jwe({**JWE_HEAD, "alg": "RSA1_5"}), code=UNTRUSTED)
    yield Vector(name="JWE alg ECDH-ES+A256KW", raw=jwe({**JWE_HEAD, "alg": "ECDH-ES+A256KW"}), code=UNTRUSTED)
    yield Vector(name="JWE enc A128CBC-HS256", raw=jwe({**JWE_HEAD, "enc": "A128CBC-HS256"}), code=UNTRUSTED)
    yield Vector(name="JWE enc A128GCM", raw=jwe({**JWE_HEAD, "enc": "A128GCM"}), code=UNTRUSTED)
    yield Vector(name="JWE no epk", raw=jwe(without(JWE_HEAD, "epk")), code=UNTRUSTED)
    yield Vector(name="JWE epk is text", raw=jwe({**JWE_HEAD, "epk": "x"}), code=UNTRUSTED)
    yield Vector(name="JWE epk with private part", raw=jwe(_epk(d=b64(b"d" * 32).decode())), code=UNTRUSTED)
    yield Vector(name="JWE epk of P-384", raw=jwe(_epk(crv="P-384")), code=UNTRUSTED)
    yield Vector(name="JWE epk of X25519", raw=jwe({**JWE_HEAD, "epk": _x25519()}), code=UNTRUSTED)
    yield Vector(name="JWE epk not on the curve", raw=jwe(_epk(y=b64(b"\1" * 32).decode())), code=UNTRUSTED)
    yield Vector(name="JWE epk at zero", raw=jwe(_epk(x=b64(bytes(32)).decode(), y=b64(bytes(32)).decode())), code=UNTRUSTED)
    yield Vector(name="JWE epk too short", raw=jwe(_epk(x=b64(b"\1" * 31).decode())), code=UNTRUSTED)
    yield Vector(name="JWE epk x is a number", raw=jwe(_epk(x=1)), code=UNTRUSTED)
    yield Vector(name="JWE epk padded", raw=jwe(_epk(x=_jwk(EPHEMERAL)["x"] + "=")), code=MALFORMED, lenient=NODE)
    yield Vector(name="JWE with an encrypted key", raw=jwe(encrypted_key=b"k" * 40), code=UNTRUSTED)
    yield Vector(name="JWE nonce of 16 bytes", raw=jwe(nonce=b"n" * 16), code=UNTRUSTED)
    yield Vector(name="JWE tag of 12 bytes", raw=parts(good, 4, lambda p: p[:16]), code=UNTRUSTED)
    yield Vector(name="JWE tag changed", raw=jwe(tag=b"t" * 16), code=UNTRUSTED)
    yield Vector(name="JWE ciphertext empty", raw=jwe(ciphertext=b""), code=UNTRUSTED)
    yield Vector(name="JWE header changed after", raw=parts(good, 0, lambda _: b64(head.replace(b"d1", b"d1 ", 0) + b" ")), code=UNTRUSTED)
    yield Vector(name="JWE to another key", raw=jwe(key=b"k" * 32), code=UNTRUSTED)
    yield Vector(name="JWE in a JWE", raw=jwe(text=good), code=MALFORMED)
    yield Vector(name="JWE of bare claims", raw=jwe(text=json.dumps(CLAIMS).encode()), code=MALFORMED)
    yield Vector(name="JWE of a JWS alg none", raw=jwe(text=jws({**HEAD, "alg": "none"}, signer=lambda _: b"")), code=UNTRUSTED)
    yield Vector(name="JWE of another typ", raw=jwe(text=jws({**HEAD, "typ": "gw-receipt+jwt"})), code=UNTRUSTED, lenient=PYTHON)


def _x25519() -> dict[str, str]:
    public = x25519.X25519PrivateKey.from_private_bytes(b"x" * 32).public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "X25519", "x": b64(public).decode()}


JWS_VECTORS = (*byte_vectors(), *header_vectors(), *signature_vectors(), *payload_vectors())
JWE_VECTORS = tuple(jwe_vectors())
