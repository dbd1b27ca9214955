"""A register with a Kafka channel gets what is for it on its own results topic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app import topics
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from tests.house import ROOT, SHIPPED, house, with_delivery

REGISTER = PartnerId("gb-register")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))


@pytest.fixture
def profiles():
    own = replace(with_delivery(SHIPPED[REGISTER], transport="channel"), kafka_channel=True)
    return {**SHIPPED, REGISTER: own}


async def test_an_acknowledgement_is_delivered_on_the_results_topic(tmp_path: Path, profiles) -> None:
    async with house(tmp_path, profiles=profiles) as h, h.bus.subscribe([topics.results(REGISTER)], group="register") as results:
        jti = await h.submit(EVENT)
        polled = await h.ask("poll", "/v1/poll", who="nl-border", method="POST", body=b"{}")
        ack = json.dumps({"ack": list(json.loads(polled.body)["sets"])}).encode()
        await h.ask("poll", "/v1/poll", who="nl-border", method="POST", body=ack)
        await h.run_until_idle()
        (record,) = await results.batch(max_records=10, wait_seconds=1)
        assert record.headers["content-type"] == "application/secevent+jwt"
        got = h.open(REGISTER, record.value)
        assert got.event["routing"]["in_response_to"] == {"iss": REGISTER, "jti": jti}
        assert got.event["body"]["stage"] == "RECEIPTED"
        async with h.store.reading() as work:
            counts = await work.counts()
        assert counts[REGISTER, State.DELIVERED] == 1
