"""What a register is told about a message it submits: receipts, rejections and problems, the same on both forms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core import tokens
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.request_tokens import HttpRequest
from gateway.ops.system import SystemClock, SystemDice
from gateway.testing.client import JOSE, PartnerClient, sealed_message
from gateway.testing.messages import FAULTS
from tests.acceptance.deployment import BANGKOK, BORDER, FRANCE, Deployment, Sent, receipt_of


async def test_a_message_gets_a_receipt_that_the_pinned_keys_verify(gw):
    async with gw.client() as register:
        sent = gw.message()
        response = await register.submit(sent.sealed)
        statement = receipt_of(register, response, sent)
    assert response.status == 202
    assert response.headers["Content-Type"] == "application/jwt"
    assert (statement.received.jti, len(statement.leaf)) == (sent.jti, 32)


async def test_a_repeat_gets_the_same_receipt_byte_for_byte_however_it_is_encrypted(gw):
    async with gw.client() as register:
        sent = gw.message()
        first = await register.submit(sent.sealed)
        again = [await register.submit(sent.sealed), await register.submit(tokens.encrypt(sent.jws, gw.kit().gateway_encryption))]
        stored = await register.receipt(sent.jti)
    assert first.status == 202
    assert [(each.status, each.body) for each in (*again, stored)] == [(200, first.body)] * 3


async def test_the_same_jti_with_other_content_is_a_conflict_and_the_first_stays(gw):
    async with gw.client() as register:
        sent = gw.message()
        first = await register.submit(sent.sealed)
        other = await register.submit(gw.message(jti=sent.jti).sealed)
        stored = await register.receipt(sent.jti)
    assert (other.status, [fault["code"] for fault in other.problems]) == (409, ["conflict"])
    assert stored.body == first.body


async def test_a_late_notice_is_accepted_and_its_receipt_says_so(gw):
    async with gw.client() as register:
        late = gw.message(label="late")
        statement = receipt_of(register, await register.submit(late.sealed), late)
    assert "R-TRV-03a" in {problem["rule"] for problem in statement.problems}


WRONG_IN_MANY_PLACES = (
    "no handling code", "a purpose nobody knows", "a day that does not exist", "a name in the victim profile", "an emergency without its reason"
)  # fmt: skip


async def test_every_fault_is_told_at_once_and_the_rejection_is_signed(gw):
    overrides = {pointer: value for fault in WRONG_IN_MANY_PLACES for pointer, value in FAULTS[fault].items()}
    async with gw.client() as register:
        sent = gw.message(overrides=overrides)
        response = await register.submit(sent.sealed)
        rejection = register.read_rejection(response.value["rejection"].encode(), sent.jws)
        unknown = await register.receipt(sent.jti)
        mended = await register.submit(gw.message(jti=sent.jti).sealed)
    assert (response.status, response.headers["Content-Type"]) == (422, "application/problem+json")
    assert {(fault["pointer"], fault["code"]) for fault in response.problems} == {
        ("/handling/codes", "schema-invalid"),
        ("/handling/purpose", "code-unknown"),
        ("/body/itinerary/segments/0/departure/date", "schema-invalid"),
        ("/body/victim_profile/0", "schema-invalid"),
        ("/body/emergency_reason", "schema-invalid"),
    }
    assert all(fault["detail"] and fault["expected"] and fault["severity"] == "error" for fault in response.problems)
    assert [problem["pointer"] for problem in rejection.problems] == [fault["pointer"] for fault in response.problems]
    assert response.value["type"] == f"/v1/problems/{response.problems[0]['code']}"
    assert (unknown.status, mended.status) == (404, 202), "a rejection does not use up the jti"


async def test_broken_rules_are_told_with_their_ids_and_what_would_be_right(gw):
    arrivals = [f"/body/itinerary/segments/{index}/arrival/date" for index in (0, 1)]
    async with gw.client() as register:
        response = await register.submit(gw.message(BANGKOK, overrides=dict.fromkeys(arrivals, "2026-01-01")).sealed)
    assert response.status == 422
    told = {fault["pointer"]: fault for fault in response.problems if fault["severity"] == "error"}
    assert set(arrivals) <= told.keys()
    for pointer in arrivals:
        assert (told[pointer]["code"], told[pointer]["rule"]) == ("rule-broken", "R-TRV-11")
        assert told[pointer]["expected"] == "arrival at or after departure"


# --- 401: one code, whatever of keys, encryption or signature is wrong -------------------------------------------------


def _flipped(token: bytes, part: int) -> bytes:
    """Return a token with one character of a part changed to another of base64url."""
    parts = token.split(b".")
    middle = len(parts[part]) // 2
    character = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
    parts[part] = parts[part][:middle] + character + parts[part][middle + 1 :]
    return b".".join(parts)


def _signed(gw: Deployment, sent: Sent, **key: object) -> bytes:
    """Return the message of `sent` signed with another key, or another name of it."""
    claims = tokens.unwrap(sent.jws, {}, typ=tokens.EVENT, encrypted="allowed").payload
    return sealed_message(_claims(claims), replace(gw.kit().submit_key, **key), gw.kit().gateway_encryption)[1]


def _claims(payload: bytes) -> dict[str, object]:
    from gateway.core.strict_json import parse_object

    return dict(parse_object(payload))


UNTRUSTED = {
    "signature changed": lambda gw, sent: tokens.encrypt(_flipped(sent.jws, 2), gw.kit().gateway_encryption),
    "claims changed": lambda gw, sent: tokens.encrypt(_flipped(sent.jws, 1), gw.kit().gateway_encryption),
    "a kid nobody knows": lambda gw, sent: _signed(gw, sent, kid="submit-20200101-00000000"),
    "another partner's key under our kid": lambda gw, sent: _signed(gw, sent, private=gw.kit(FRANCE).submit_key.private),
    "another partner's key and kid": lambda gw, sent: _signed(
        gw, sent, private=gw.kit(FRANCE).submit_key.private, kid=gw.kit(FRANCE).submit_key.kid
    ),
    "a key of another use": lambda gw, sent: _signed(gw, sent, private=gw.kit().request_key.private, kid=gw.kit().request_key.kid),
    "encrypted to another partner": lambda gw, sent: (
        tokens.encrypt(sent.jws, gw.kit(BORDER).gateway_keys.encryption_key("gw-main", _now()))[:-4] + b"AAAA"
    ),
    "ciphertext changed": lambda gw, sent: _flipped(sent.sealed, 3),
    "not encrypted": lambda gw, sent: sent.jws,
}


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_any_fault_of_key_encryption_or_signature_is_one_answer(gw, case):
    async with gw.client() as register:
        sent = gw.message()
        response = await register.submit(UNTRUSTED[case](gw, sent))
        known = await register.receipt(sent.jti)
    assert (response.status, [fault["code"] for fault in response.problems]) == (401, ["untrusted"])
    assert "rejection" not in response.value
    assert response.value == await _untrusted(gw), "no fault can be told from another"
    assert known.status == 404


async def _untrusted(gw: Deployment) -> object:
    """Return what is answered to a request without any token."""
    async with gw.client() as register:
        return (await _bare(register, "POST", "/v1/messages", body=gw.message().sealed, headers={"Content-Type": JOSE}))[1]


async def _bare(client: PartnerClient, method: str, path: str, *, body: bytes = b"", headers: dict[str, str]) -> tuple[int, object]:
    assert client._session is not None
    async with client._session.request(method, client._origin + path, data=body or None, headers=headers) as response:
        return response.status, await response.json(content_type=None)


def _asked(gw: Deployment, sent: bytes, /, **other: object) -> HttpRequest:
    return replace(HttpRequest("POST", gw.setup.origin + "/v1/messages", b"", sent), **other)


REQUESTS = {
    "of another body": lambda gw, client, body: client.request_token(_asked(gw, body, body=b"other")),
    "for another method": lambda gw, client, body: client.request_token(_asked(gw, body, method="PUT")),
    "for another path": lambda gw, client, body: client.request_token(_asked(gw, body, url=gw.setup.origin + "/v1/poll")),
    "for another query": lambda gw, client, body: client.request_token(_asked(gw, body, query=b"a=1")),
    "of another partner": lambda gw, client, body: gw.client(FRANCE).request_token(_asked(gw, body)),
    "signed with the key for messages": lambda gw, client, body: tokens.sign(
        {"iss": "gb-register"}, gw.kit().submit_key, typ=tokens.EVENT
    ).decode(),
    "of an hour ago": lambda gw, client, body: _at(gw, timedelta(hours=-1)).request_token(_asked(gw, body)),
    "of an hour from now": lambda gw, client, body: _at(gw, timedelta(hours=1)).request_token(_asked(gw, body)),
}


def _at(gw: Deployment, ahead: timedelta) -> PartnerClient:
    class Clock(SystemClock):
        def now(self) -> datetime:
            return super().now() + ahead

    return PartnerClient(gw.setup.origin, gw.kit().identity, clock=Clock(), dice=SystemDice())


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_request_token_is_for_one_request_of_its_partner(gw, case):
    async with gw.client() as register:
        sent = gw.message()
        headers = {"Content-Type": JOSE, "Authorization": f"Bearer {REQUESTS[case](gw, register, sent.sealed)}"}
        status, problem = await _bare(register, "POST", "/v1/messages", body=sent.sealed, headers=headers)
        known = await register.receipt(sent.jti)
    assert (status, problem) == (401, await _untrusted(gw))
    assert known.status == 404


async def test_a_request_seen_on_the_wire_brings_no_more_than_the_receipt_again(gw):
    async with gw.client() as register:
        sent = gw.message()
        headers = {"Content-Type": JOSE, "Authorization": f"Bearer {register.request_token(_asked(gw, sent.sealed))}"}
        assert register._session is not None
        answers = []
        for _ in range(2):
            async with register._session.post(gw.setup.origin + "/v1/messages", data=sent.sealed, headers=headers) as response:
                answers.append((response.status, await response.read()))
    assert [status for status, _ in answers] == [202, 200]
    assert answers[0][1] == answers[1][1]


async def test_the_request_token_of_a_poll_is_good_once(gw):
    body = b'{"returnImmediately":true,"maxEvents":0}'
    async with gw.client() as register:
        asked = HttpRequest("POST", gw.setup.origin + "/v1/poll", b"", body)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {register.request_token(asked)}"}
        statuses = [(await _bare(register, "POST", "/v1/poll", body=body, headers=headers))[0] for _ in range(2)]
    used = 401 if gw.form == "embedded" else 503  # the bus itself brings again what an inner had begun: who sent it asks anew
    assert statuses == [200, used]


# --- what is no message --------------------------------------------------------------------------------------------------

WRONG = {
    "no token": (b"hello", JOSE, 400, "not-a-token"),
    "nothing": (b"", JOSE, 400, "not-a-token"),
    "too large": (b"x" * (SEALED_BYTES_MAX + 1), JOSE, 413, "message-too-large"),
    "another media type": (b"{}", "application/json", 415, "media-type-wrong"),
    "lines without a line": (b"", "application/jsonl", 400, "not-json"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_no_message_is_told_what_it_should_have_been(gw, case):
    body, media_type, status, code = WRONG[case]
    async with gw.client() as register:
        response = await register.request("POST", "/v1/messages", body=body, media_type=media_type)
    assert (response.status, [fault["code"] for fault in response.problems]) == (status, [code])


async def test_signed_text_that_is_not_json_is_told_so(gw):
    kit = gw.kit()
    text = b'{"iss":"gb-register","iss":"gb-register"}'
    head, _, _ = gw.message().jws.split(b".")
    signed = _sign_text(head, text, gw)
    async with gw.client() as register:
        response = await register.submit(tokens.encrypt(signed, kit.gateway_encryption))
    assert (response.status, [fault["code"] for fault in response.problems]) == (400, ["not-json"])


def _sign_text(head: bytes, text: bytes, gw: Deployment) -> bytes:
    from gateway.core import jose

    signing_input = head + b"." + jose.b64encode(text)
    return signing_input + b"." + jose.b64encode(tokens._signature(signing_input, gw.kit().submit_key))


CLAIMS = {
    "another addressee": ({"aud": "gw-other"}, "audience-wrong"),
    "older than the channel takes": ({"iat": 1_500_000_000}, "issued-too-late"),
    "from the future": ({"iat": 4_000_000_000}, "issued-too-early"),
    "a version nobody has": ({"events": {"https://gateway.example/events/travel-notification/9.0": {}}}, "family-unknown"),
    "no jti of version 7": ({"jti": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}, "claim-invalid"),
}


@pytest.mark.parametrize("case", CLAIMS)
async def test_claims_that_cannot_be_taken_are_named(gw, case):
    claims, code = CLAIMS[case]
    async with gw.client() as register:
        response = await register.submit(gw.message(claims=claims).sealed)
    assert (response.status, [fault["code"] for fault in response.problems]) == (422, [code])


async def test_a_message_of_another_environment_is_refused(gw):
    async with gw.client() as register:
        response = await register.submit(gw.message(environment="PRODUCTION").sealed)
    assert (response.status, [fault["code"] for fault in response.problems]) == (422, ["environment-wrong"])


async def test_each_of_many_lines_gets_its_own_answer_in_order(gw):
    async with gw.client() as register:
        earlier, good, other = gw.message(), gw.message(), gw.message()
        first = await register.submit(earlier.sealed)
        faulty = gw.message(overrides=FAULTS["no handling code"])
        tampered = tokens.encrypt(_flipped(gw.message().jws, 2), gw.kit().gateway_encryption)
        answers = await register.submit_lines([good.sealed, earlier.sealed, tampered, faulty.sealed, b"hello", other.sealed])
        for sent, answer in ((good, answers[0]), (other, answers[5])):
            assert answer.receipt is not None
            assert register.read_receipt(answer.receipt, sent.jws).received.jti == sent.jti
    assert [answer.line for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert [answer.status for answer in answers] == [202, 200, 401, 422, 400, 202]
    assert answers[1].receipt == first.body
    assert answers[3].problem is not None
    assert answers[3].problem["rejection"]


async def test_one_bad_line_among_a_hundred_fails_no_other(gw):
    sent = [gw.message() for _ in range(99)]
    lines = [one.sealed for one in sent]
    lines.insert(50, sent[7].sealed)
    async with gw.client() as register:
        answers = await register.submit_lines(lines)
    assert sorted(answer.status for answer in answers) == [200] + [202] * 99
    receipts = {answer.receipt for answer in answers}
    assert len(receipts) == 99, "the repeated one got the same bytes twice"
