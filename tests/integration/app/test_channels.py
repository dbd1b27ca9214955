"""A register's Kafka channel and the projection of evidence, over the memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.app import topics
from gateway.app.channels import Events, Submissions
from gateway.app.ports import Outgoing, Record
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from tests.house import House, house
from tests.notices import notice

REGISTER, FR = PartnerId("gb-register"), PartnerId("fr-police")


@asynccontextmanager
async def channel(h: House) -> AsyncIterator[None]:
    """Inner's side of the register's channel, running."""
    stopping = asyncio.Event()
    task = asyncio.create_task(Submissions(h.bus, h.intake, [REGISTER]).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def say(h: House, *values: bytes) -> None:
    await h.bus.publish([Outgoing(topics.submissions(REGISTER), b"key", value) for value in values])


async def results(h: House, count: int) -> list[Record]:
    """What the register reads, in order of what it wrote."""
    found: list[Record] = []
    async with h.bus.subscribe([topics.results(REGISTER)], group=topics.results_group(REGISTER)) as mine, asyncio.timeout(10):
        while len(found) < count:
            found += await mine.batch(max_records=100, wait_seconds=1)
    return sorted(found, key=lambda record: int(record.headers["offset"]))


async def test_each_record_is_answered_by_its_coordinates(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        good, wrong = h.token(notice("FR"), jti=(jti := h.dice.uuid7(h.clock.now()))), h.token(notice("FR", handling__codes=[]))
        await say(h, good, wrong, b"nonsense", good)
        answers = await results(h, 4)
        assert [record.headers["outcome"] for record in answers] == ["accepted", "rejected", "rejected", "repeated"]
        assert [record.headers["offset"] for record in answers] == ["0", "1", "2", "3"]
        assert len({record.headers["partition"] for record in answers}) == 1
        assert answers[0].value == answers[3].value
        assert [record.headers["content-type"] for record in answers] == ["application/jwt", *["application/json"] * 2, "application/jwt"]
        assert json.loads(answers[1].value)["rejection"].count(".") == 2
        assert json.loads(answers[2].value)["problems"][0]["code"] == "not-a-token"
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED


async def test_a_malformed_record_never_blocks_the_channel(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        for raw in (b"", b"\x00" * 100, b"." * 5, b"x" * 600_000):
            await say(h, raw)
        await say(h, h.token(notice("FR")))
        assert [record.headers["outcome"] for record in await results(h, 5)] == [*["rejected"] * 4, "accepted"]


async def test_the_topic_is_the_channel_and_another_s_message_is_not_believed(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        await say(h, h.token(notice("FR"), sender=FR))
        (answer,) = await results(h, 1)
        assert json.loads(answer.value)["problems"][0]["code"] == "untrusted"


async def test_a_record_is_done_only_after_its_result(tmp_path: Path) -> None:
    """A process that dies between commit and result reads the record again: the same receipt."""
    async with house(tmp_path) as h:
        await say(h, h.token(notice("FR")))
        async with h.bus.subscribe([topics.submissions(REGISTER)], group=topics.SUBMISSIONS_GROUP) as dying:
            (record,) = await dying.batch(max_records=10, wait_seconds=1)
            outcome = await h.send_token(record.value)  # committed, and then it dies: no result, no offset
        async with channel(h):
            (answer,) = await results(h, 1)
        assert (answer.headers["outcome"], answer.value) == ("repeated", outcome.receipt)


async def test_without_channels_the_loop_only_waits_to_be_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        stopping = asyncio.Event()
        task = asyncio.create_task(Submissions(h.bus, h.intake, []).run(stopping))
        await asyncio.sleep(0.01)
        assert not task.done()  # a loop that ends would end the process
        stopping.set()
        await asyncio.wait_for(task, 1)


async def events(h: House) -> list[dict[str, object]]:
    async with h.bus.subscribe([topics.EVENTS], group="reader") as reader:
        found = await reader.batch(max_records=1000, wait_seconds=0.05)
        await reader.commit(found)
    return sorted((json.loads(record.value) for record in found), key=lambda event: int(str(event["sequence"])))


async def test_events_are_the_log_in_leaf_order_and_nothing_is_told_twice(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        projection = Events(h.store, h.bus, source="https://gateway.invalid", limit=2)
        await h.submit(notice("FR"))
        assert await projection.run_once() == 0  # staged is not in the log
        await h.run_until_idle()
        while await projection.run_once():
            pass
        first = await events(h)
        await h.submit(notice("NL"))
        await h.run_until_idle()
        while await projection.run_once():
            pass
        second = await events(h)
        async with h.store.reading() as work:
            log = await work.leaves(0, 1000)
        told = [*first, *second]
        assert [event["sequence"] for event in told] == [str(index) for index, _ in log]
        assert [event["data"] for event in told] == [json.loads(entry) for _, entry in log]
        assert {str(event["specversion"]) for event in told} == {"1.0"}
        assert [event["type"] for event in told] == [f"gateway.evidence.{json.loads(entry)['kind']}" for _, entry in log]


async def test_events_go_on_where_another_process_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        count = await Events(h.store, h.bus, source="https://gateway.invalid").run_once()
        assert count > 0
        assert await Events(h.store, h.bus, source="https://gateway.invalid").run_once() == 0
