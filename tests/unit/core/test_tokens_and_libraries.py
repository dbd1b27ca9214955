"""The same malformed tokens given to PyJWT and joserfc: each refuses all but the ones marked lenient, which are why we check ourselves."""

from __future__ import annotations

import jwt
import pytest
from joserfc import jwe as joserfc_jwe
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from gateway.core import tokens
from tests.vectors import tokens as vectors

PUBLIC = ECKey.import_key(vectors.EC_KEY.public_key())
DECRYPT = ECKey.import_key(vectors.GATEWAY_KEY)
SUITE = ["ECDH-ES", "A256GCM"]


def with_pyjwt(raw: bytes) -> object:
    return jwt.decode(raw, vectors.EC_KEY.public_key(), algorithms=["ES256"], options={"verify_aud": False, "verify_iat": False})


def with_joserfc(raw: bytes) -> object:
    return joserfc_jwt.decode(raw, PUBLIC, algorithms=["ES256"]).claims


def opened_with_joserfc(raw: bytes) -> object:
    return with_joserfc(joserfc_jwe.decrypt_compact(raw, DECRYPT, algorithms=SUITE).plaintext or b"")


READERS = {"pyjwt": with_pyjwt, "joserfc": with_joserfc}
SMALL = [v for v in vectors.JWS_VECTORS if len(v.raw) < 100_000]


@pytest.mark.parametrize("reader", READERS)
def test_a_library_reads_the_valid_token(reader):
    assert READERS[reader](vectors.jws()) == vectors.CLAIMS
    assert READERS[reader](tokens.sign(vectors.CLAIMS, vectors.SIGN_EC, typ=tokens.EVENT)) == vectors.CLAIMS


@pytest.mark.parametrize(
    ("reader", "vector"), [pytest.param(name, v, id=f"{name}-{v.name}") for name in READERS for v in SMALL if name not in v.lenient]
)
def test_a_library_refuses_the_signed_token_too(vector, reader):
    with pytest.raises((jwt.PyJWTError, JoseError, ValueError, TypeError)):
        READERS[reader](vector.raw)


def test_joserfc_reads_what_we_seal():
    sealed = tokens.encrypt(tokens.sign(vectors.CLAIMS, vectors.SIGN_EC, typ=tokens.EVENT), vectors.ENCRYPT)
    assert opened_with_joserfc(sealed) == opened_with_joserfc(vectors.jwe()) == vectors.CLAIMS


def test_we_read_what_joserfc_seals():
    public = ECKey.import_key(vectors.GATEWAY_KEY.public_key())
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "cty": "JWT", "kid": "d1"}
    sealed = joserfc_jwe.encrypt_compact(header, vectors.jws(), public, algorithms=SUITE).encode()
    token = tokens.unwrap(sealed, vectors.DECRYPT, typ=tokens.EVENT, encrypted="required")
    assert tokens.verify(token, vectors.VERIFY_EC).claims == vectors.CLAIMS


@pytest.mark.parametrize("vector", [pytest.param(v, id=v.name) for v in vectors.JWE_VECTORS if "joserfc" not in v.lenient])
def test_joserfc_refuses_the_encrypted_token(vector):
    with pytest.raises((JoseError, ValueError, TypeError)):
        opened_with_joserfc(vector.raw)
