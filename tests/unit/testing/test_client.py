"""The partner's client against the real listener, with a desk that checks request tokens as inner does and signs what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from aiohttp.test_utils import TestServer

from gateway.api import app, public
from gateway.api.edge import Bounds, Edge, PublicInfo
from gateway.app.ports import Answer
from gateway.contract.values import Jti, PartnerId
from gateway.core import receipts, tokens
from gateway.core.keys import Use
from gateway.core.message import Signed
from gateway.core.problems import UntrustedError
from gateway.core.receipts import Head
from gateway.core.request_tokens import HttpRequest, check_request
from gateway.ops.system import SystemClock
from gateway.testing.client import AnswerError, Identity, PartnerClient, sealed_message

from .keys import DOCUMENT, GATEWAY, GATEWAY_ENCRYPTION, GATEWAY_KEYS, GATEWAY_OPENS, PARTNER, PARTNER_KEYS, RECEIPT, REQUEST, SUBMIT

CLAIMS = {"iss": PARTNER, "aud": GATEWAY, "events": {}}
IDENTITY = Identity(partner=PARTNER, gateway=GATEWAY, request_key=REQUEST, gateway_keys=GATEWAY_KEYS)


def message(number):
    return sealed_message({**CLAIMS, "jti": f"0197a000-0000-7000-8000-{number:012}"}, SUBMIT, GATEWAY_ENCRYPTION)


@dataclass
class Inner:
    """Implements the desk's port."""

    origin: str = ""
    used: set[str] = field(default_factory=set)
    polls: list[dict[str, object]] = field(default_factory=list)
    receipt_key: object = RECEIPT

    async def ask(self, question, *, deadline):
        token = tokens.unwrap(question.token.encode(), {}, typ=tokens.REQUEST, encrypted="allowed")
        verified = tokens.verify(token, PARTNER_KEYS.find(PARTNER, token.kid, use=Use.REQUEST))
        asked = HttpRequest(question.method, self.origin + question.path, question.query.encode(), question.body, question.digest)
        identity = check_request(verified, asked, aud=GATEWAY, now=SystemClock().now())
        if question.kind not in {"line", "poll-again"}:
            assert identity.jti not in self.used
            self.used.add(identity.jti)
        match question.kind:
            case "submit" | "line":
                return self._submit(question.body)
            case "poll" | "poll-again":
                self.polls.append(json.loads(question.body))
                return Answer(outcome="ok", body=b'{"sets":{"j-1":"a.b.c.d.e"},"moreAvailable":true}')
            case _:
                return Answer(outcome="ok", body=json.dumps({"kind": question.kind, "query": question.query}).encode())

    def _submit(self, body):
        token = tokens.unwrap(body, {GATEWAY_OPENS.kid: GATEWAY_OPENS}, typ=tokens.EVENT, encrypted="required")
        verified = tokens.verify(token, PARTNER_KEYS.find(PARTNER, token.kid, use=Use.SUBMIT))
        head = Head(GATEWAY, "0197a000-0000-7000-8000-00000000ffff", SystemClock().now())
        claims = receipts.receipt_claims(head, verified.signed, leaf=b"\x01" * 32, warnings=(), checkpoint=None)
        return Answer(outcome="accepted", body=tokens.sign(claims, self.receipt_key, typ=tokens.RECEIPT), media_type="application/jwt")


class Quiet:
    def event(self, name, **_):
        raise AssertionError(name)


@pytest.fixture
def inner():
    return Inner()


@pytest.fixture
async def client(inner, aiohttp_server):
    async def ready():
        return []

    info = PublicInfo(jwks=b"{}", key_set=b"", schemas={}, problems={}, openapi=public.openapi())
    edge = Edge(desk=inner, clock=SystemClock(), telemetry=Quiet(), public=info, readiness=ready, bounds=Bounds())
    server: TestServer = await aiohttp_server(app.create(edge))
    inner.origin = f"http://127.0.0.1:{server.port}"
    async with PartnerClient(inner.origin, IDENTITY) as opened:
        yield opened


async def test_a_submission_gets_a_receipt_that_verifies(client):
    jws, jwe = message(1)
    response = await client.submit(jwe)
    statement = client.read_receipt(response.body, jws)
    assert (response.status, statement.leaf) == (202, b"\x01" * 32)
    assert statement.received == Signed(PARTNER, Jti("0197a000-0000-7000-8000-000000000001"), tokens.digest_of(jws))


async def test_a_receipt_for_another_message_is_refused(client):
    response = await client.submit(message(1)[1])
    with pytest.raises(AnswerError, match="another message"):
        client.read_receipt(response.body, message(2)[0])


async def test_a_receipt_that_another_key_signed_is_refused(client, inner):
    inner.receipt_key = type(RECEIPT)(kid=RECEIPT.kid, use=RECEIPT.use, private=DOCUMENT.private)
    jws, jwe = message(1)
    response = await client.submit(jwe)
    with pytest.raises(UntrustedError):
        client.read_receipt(response.body, jws)


async def test_a_receipt_is_no_rejection(client):
    jws, jwe = message(1)
    response = await client.submit(jwe)
    with pytest.raises(UntrustedError):
        client.read_rejection(response.body, jws)


async def test_lines_share_one_request_token_and_each_gets_its_receipt(client):
    made = [message(number) for number in range(20)]
    found = await client.submit_lines([jwe for _, jwe in made])
    assert [(each.line, each.status) for each in found] == [(number, 202) for number in range(1, 21)]
    for each, (jws, _) in zip(found, made, strict=True):
        client.read_receipt(each.receipt, jws)


async def test_a_poll_says_what_was_taken_and_what_was_not(client, inner):
    batch = await client.poll(max_events=5, ack=[Jti("a")], errors={Jti("b"): "invalid_key"})
    assert (dict(batch.sets), batch.more_available) == ({"j-1": b"a.b.c.d.e"}, True)
    assert inner.polls == [
        {"returnImmediately": True, "maxEvents": 5, "ack": ["a"], "setErrs": {"b": {"err": "invalid_key", "description": "invalid_key"}}}
    ]


async def test_status_and_proofs_are_asked_with_a_token_over_the_query(client):
    assert (await client.status(Jti("0197-a"))).value == {"kind": "status", "query": ""}
    assert (await client.receipt(Jti("0197-a"))).value["kind"] == "receipt"
    proof = await client.get("/v1/evidence/consistency", {"first": "1", "second": "2"})
    assert proof.value == {"kind": "consistency", "query": "first=1&second=2"}


async def test_a_problem_is_read_as_its_faults(client):
    response = await client.request("POST", "/v1/messages", body=b"x", media_type="text/plain")
    assert (response.status, [each["code"] for each in response.problems]) == (415, ["media-type-wrong"])
    assert (await client.get("/healthz")).problems == []


async def test_lines_that_are_not_taken_as_a_whole_are_an_error(client):
    with pytest.raises(AnswerError, match="413"):
        await client.submit_lines([b"x"] * 1001)


async def test_a_client_that_is_not_open_says_so():
    with pytest.raises(AnswerError, match="not open"):
        await PartnerClient("https://EXAMPLE.invalid", IDENTITY).status(Jti("x"))


def test_the_request_key_is_not_shown():
    assert "private" not in repr(IDENTITY)
    assert PartnerId("ie-police") in repr(IDENTITY)
