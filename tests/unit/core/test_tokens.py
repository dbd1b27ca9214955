from __future__ import annotations

import itertools

import pytest

from gateway.contract.errors import InvariantError
from gateway.contract.values import KeyId, PartnerId
from gateway.core import tokens
from gateway.core.keys import Alg, SigningKey, Use, VerifyKey
from gateway.core.problems import Code, MalformedError, RefusedInputError, UntrustedError
from tests.vectors import tokens as vectors

NAMES = [vector.name for vector in (*vectors.JWS_VECTORS, *vectors.JWE_VECTORS)]


def opened(raw: bytes, key: VerifyKey = vectors.VERIFY_EC, *, encrypted: tokens.Encryption = "allowed") -> tokens.Verified:
    return tokens.verify(tokens.unwrap(raw, vectors.DECRYPT, typ=tokens.EVENT, encrypted=encrypted), key)


def test_the_names_of_the_vectors_are_unique():
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("vector", [pytest.param(v, id=v.name) for v in vectors.JWS_VECTORS])
def test_a_malformed_signed_token_is_refused_with_its_code(vector):
    with pytest.raises(RefusedInputError) as caught:
        opened(vector.raw)
    assert caught.value.problem.code is vector.code


@pytest.mark.parametrize("vector", [pytest.param(v, id=v.name) for v in vectors.JWS_VECTORS if len(v.raw) < 1000])
def test_encryption_does_not_launder_a_malformed_signed_token(vector):
    with pytest.raises(RefusedInputError) as caught:
        opened(vectors.jwe(text=vector.raw), encrypted="required")
    assert caught.value.problem.code is vector.code


@pytest.mark.parametrize("vector", [pytest.param(v, id=v.name) for v in vectors.JWE_VECTORS])
def test_a_malformed_encrypted_token_is_refused_with_its_code(vector):
    with pytest.raises(RefusedInputError) as caught:
        opened(vector.raw, encrypted="required")
    assert caught.value.problem.code is vector.code


@pytest.mark.parametrize("raw", [vectors.jws(), vectors.jwe()], ids=["signed", "encrypted"])
def test_a_token_made_by_hand_is_read(raw):
    verified = opened(raw)
    assert verified.claims == vectors.CLAIMS
    assert (verified.signer, verified.kid, verified.jti) == ("se-register", "s1", vectors.JTI)


@pytest.mark.parametrize(("alg", "key"), [("Ed25519", vectors.VERIFY_ED), ("EdDSA", vectors.VERIFY_ED)])
def test_ed25519_is_read_under_both_names(alg, key):
    raw = vectors.jws({"alg": alg, "kid": "e1", "typ": "secevent+jwt"}, signer=vectors.ED_KEY.sign)
    assert opened(raw, key).kid == "e1"


@pytest.mark.parametrize(
    ("private", "public"), [(vectors.SIGN_EC, vectors.VERIFY_EC), (vectors.SIGN_ED, vectors.VERIFY_ED)], ids=["ES256", "Ed25519"]
)
def test_what_we_sign_and_encrypt_we_read(private, public):
    jws = tokens.sign(vectors.CLAIMS, private, typ=tokens.EVENT)
    token = tokens.unwrap(tokens.encrypt(jws, vectors.ENCRYPT), vectors.DECRYPT, typ=tokens.EVENT, encrypted="required")
    verified = tokens.verify(token, public)
    assert verified.claims == vectors.CLAIMS
    assert verified.digest == tokens.digest_of(jws)
    assert token.compact == jws


def test_two_signatures_of_one_content_have_one_digest():
    one, two = (tokens.sign(vectors.CLAIMS, vectors.SIGN_EC, typ=tokens.EVENT) for _ in range(2))
    assert one != two
    assert opened(one).signed == opened(two).signed


def test_two_encryptions_share_no_part_but_the_nonce():
    jws = vectors.jws()
    one, two = (tokens.encrypt(jws, vectors.ENCRYPT).split(b".") for _ in range(2))
    assert [a == b for a, b in zip(one, two, strict=True)] == [False, True, True, False, False]


