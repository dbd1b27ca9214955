from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.contract.values import Jti, PartnerId
from gateway.core import receipts, tokens
from gateway.core.keys import Use
from gateway.core.message import Signed
from gateway.core.problems import Code, MalformedError, Problem, RuleId, Severity
from tests.vectors.tokens import JTI, NOW, OWNER, SIGN_EC, VERIFY_EC

GW = PartnerId("gw")
SIGN, VERIFY = replace(SIGN_EC, use=Use.RECEIPT), replace(VERIFY_EC, use=Use.RECEIPT, owner=GW)
RECEIVED = Signed(OWNER, Jti(JTI), "ab" * 32)
HEAD = receipts.Head(GW, "01977a3e-5c00-7000-8000-00000000000a", NOW)
LATE = Problem(
    code=Code.RULE_BROKEN,
    detail="notified late",
    expected="21 days",
    pointer="/body/itinerary",
    rule=RuleId("R-TRV-11"),
    severity=Severity.WARNING,
)
RECEIPT = receipts.receipt_claims(HEAD, RECEIVED, leaf=b"\x01" * 32, warnings=[LATE], checkpoint="gw\n1\nAAAA\n")
REJECTION = receipts.rejection_claims(HEAD, RECEIVED, problems=[Problem(code=Code.AUDIENCE_WRONG, detail="aud is another", claim="aud")])


def said(claims, typ, reader=OWNER):
    raw = tokens.sign(claims, SIGN, typ=typ)
    return receipts.read_statement(tokens.verify(tokens.unwrap(raw, {}, typ=typ, encrypted="allowed"), VERIFY), reader=reader)


def test_a_receipt_says_what_was_received_and_where_its_evidence_is():
    statement = said(RECEIPT, tokens.RECEIPT)
    assert (statement.received, statement.leaf, statement.at, statement.checkpoint) == (RECEIVED, b"\x01" * 32, NOW, "gw\n1\nAAAA\n")
    assert statement.problems == (
        {
            "code": "rule-broken",
            "severity": "warning",
            "detail": "notified late",
            "expected": "21 days",
            "pointer": "/body/itinerary",
            "rule": "R-TRV-11",
        },
    )


def test_a_rejection_says_what_was_wrong():
    statement = said(REJECTION, tokens.REJECTION)
    assert (statement.received, statement.leaf, statement.checkpoint) == (RECEIVED, None, None)
    assert statement.problems == ({"code": "audience-wrong", "severity": "error", "detail": "aud is another", "claim": "aud"},)


def test_a_gateway_without_a_checkpoint_says_so():
    claims = receipts.receipt_claims(HEAD, RECEIVED, leaf=b"\x01" * 32, warnings=[], checkpoint=None)
    assert claims["checkpoint"] is None
    assert said(claims, tokens.RECEIPT).checkpoint is None


@pytest.mark.parametrize(
    ("claims", "typ"),
    [
        pytest.param({**RECEIPT, "aud": "no-register"}, tokens.RECEIPT, id="for another"),
        pytest.param({**RECEIPT, "iss": "other-gw"}, tokens.RECEIPT, id="by another"),
        pytest.param({**RECEIPT, "leaf": "AB" * 32}, tokens.RECEIPT, id="leaf in capitals"),
        pytest.param({**RECEIPT, "leaf": None}, tokens.RECEIPT, id="leaf is null"),
        pytest.param({**RECEIPT, "received": None}, tokens.RECEIPT, id="received is null"),
        pytest.param({**RECEIPT, "received": {"iss": OWNER, "jti": JTI}}, tokens.RECEIPT, id="received without digest"),
        pytest.param({**RECEIPT, "warnings": "none"}, tokens.RECEIPT, id="warnings is text"),
        pytest.param({**RECEIPT, "warnings": ["late"]}, tokens.RECEIPT, id="a warning is text"),
        pytest.param({**RECEIPT, "checkpoint": 7}, tokens.RECEIPT, id="checkpoint is a number"),
        pytest.param({**RECEIPT, "iat": 1.5}, tokens.RECEIPT, id="iat is a fraction"),
        pytest.param({**RECEIPT, "more": 1}, tokens.RECEIPT, id="a claim too many"),
        pytest.param(RECEIPT, tokens.REJECTION, id="a receipt as rejection"),
        pytest.param(REJECTION, tokens.RECEIPT, id="a rejection as receipt"),
    ],
)
def test_a_statement_with_one_change_is_refused(claims, typ):
    with pytest.raises(MalformedError):
        said(claims, typ)


def test_a_message_is_no_statement():
    raw = tokens.sign(RECEIPT, SIGN_EC, typ=tokens.EVENT)
    message = tokens.verify(tokens.unwrap(raw, {}, typ=tokens.EVENT, encrypted="allowed"), VERIFY_EC)
    with pytest.raises(MalformedError):
        receipts.read_statement(message, reader=OWNER)
