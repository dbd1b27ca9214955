"""A taken-over outer zone lies in what is not signed: it gets no receipt for a leg, and stops no loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest

from gateway.app.channels import Submissions
from gateway.app.codec import decode_report, decode_sealed
from gateway.app.ports import Answer, Outgoing, Question
from gateway.app.supervise import Supervisor
from gateway.app.topics import REPLIES, REQUESTS
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import Request, RequestServer
from gateway.contract.errors import InvariantError
from gateway.contract.values import PartnerId
from gateway.core import jose, tokens
from gateway.core.delivery import State
from gateway.core.keys import Use
from gateway.core.request_tokens import HttpRequest, request_claims
from gateway.testing.clock import FakeClock
from tests.house import GATEWAY, ORIGIN, ROOT, House, house

BORDER = PartnerId("nl-border")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))


def request_token(h: House, who: PartnerId, method: str, path: str, body: bytes) -> str:
    asked = HttpRequest(method, ORIGIN + path, b"", body)
    claims = request_claims(asked, iss=who, aud=GATEWAY, jti=h.dice.uuid7(h.clock.now()), now=h.clock.now())
    return tokens.sign(claims, h.keys[who].signing(Use.REQUEST), typ=tokens.REQUEST).decode()


async def test_an_edge_cannot_put_other_acknowledgements_under_a_partners_poll(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(EVENT)
        await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=b"{}")
        leg = (await h.legs(jti))[BORDER]
        signed, forged = b"{}", json.dumps({"ack": [leg.jti]}).encode()
        question = Question(
            kind="poll", method="POST", path="/v1/poll", token=request_token(h, BORDER, "POST", "/v1/poll", signed),
            body=forged, digest=jose.b64encode(sha256(signed).digest()).decode(),
        )  # fmt: skip
        answer = await h.requests.answer(question)
        assert (answer.outcome, answer.code) == ("problem", "untrusted")
        assert (await h.legs(jti))[BORDER].state is State.AVAILABLE


DEEP = b"\x91" * 100_000 + b"\xc0"  # an array in an array, and so on
NOT_TEXT = b"\xa2\xff\xff"
UNREADABLE = {
    "text that is no UTF-8": b"\x81" + msgspec.msgpack.encode("leg_id") + NOT_TEXT,
    "a member nested without end": b"\x81" + msgspec.msgpack.encode("other") + DEEP,
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("decode", [decode_report, decode_sealed])
def test_a_record_that_cannot_be_read_is_told_as_one(decode: Callable[[bytes], object], value: bytes) -> None:
    with pytest.raises(InvariantError):
        decode(value)


class Noted:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, **_: object) -> None:
        self.events.append(name)


async def nobody(_: object) -> list[object]:
    raise AssertionError("there is nothing to answer")


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_question_that_cannot_be_read_is_passed_over(value: bytes) -> None:
    bus, noted = MemoryBus(), Noted()
    server = asyncio.create_task(RequestServer(bus, nobody, FakeClock(), noted).run())
    try:
        async with asyncio.timeout(5):
            while "request-malformed" not in noted.events:
                if server.done():
                    await server
                await bus.publish([Outgoing(REQUESTS, b"", value)])
                await asyncio.sleep(0.01)
        assert not server.done()
    finally:
        server.cancel()


async def test_an_inner_without_registers_on_the_bus_stays(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with house(tmp_path) as h:
        running = asyncio.create_task(Supervisor(Noted()).run({"channels": Submissions(h.bus, h.intake, Noted(), []).run}, stop))
        await asyncio.wait([running], timeout=0.2)
        assert not running.done()
        stop.set()
        await running


STRANGER = "Mr Nobody, born 1970\nmessage-accepted partner=gb-register"


async def test_what_a_stranger_writes_as_its_name_is_not_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with house(tmp_path) as h:
        token = tokens.sign({"iss": STRANGER, "jti": "1"}, h.keys[BORDER].signing(Use.REQUEST), typ=tokens.REQUEST).decode()
        by_token = await h.requests.answer(Question(kind="poll", method="POST", path="/v1/poll", token=token, body=b"{}"))
        by_certificate = await h.requests.answer(Question(kind="submit", method="POST", body=h.token(EVENT), mtls=PartnerId(STRANGER)))
        assert (by_token.code, by_certificate.code) == ("untrusted", "untrusted")
        assert STRANGER not in generate_latest(h.metrics.registry).decode()
    told = "".join(capsys.readouterr())
    assert "request-untrusted" in told
    assert "Nobody" not in told


async def echo(questions: Sequence[Question]) -> list[Answer]:
    return [Answer(outcome="ok", body=question.body) for question in questions]


async def test_a_partition_that_does_not_exist_costs_no_other_its_answer() -> None:
    bus, clock = MemoryBus(), FakeClock()
    deadline = clock.now() + timedelta(seconds=60)
    asked = [Request(bytes([number]), 9_999 if number == 2 else 0, deadline, Question(kind="status")) for number in range(5)]
    await bus.publish([Outgoing(REQUESTS, b"", msgspec.msgpack.encode(request)) for request in asked])
    server = asyncio.create_task(RequestServer(bus, echo, clock, Noted()).run())
    try:
        async with bus.subscribe([REPLIES], group="edges") as replies, asyncio.timeout(5):
            found: list[bytes] = []
            while len(found) < 4:
                found += [record.key for record in await replies.batch(max_records=10, wait_seconds=1)]
        assert sorted(found) == [b"\x00", b"\x01", b"\x03", b"\x04"]
    finally:
        server.cancel()
