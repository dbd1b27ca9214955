"""A taken-over outer zone lies in what is not signed: it gets no receipt for a leg, and stops no loop."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from gateway.app.ports import Question
from gateway.contract.values import PartnerId
from gateway.core import jose, tokens
from gateway.core.delivery import State
from gateway.core.keys import Use
from gateway.core.request_tokens import HttpRequest, request_claims
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
