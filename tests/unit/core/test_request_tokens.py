from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.contract.values import PartnerId
from gateway.core import tokens
from gateway.core.keys import Use
from gateway.core.problems import UntrustedError
from gateway.core.request_tokens import HttpRequest, check_request, request_claims
from tests.vectors.tokens import JTI, NOW, OWNER, SIGN_EC, VERIFY_EC

GW = PartnerId("gw")
SIGN, VERIFY = replace(SIGN_EC, use=Use.REQUEST), replace(VERIFY_EC, use=Use.REQUEST)
POLL = HttpRequest("POST", "https://gw.example/v1/poll", b"a=1&b=%20", b'{"ack":["x"]}')
CLAIMS = request_claims(POLL, iss=OWNER, aud=GW, jti=JTI, now=NOW)
IAT = int(NOW.timestamp())


def verified(claims=CLAIMS):
    raw = tokens.sign(claims, SIGN, typ=tokens.REQUEST)
    return tokens.verify(tokens.unwrap(raw, {}, typ=tokens.REQUEST, encrypted="allowed"), VERIFY)


def test_a_request_token_names_who_asks():
    identity = check_request(verified(), POLL, aud=GW, now=NOW)
    assert (identity.partner, identity.jti, identity.exp) == (OWNER, JTI, NOW + timedelta(seconds=60))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(replace(POLL, method="GET"), id="method"),
        pytest.param(replace(POLL, method="post"), id="method in lower case"),
        pytest.param(replace(POLL, url="https://gw.example/v1/messages"), id="path"),
        pytest.param(replace(POLL, url="https://other.example/v1/poll"), id="host"),
        pytest.param(replace(POLL, query=b""), id="query taken away"),
        pytest.param(replace(POLL, query=b"b=%20&a=1"), id="query in another order"),
        pytest.param(replace(POLL, body=b'{"ack":["y"]}'), id="body"),
        pytest.param(replace(POLL, body=b""), id="body taken away"),
    ],
)
def test_a_token_for_another_request_is_refused(request_):
    with pytest.raises(UntrustedError):
        check_request(verified(), request_, aud=GW, now=NOW)


@pytest.mark.parametrize("seconds", [-5, 0, 59], ids=["partner's clock ahead", "now", "last second"])
def test_a_token_is_taken_in_its_time(seconds):
    assert check_request(verified(), POLL, aud=GW, now=NOW + timedelta(seconds=seconds)).partner == OWNER


@pytest.mark.parametrize("seconds", [-6, 60, 3600], ids=["from the future", "ended", "an hour old"])
def test_a_token_is_refused_outside_its_time(seconds):
    with pytest.raises(UntrustedError):
        check_request(verified(), POLL, aud=GW, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"iss": "no-register"}, id="another iss"),
        pytest.param({"aud": "another-gw"}, id="another aud"),
        pytest.param({"aud": ["gw"]}, id="aud is a list"),
        pytest.param({"exp": IAT + 61}, id="lives too long"),
        pytest.param({"exp": IAT}, id="lives not at all"),
        pytest.param({"exp": IAT - 1}, id="ends before it starts"),
        pytest.param({"iat": IAT + 0.5}, id="iat is a fraction"),
        pytest.param({"iat": True}, id="iat is a boolean"),
        pytest.param({"iat": str(IAT)}, id="iat is text"),
        pytest.param({"exp": 2**63}, id="exp beyond all calendars"),
        pytest.param({"exp": -1}, id="exp before 1970"),
        pytest.param({"htb": None}, id="htb is null"),
        pytest.param({"htq": ""}, id="htq is empty"),
        pytest.param({"htm": ["POST"]}, id="htm is a list"),
        pytest.param({"nonce": "x"}, id="a claim too many"),
        pytest.param({"htu": "https://gw.example/v1/poll\u00e9"}, id="htu not ASCII"),
    ],
)
def test_a_token_with_one_claim_changed_is_refused(change):
    with pytest.raises(UntrustedError):
        check_request(verified({**CLAIMS, **change}), POLL, aud=GW, now=NOW)


@pytest.mark.parametrize("name", sorted(CLAIMS.keys() - {"jti"}))
def test_a_token_that_lacks_a_claim_is_refused(name):
    with pytest.raises(UntrustedError):
        check_request(verified({key: value for key, value in CLAIMS.items() if key != name}), POLL, aud=GW, now=NOW)


def test_a_message_is_no_request_token():
    raw = tokens.sign(CLAIMS, SIGN_EC, typ=tokens.EVENT)
    message = tokens.verify(tokens.unwrap(raw, {}, typ=tokens.EVENT, encrypted="allowed"), VERIFY_EC)
    with pytest.raises(UntrustedError):
        check_request(message, POLL, aud=GW, now=NOW)
