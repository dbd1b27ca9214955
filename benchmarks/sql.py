"""What a batch costs the database: statements, and the time they take, on SQLite with full synchronisation."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from benchmarks.notices import SENDER
from gateway.app.inbox import Poll
from gateway.app.intake import Submission
from gateway.contract.values import Jti, PartnerId
from gateway.core.limits import BATCH_COUNT_MAX
from gateway.stores.sqlite import SqliteStore
from tests.house import House


@dataclass(slots=True)
class Spent:
    """Statements of some stores, and the seconds they took, since `start`."""

    statements: int = 0
    seconds: float = 0.0
    _began: float = 0.0

    def watch(self, store: SqliteStore) -> None:
        """Count what the store's engines do from now on."""
        for engine in store.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", self._before)
            event.listen(engine.sync_engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self.statements += 1
        self._began = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._began


async def run(there: House, sealed: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """Take one batch all the way, step by step."""
    if not isinstance(there.store, SqliteStore):
        raise TypeError(there.store)
    spent = Spent()
    spent.watch(there.store)
    sender = PartnerId(SENDER)
    found: dict[str, dict[str, float]] = {}

    async def step(name: str, work: Awaitable[Any]) -> Any:
        statements, seconds, start = spent.statements, spent.seconds, time.perf_counter()
        result = await work
        took = time.perf_counter() - start
        found[name] = {"ms": took * 1e3, "statements": spent.statements - statements, "sql_ms": (spent.seconds - seconds) * 1e3}
        return result

    batch = sealed[:BATCH_COUNT_MAX]
    await step(f"accept {len(batch)} messages", there.intake.accept([Submission(raw, sender) for raw in batch]))
    count = await step("claim, seal and publish a window of legs to each of 2 partners", there.seal.run_once())
    await step("deliver and settle everything else", there.run_until_idle(seconds=60))
    sets = (await step("offer a window of acknowledgements", there.inbox.poll(sender, Poll(100, (), {}), proof="0" * 64)))["sets"]
    acks = tuple(map(Jti, sets))
    await step(f"settle {len(acks)} of them, and offer more", there.inbox.poll(sender, Poll(100, acks, {}), proof="0" * 64))
    if not count or not acks:
        raise RuntimeError("nothing went all the way")
    return found
