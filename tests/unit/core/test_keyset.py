from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.contract.errors import OperatorError
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jwks, keyset, tokens
from gateway.core.keys import SigningKey, Use
from gateway.core.problems import RefusedInputError, UntrustedError
from tests.vectors import tokens as vectors

GW = PartnerId("gw")
NOW = vectors.NOW
ROOT = replace(vectors.VERIFY_EC, owner=GW, kid=KeyId("root"), use=Use.ROOT, valid_to=vectors.TO + timedelta(days=3_000))
SIGN = SigningKey(kid=KeyId("root"), use=Use.ROOT, private=vectors.EC_KEY)
THIEF = SigningKey(kid=KeyId("root"), use=Use.ROOT, private=vectors.OTHER_KEY)
DOCUMENT = replace(vectors.VERIFY_ED, owner=GW, use=Use.DOCUMENT)
KEYS = (ROOT, DOCUMENT, vectors.ENCRYPT)
CLAIMS = keyset.keyset_claims(KEYS, ROOT, jti=vectors.JTI, now=NOW)


def read(claims=CLAIMS, *, key=SIGN, at=NOW, known=None, typ=tokens.KEYS):
    raw = tokens.sign(claims, key, typ=typ)
    return keyset.read_keyset(raw, ROOT, now=at, known=known)


def test_a_partner_reads_the_keys_that_the_pinned_root_vouches_for():
    found = read()
    assert found.issued_at == NOW
    assert found.keyring.find(GW, DOCUMENT.kid, use=Use.DOCUMENT).public == DOCUMENT.public
    assert found.keyring.encryption_key(GW, NOW).kid == "d1"


def test_a_key_set_signed_by_another_key_changes_nothing_for_a_partner():
    """A taken-over edge may swap the JWKS and sign a set of its own: the pin refuses it (design 2)."""
    swapped = keyset.keyset_claims([ROOT, replace(DOCUMENT, kid=KeyId("evil"))], ROOT, jti=vectors.JTI, now=NOW)
    with pytest.raises(UntrustedError):
        read(swapped, key=THIEF)


def test_a_key_set_of_a_root_key_that_has_ended_is_refused():
    ended = replace(ROOT, valid_to=NOW)
    with pytest.raises(UntrustedError) as caught:
        keyset.read_keyset(tokens.sign(CLAIMS, SIGN, typ=tokens.KEYS), ended, now=NOW)
    assert caught.value.reason == "key root is outside its period"


def test_a_receipt_key_does_not_sign_a_key_set():
    receipt = replace(SIGN, use=Use.RECEIPT)
    with pytest.raises(UntrustedError):
        keyset.read_keyset(tokens.sign(CLAIMS, receipt, typ=tokens.RECEIPT), ROOT, now=NOW)


@pytest.mark.parametrize(
    ("at", "known"),
    [
        pytest.param(NOW + timedelta(days=400), None, id="ended"),
        pytest.param(NOW, NOW + timedelta(seconds=1), id="older than the known one"),
    ],
)
def test_an_old_key_set_is_refused(at, known):
    with pytest.raises(UntrustedError):
        read(at=at, known=known)


def test_the_known_key_set_itself_is_read_again():
    assert read(known=NOW).issued_at == NOW


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"iss": "other-gw"}, id="another issuer"),
        pytest.param({"keys": []}, id="no keys"),
        pytest.param({"keys": None}, id="keys null"),
        pytest.param({"keys": [{**jwks.write_jwk(ROOT)}]}, id="a root inside"),
        pytest.param({"keys": [{**jwks.write_jwk(DOCUMENT), "previous": "gone"}]}, id="predecessor not in the set"),
        pytest.param(
            {"keys": [{**jwks.write_jwk(DOCUMENT), "previous": "d1"}, jwks.write_jwk(vectors.ENCRYPT)]}, id="predecessor of another use"
        ),
        pytest.param({"exp": "never"}, id="exp is text"),
        pytest.param({"more": 1}, id="a claim too many"),
    ],
)
def test_a_key_set_with_one_change_is_refused(change):
    with pytest.raises((RefusedInputError, OperatorError)):
        read({**CLAIMS, **change})


def test_a_key_names_an_older_predecessor_of_its_use():
    newer = replace(DOCUMENT, kid=KeyId("e2"), previous=DOCUMENT.kid, valid_from=NOW)
    assert keyset.keyset_claims([DOCUMENT, newer], ROOT, jti=vectors.JTI, now=NOW)["keys"]
    with pytest.raises(jwks.JwksError):
        keyset.keyset_claims([DOCUMENT, replace(newer, valid_from=DOCUMENT.valid_from)], ROOT, jti=vectors.JTI, now=NOW)
