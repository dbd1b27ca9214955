"""A real SQLite file that is locked, on a disk that is full, or damaged: intake says that it cannot keep anything, and goes on by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from gateway.app.keeping import STANDS, TRIAL, Keeping
from gateway.app.ports import Question, StoreUnavailableError
from gateway.contract.values import PartnerId
from gateway.core.problems import Code
from gateway.ops.telemetry import Telemetry
from gateway.stores.sqlite import SqliteStore
from gateway.testing.clock import SeededDice
from tests.house import House, house
from tests.notices import notice

REGISTER = PartnerId("gb-register")


@asynccontextmanager
async def impatient(folder: Path) -> AsyncIterator[House]:
    """Open a house that waits only a moment for another's lock."""
    store = SqliteStore(folder / "gateway.db", busy_seconds=0.2)
    async with house(folder, store_of=lambda _: store) as h:
        try:
            yield h
        finally:
            await store.close()


@asynccontextmanager
async def tried(h: House) -> AsyncIterator[Keeping]:
    """Try all the while whether the store keeps what it is given."""
    keeping, stopping = Keeping(h.store, clock=h.clock, dice=SeededDice(7), telemetry=Telemetry(h.metrics)), asyncio.Event()
    running = asyncio.create_task(keeping.run(stopping))
    try:
        yield keeping
    finally:
        stopping.set()
        await running


async def until(keeping: Keeping, trouble: str) -> None:
    async with asyncio.timeout(15):
        while trouble not in keeping.trouble or (not trouble and keeping.trouble):
            await asyncio.sleep(0.02)


async def send(h: House, token: bytes) -> str:
    answer = await h.requests.answer(Question(kind="line", method="POST", path="/v1/messages", mtls=REGISTER, body=token))
    return answer.code or answer.outcome


async def test_while_another_holds_the_lock_nothing_is_taken_and_then_it_is(tmp_path: Path) -> None:
    async with impatient(tmp_path) as h, tried(h) as keeping:
        token = h.token(notice("FR"))
        with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await send(h, token) == Code.UNAVAILABLE
            await until(keeping, "another process holds its write lock")
            await h.store.check()  # it can be read all the time
            with pytest.raises(StoreUnavailableError, match="write lock"):
                await keeping.check()
        await until(keeping, "")
        assert await send(h, token) == "accepted"
        assert h.metrics.registry.get_sample_value("gateway_events_total", {"name": "store-refuses"}) == 1, "each trouble is said once"
        assert h.metrics.registry.get_sample_value("gateway_events_total", {"name": "store-keeps"}) == 1


async def test_a_write_that_stands_still_makes_us_unready_and_is_not_cut_off(tmp_path: Path) -> None:
    async with impatient(tmp_path) as h, tried(h) as keeping:
        async with h.store.unit_of_work():  # as a disk that does not come back from a write
            await until(keeping, STANDS)
        await until(keeping, "")


async def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    async with impatient(tmp_path) as h:
        async with tried(h) as keeping:
            await asyncio.sleep(0.3)
            assert keeping.trouble == ""
        with closing(sqlite3.connect(tmp_path / "gateway.db")) as other:
            assert other.execute("SELECT count(*) FROM submission WHERE iss = ?", [TRIAL]).fetchone() == (0,)


def fill(ballast: Path) -> None:
    """Take what room there is."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


async def test_on_a_full_disk_nothing_is_taken_and_with_room_everything_is(small_disk: Path) -> None:
    async with house(small_disk) as h, tried(h) as keeping:
        assert await send(h, h.token(notice("FR"))) == "accepted"
        ballast = small_disk / "ballast"
        fill(ballast)
        answers: dict[bytes, str] = {}
        async with asyncio.timeout(20):
            while Code.UNAVAILABLE not in answers.values():
                token = h.token(notice("FR"))
                answers[token] = await send(h, token)
        await until(keeping, "the disk is full")
        ballast.unlink()
        await until(keeping, "")
        again = {token: await send(h, token) for token in answers}
        expected = {token: "accepted" if answer == Code.UNAVAILABLE else "repeated" for token, answer in answers.items()}
        assert again == expected, "what was refused was not kept, what was accepted was"
        await h.run_until_idle()
        assert len(h.partners[PartnerId("fr-police")].received) == len(answers) + 1


async def test_a_file_damaged_while_in_use_is_unavailable_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
    path = tmp_path / "gateway.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailableError, match=r"gateway\.db: the file is damaged: restore it from a backup"):
        async with store.unit_of_work() as work:
            await work.counts()
    await store.close()
