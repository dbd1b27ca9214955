"""A database that stands still: what cannot be kept is refused honestly and at once, and what was taken is kept when it moves again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from gateway.app.ports import Question, Store, UnitOfWork
from gateway.contract.values import PartnerId
from gateway.core.limits import BATCH_COUNT_MAX, WAITING_COUNT_MAX, WAITING_SHARE_MAX
from tests.house import house
from tests.notices import notice

SENDERS = [PartnerId(name) for name in ("gb-register", "fr-police", "es-police", "nl-border", "gb-police")]


class Standing:
    """A store whose transactions that write wait until `moving` is set."""

    def __init__(self, real: Store, moving: asyncio.Event) -> None:
        self._real, self._moving = real, moving

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        await self._moving.wait()
        async with self._real.unit_of_work() as work:
            yield work

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self._real.reading()

    async def check(self) -> None:
        await self._real.check()

    async def close(self) -> None:
        await self._real.close()


async def test_a_queue_is_bounded_its_shares_are_too_and_everything_taken_is_answered(tmp_path: Path) -> None:
    moving = asyncio.Event()
    async with house(tmp_path, store_of=lambda store: Standing(store, moving)) as h:
        tokens = {sender: h.token(notice("FR", subject=f"s-{sender}"), sender=sender) for sender in SENDERS}

        def send(sender: PartnerId) -> asyncio.Task[str]:
            question = Question(kind="line", method="POST", path="/v1/messages", mtls=sender, body=tokens[sender])

            async def asked() -> str:
                answer = await h.requests.answer(question)
                return answer.code or answer.outcome

            return asyncio.create_task(asked())

        sent = {sender: [send(sender) for _ in range(WAITING_SHARE_MAX + BATCH_COUNT_MAX)] for sender in SENDERS}
        while h.requests.submissions.depth < WAITING_COUNT_MAX - BATCH_COUNT_MAX:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        early = Counter(task.result() for tasks in sent.values() for task in tasks if task.done())
        assert early.keys() <= {"rate-limited", "unavailable"}
        assert early["rate-limited"] > 0, "who sends more than its share hears that it is too much"
        assert early["unavailable"] > 0, "the others hear that the gateway cannot, not that they may not"
        assert h.requests.submissions.depth <= WAITING_COUNT_MAX
        moving.set()
        answers = Counter([await task for tasks in sent.values() for task in tasks])
        assert answers.total() == len(SENDERS) * (WAITING_SHARE_MAX + BATCH_COUNT_MAX)
        taken = answers.total() - early.total()
        assert WAITING_COUNT_MAX <= taken <= WAITING_COUNT_MAX + BATCH_COUNT_MAX
        again = [await send(sender) for sender in SENDERS]
        assert "unavailable" not in again, "it takes more by itself"
