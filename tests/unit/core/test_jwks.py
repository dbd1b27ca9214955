from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.contract.values import KeyId
from gateway.core import jwks, strict_json
from gateway.core.keys import KeyEntry, Use
from tests.vectors import tokens as vectors

ENTRIES = (
    replace(vectors.VERIFY_EC, revoked_at=vectors.NOW),
    replace(vectors.VERIFY_ED, previous=KeyId("e0")),
    replace(vectors.ENCRYPT, owner=vectors.OWNER),
)
JWK = jwks.write_jwk(vectors.VERIFY_EC)
ED = jwks.write_jwk(vectors.VERIFY_ED)
SECRET = vectors.b64(b"d" * 32).decode()


def read(*keys: object) -> tuple[KeyEntry, ...]:
    return jwks.read_jwks(strict_json.canonical({"keys": list(keys)}), vectors.OWNER)


def test_what_is_written_is_read():
    raw = strict_json.canonical(jwks.write_jwks(ENTRIES))
    assert sorted(map(repr, jwks.write_jwks(jwks.read_jwks(raw, vectors.OWNER))["keys"])) == sorted(
        repr(jwks.write_jwk(e)) for e in ENTRIES
    )
    assert {(e.kid, e.use, e.revoked_at, e.previous) for e in jwks.read_jwks(raw, vectors.OWNER)} == {
        ("s1", Use.SUBMIT, vectors.NOW, None),
        ("e1", Use.SUBMIT, None, "e0"),
        ("d1", Use.ENCRYPT, None, None),
    }


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"kid": "a b"}, "/keys/0/kid", id="kid with a space"),
        pytest.param({"kid": None}, "/keys/0/kid", id="kid null"),
        pytest.param({"kty": "RSA"}, "/keys/0/kty", id="RSA"),
        pytest.param({"kty": "oct"}, "/keys/0/kty", id="symmetric"),
        pytest.param({"kty": ["EC"]}, "/keys/0/kty", id="kty is a list"),
        pytest.param({"crv": "P-384"}, "/keys/0/x", id="another curve"),
        pytest.param({"x": JWK["x"] + "="}, "/keys/0/x", id="padding"),
        pytest.param({"x": vectors.b64(b"\1" * 31).decode()}, "/keys/0/x", id="x too short"),
        pytest.param({"y": JWK["x"]}, "/keys/0/x", id="not on the curve"),
        pytest.param({"x": 1}, "/keys/0/x", id="x is a number"),
        pytest.param({"d": SECRET}, "/keys/0/d", id="a private key"),
        pytest.param({"use": "sig"}, "/keys/0/use", id="a member too many"),
        pytest.param({"alg": "RS256"}, "/keys/0/alg", id="another algorithm"),
        pytest.param({"alg": "Ed25519"}, "/keys/0/alg", id="alg of another kind of key"),
        pytest.param({"alg": "ECDH-ES"}, "/keys/0/alg", id="a signing key that agrees on keys"),
        pytest.param({"gw_use": "encrypt"}, "/keys/0/alg", id="an encryption key that signs"),
        pytest.param({"gw_use": "sig"}, "/keys/0/gw_use", id="unknown use"),
        pytest.param({"gw_use": ["submit"]}, "/keys/0/gw_use", id="two uses"),
        pytest.param({"valid_from": "2026-01-01"}, "/keys/0/valid_from", id="a day is no instant"),
        pytest.param({"valid_from": "2026-02-30T00:00:00Z"}, "/keys/0/valid_from", id="no such day"),
        pytest.param({"valid_to": "2027-01-01T00:00:00+01:00"}, "/keys/0/valid_to", id="local time"),
        pytest.param({"valid_to": 1}, "/keys/0/valid_to", id="seconds"),
        pytest.param({"valid_to": JWK["valid_from"]}, "/keys/0/valid_to", id="ends when it starts"),
        pytest.param({"revoked_at": None}, "/keys/0/revoked_at", id="revoked_at null"),
        pytest.param({"previous": "s1"}, "/keys/0/previous", id="follows itself"),
    ],
)
def test_a_key_with_one_change_is_refused_naming_the_member(change, fault):
    with pytest.raises(jwks.JwksError) as caught:
        read({**JWK, **change})
    assert [f.partition(":")[0] for f in caught.value.faults] == [fault]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", sorted(JWK))
def test_a_key_that_lacks_a_member_is_refused_naming_it(name):
    with pytest.raises(jwks.JwksError) as caught:
        read({key: value for key, value in JWK.items() if key != name})
    assert any(fault.startswith(f"/keys/0/{name}:") for fault in caught.value.faults)


def test_every_fault_is_named_at_once():
    with pytest.raises(jwks.JwksError) as caught:
        read({**JWK, "kid": "", "gw_use": "x"}, 7, ED, {**ED, "valid_to": ""})
    assert [f.partition(":")[0] for f in caught.value.faults] == ["/keys/0/kid", "/keys/0/gw_use", "/keys/1", "/keys/3/valid_to"]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([JWK, {**ED, "kid": "s1"}], id="one id twice"),
        pytest.param([JWK, {**JWK, "kid": "s2", "gw_use": "request"}], id="one key for two uses"),
        pytest.param([], id="no keys"),
    ],
)
def test_keys_that_are_not_each_their_own_are_refused(keys):
    with pytest.raises(jwks.JwksError):
        read(*keys)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"keys":{}}', b'{"keys":[],"more":1}', b'{"keys":[],"keys":[]}'])
def test_a_document_that_is_no_jwks_is_refused(raw):
    with pytest.raises(jwks.JwksError):
        jwks.read_jwks(raw, vectors.OWNER)


@pytest.mark.parametrize("alg", ["ECDH-ES", "Ed25519"])
def test_an_ed25519_key_does_not_encrypt(alg):
    with pytest.raises(jwks.JwksError):
        read({**ED, "gw_use": "encrypt", "alg": alg})


def test_an_entry_that_is_no_key_is_not_written():
    bare = KeyEntry(owner=vectors.OWNER, kid=KeyId("x"), use=Use.SUBMIT, valid_from=vectors.FROM, valid_to=vectors.TO)
    with pytest.raises(jwks.JwksError):
        jwks.write_jwk(bare)


def test_the_older_name_of_ed25519_is_read():
    assert read({**ED, "alg": "EdDSA"}) == read(ED)
