"""Whatever a peer sends, opening and verifying give a verified token or one of our refusals."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import strict_json, tokens
from gateway.core.problems import MalformedError, RefusedInputError
from tests.vectors import tokens as vectors

SEEDS = [v.raw for v in (*vectors.JWS_VECTORS, *vectors.JWE_VECTORS) if len(v.raw) < 2000] + [vectors.jws(), vectors.jwe()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def outcome(raw: bytes) -> object:
    """Return what comes of `raw`; any error that is not a refusal escapes and fails the test."""
    for key in (vectors.VERIFY_EC, vectors.VERIFY_ED):
        try:
            return tokens.verify(tokens.unwrap(raw, vectors.DECRYPT, typ=tokens.EVENT, encrypted="allowed"), key)
        except RefusedInputError as exc:
            refusal = exc
    return refusal


@given(st.binary(max_size=4096))
def test_any_bytes_are_refused_by_one_of_our_errors(raw):
    assert isinstance(outcome(raw), RefusedInputError)


@given(st.sampled_from(SEEDS), st.integers(0, 1500), st.binary(max_size=4), st.integers(0, 4))
def test_any_token_with_bytes_changed_is_refused_or_says_the_same(seed, at, new, cut):
    """A change that survives must not change what was signed."""
    at %= len(seed) + 1
    found = outcome(seed[:at] + new + seed[at + cut :])
    assert isinstance(found, RefusedInputError) or found.claims == vectors.CLAIMS


@given(st.sampled_from(sorted({*vectors.HEAD, "crit", "b64", "zip", "jwk", "x"})), JSON)
def test_any_value_of_any_header_member_gives_an_outcome(name, value):
    found = outcome(vectors.jws({**vectors.HEAD, name: value}))
    assert isinstance(found, RefusedInputError) or {**vectors.HEAD, name: value} == vectors.HEAD


@given(st.sampled_from(sorted({*vectors.JWE_HEAD, "zip", "apu", "x"})), JSON)
def test_any_value_of_any_outer_header_member_gives_an_outcome(name, value):
    found = outcome(vectors.jwe({**vectors.JWE_HEAD, name: value}))
    assert isinstance(found, RefusedInputError) or {**vectors.JWE_HEAD, name: value} == vectors.JWE_HEAD


@given(st.sampled_from(["kty", "crv", "x", "y", "d"]), JSON)
def test_any_value_of_any_member_of_the_ephemeral_key_gives_an_outcome(name, value):
    assert isinstance(outcome(vectors.jwe({**vectors.JWE_HEAD, "epk": {**vectors.JWE_HEAD["epk"], name: value}})), RefusedInputError)


@given(JSON)
def test_any_signed_json_without_an_id_is_refused(value):
    found = outcome(vectors.jws(payload=json.dumps(value).encode()))
    assert isinstance(found, RefusedInputError) or "jti" in found.claims


@given(st.binary(max_size=512) | JSON.map(lambda value: json.dumps(value).encode()))
def test_strict_json_is_never_more_lenient_than_the_standard_library(raw):
    try:
        value = strict_json.parse(raw)
    except MalformedError:
        return
    assert json.loads(raw) == value
    assert strict_json.parse(strict_json.canonical(value)) == value
