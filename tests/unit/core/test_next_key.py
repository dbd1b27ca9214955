"""Thumbprints as RFC 7638 has them, and a key's one spelling."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt import PyJWK

from gateway.core import jose, jwks
from gateway.core.jwks import JwksError
from gateway.core.next_key import respelled, spelled
from tests.vectors.tokens import ENCRYPT, OWNER, VERIFY_EC, VERIFY_ED


def test_the_thumbprint_of_rfc_8037_is_found():
    x = jose.b64decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")  # appendix A.3
    key = replace(VERIFY_ED, public=Ed25519PublicKey.from_public_bytes(x))
    assert jwks.thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("key", [VERIFY_EC, VERIFY_ED, ENCRYPT], ids=lambda key: key.kid)
def test_a_thumbprint_is_of_the_key_alone_and_as_another_library_makes_it(key):
    joserfc = pytest.importorskip("joserfc.jwk")
    jwk = jwks.write_jwk(key)
    other = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    assert jwks.thumbprint(key) == joserfc.import_key(other).thumbprint()
    assert jwks.thumbprint(replace(key, kid="other", revoked_at=datetime(2026, 1, 1, tzinfo=UTC))) == jwks.thumbprint(key)
    assert PyJWK(other, algorithm="ES256" if "y" in other else "EdDSA").key_type == other["kty"]


@pytest.mark.parametrize("key", [VERIFY_EC, VERIFY_ED, replace(ENCRYPT, owner=OWNER)], ids=lambda key: key.kid)
def test_a_key_is_read_back_as_it_was_spelled_and_revoked_where_its_row_says_so(key):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    assert respelled(spelled(key), OWNER) == key
    assert respelled(spelled(key), OWNER, revoked_at=at) == replace(key, revoked_at=at)


@pytest.mark.parametrize("jwk", ["{}", '{"kty":"EC"}'])
def test_what_is_no_key_is_a_fault(jwk):
    with pytest.raises(JwksError):
        respelled(jwk, OWNER)