def _pair(use: Use) -> tuple[SigningKey, VerifyKey]:
    private = SigningKey(kid=KeyId("s1"), use=use, private=vectors.EC_KEY)
    public = VerifyKey(
        owner=PartnerId("se-register"),
        kid=KeyId("s1"),
        use=use,
        valid_from=vectors.FROM,
        valid_to=vectors.TO,
        alg=Alg.ES256,
        public=vectors.EC_KEY.public_key(),
    )
    return private, public


KINDS = (tokens.EVENT, tokens.REQUEST, tokens.COMMAND, tokens.RECEIPT, tokens.REJECTION, tokens.KEYS)
MAY = {
    (Use.SUBMIT, tokens.EVENT),
    (Use.DOCUMENT, tokens.EVENT),
    (Use.REQUEST, tokens.REQUEST),
    (Use.COMMAND, tokens.COMMAND),
    (Use.RECEIPT, tokens.RECEIPT),
    (Use.RECEIPT, tokens.REJECTION),
    (Use.ROOT, tokens.KEYS),
}


@pytest.mark.parametrize(("use", "typ"), list(itertools.product(Use, KINDS)))
def test_each_key_use_signs_and_verifies_its_kinds_of_token_and_no_other(use, typ):
    private, public = _pair(use)
    raw = vectors.jws({**vectors.HEAD, "typ": typ})  # signed by this very key: only the use can refuse it
    token = tokens.unwrap(raw, {}, typ=typ, encrypted="allowed")
    if (use, typ) in MAY:
        assert tokens.verify(token, public).typ == typ
        assert tokens.sign(vectors.CLAIMS, private, typ=typ)
        return
    with pytest.raises(UntrustedError):
        tokens.verify(token, public)
    with pytest.raises(InvariantError):
        tokens.sign(vectors.CLAIMS, private, typ=typ)


@pytest.mark.parametrize(("is_typ", "wanted"), [pair for pair in itertools.product(KINDS, KINDS) if pair[0] != pair[1]])
def test_a_token_of_one_kind_is_not_opened_as_another(is_typ, wanted):
    with pytest.raises(UntrustedError, match="untrusted"):
        tokens.unwrap(vectors.jws({**vectors.HEAD, "typ": is_typ}), {}, typ=wanted, encrypted="allowed")


def test_the_peer_sees_one_sentence_whatever_was_not_trusted():
    seen = set()
    for vector in (*vectors.JWS_VECTORS, *vectors.JWE_VECTORS):
        if vector.code is Code.UNTRUSTED:
            with pytest.raises(UntrustedError) as caught:
                opened(vector.raw, encrypted="allowed" if vector in vectors.JWS_VECTORS else "required")
            seen.add(caught.value.problem)
    assert len(seen) == 1


def test_an_ed25519_key_does_not_verify_a_token_of_an_ecdsa_key_with_its_id():
    raw = vectors.jws({"alg": "ES256", "kid": "e1", "typ": "secevent+jwt"})
    with pytest.raises(UntrustedError):
        opened(raw, vectors.VERIFY_ED)


def test_a_fault_never_quotes_the_input():
    with pytest.raises(MalformedError) as caught:
        opened(vectors.jws(payload=b'{"Anna Beispiel":1,"Anna Beispiel":2}'))
    chain = [caught.value, caught.value.__cause__, caught.value.problem]
    assert "Anna" not in "".join(map(repr, chain))
    assert caught.value.__suppress_context__


def test_a_private_key_is_not_shown():
    assert "private" not in repr(vectors.SIGN_EC)
    assert "private" not in repr(vectors.DECRYPT)


@pytest.mark.parametrize(
    ("text", "seven", "any_version"),
    [
        ("01977a3e-5c00-7000-8000-000000000001", True, True),
        ("01977a3e-5c00-4000-8000-000000000001", False, True),
        ("01977A3E-5C00-7000-8000-000000000001", False, False),
        ("01977a3e-5c00-7000-c000-000000000001", False, False),
        ("01977a3e-5c00-7000-8000-000000000001\n", False, False),
        ("01977a3e5c0070008000000000000001", False, False),
    ],
)
def test_a_uuid_has_one_spelling(text, seven, any_version):
    assert (tokens.is_uuid7(text), tokens.is_uuid(text)) == (seven, any_version)
