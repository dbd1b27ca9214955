"""A real PostgreSQL that goes away, is cut off in a commit, is slow, or takes no writes: nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from gateway.app.keeping import Keeping
from gateway.app.ports import Answer, DeskUnavailableError, Question, StoreUnavailableError
from gateway.contract.values import Jti, PartnerId
from gateway.core.problems import Code
from gateway.ops.telemetry import Telemetry
from gateway.stores.open import migrate
from gateway.testing.clock import SeededDice
from tests.house import House, house
from tests.notices import notice
from tests.services.proxy import Proxy, proxied

pytestmark = pytest.mark.services

REGISTER = PartnerId("gb-register")
COMMIT = b"COMMIT;"  # as the driver spells it; "READ COMMITTED" is none


@dataclass(slots=True)
class Behind:
    """A house whose database is behind a proxy."""

    house: House
    proxy: Proxy
    dsn: str  # past the proxy

    def asked(self, token: bytes) -> Question:
        return Question(kind="line", method="POST", path="/v1/messages", mtls=REGISTER, body=token)

    async def send(self, token: bytes) -> Answer:
        async with asyncio.timeout(20):
            return await self.house.requests.answer(self.asked(token))

    async def until_taken(self, token: bytes) -> Answer:
        """Send until it is taken: nothing else is done to make it work again."""
        async with asyncio.timeout(20):
            while (answer := await self.send(token)).code == Code.UNAVAILABLE:
                await asyncio.sleep(0.05)
        return answer

    async def count(self, jti: str) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM message WHERE jti = $1", jti))
        finally:
            await connection.close()

    async def run_as_owner(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture
async def behind(tmp_path: Path, postgres_dsn: str) -> AsyncIterator[Behind]:
    await migrate(postgres_dsn)
    where = urlsplit(postgres_dsn)
    async with proxied(where.hostname or "", where.port or 5432) as proxy:
        url = where._replace(netloc=f"{where.username}:{where.password}@127.0.0.1:{proxy.port}").geturl()
        async with house(tmp_path, url=url) as h:
            yield Behind(h, proxy, postgres_dsn)


def new(behind: Behind) -> tuple[Jti, bytes]:
    h = behind.house
    jti = Jti(h.dice.uuid7(h.clock.now()))
    return jti, h.token(notice("FR", subject=f"s-{jti}"), jti=jti)


@pytest.mark.parametrize("committed", [False, True], ids=["before it was read", "after it was done"])
async def test_a_connection_reset_in_the_commit_is_answered_503_and_a_repeat_finds_out(behind: Behind, committed: bool) -> None:
    jti, token = new(behind)
    if committed:
        behind.proxy.cut_after = COMMIT
    else:
        behind.proxy.cut_before = COMMIT
    answer = await behind.send(token)
    assert (answer.outcome, answer.code) == ("problem", Code.UNAVAILABLE), "nobody knows whether it was kept, so nobody says so"
    assert behind.proxy.cuts == 1
    assert await behind.count(jti) == int(committed)
    again = await behind.until_taken(token)
    assert again.outcome == ("repeated" if committed else "accepted")
    assert (await behind.send(token)).body == again.body, "one message has one receipt"
    assert await behind.count(jti) == 1
    assert set(await behind.house.legs(jti)) == {"fr-police"}


async def test_a_database_that_is_gone_is_503_and_its_return_is_noticed(behind: Behind) -> None:
    jti, token = new(behind)
    behind.proxy.refuses = True
    behind.proxy.cut()
    answers = [await behind.send(token) for _ in range(3)]
    assert {answer.code for answer in answers} == {Code.UNAVAILABLE}
    with pytest.raises(StoreUnavailableError):
        await behind.house.seal.run_once()  # what the supervisor waits on
    assert await behind.count(jti) == 0
    behind.proxy.refuses = False
    assert (await behind.until_taken(token)).outcome == "accepted"
    await behind.house.run_until_idle()
    assert jti in {of for partner in behind.house.partners.values() for got in partner.received.values() for of in [original(got.event)]}


def original(event: object) -> object:
    assert isinstance(event, dict)
    return event["original"]["jti"]


async def test_who_asks_a_slow_database_is_told_in_time_and_the_repeat_gets_the_receipt(behind: Behind) -> None:
    jti, token = new(behind)
    behind.proxy.delay_seconds = 0.1
    with pytest.raises(DeskUnavailableError):
        await behind.house.requests.ask(behind.asked(token), deadline=behind.house.clock.now() + timedelta(seconds=0.3))
    behind.proxy.delay_seconds = 0
    assert (await behind.until_taken(token)).outcome in {"accepted", "repeated"}
    assert await behind.count(jti) == 1


async def test_a_database_that_takes_no_writes_makes_us_unready_in_words_until_it_does(behind: Behind, postgres_dsn: str) -> None:
    h, name = behind.house, urlsplit(postgres_dsn).path[1:]
    keeping = Keeping(h.store, clock=h.clock, dice=SeededDice(7), telemetry=Telemetry(h.metrics))
    stopping = asyncio.Event()
    running = asyncio.create_task(keeping.run(stopping))
    _, token = new(behind)
    await behind.run_as_owner(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    behind.proxy.cut()  # as a fail-over does: whoever connects anew meets the standby
    async with asyncio.timeout(10):
        while "takes no writes" not in keeping.trouble:
            await asyncio.sleep(0.02)
    await h.store.check()  # it can be read all the time
    assert (await behind.send(token)).code == Code.UNAVAILABLE
    await behind.run_as_owner(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    behind.proxy.cut()
    async with asyncio.timeout(10):
        while keeping.trouble:
            await asyncio.sleep(0.02)
    assert (await behind.until_taken(token)).outcome == "accepted"
    stopping.set()
    await running
