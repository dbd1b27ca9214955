"""A wire between two namespaces does to packets what it is told, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from tests.services.processes import UnavailableError, free_port
from trials.network import CUT, FINE, Link, Weather

ASK = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3); s.settimeout(3); print(s.recv(5).decode())"


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """Say hello to whoever connects; return where."""

    async def on(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(on, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def ask(link: Link, port: int) -> tuple[str, float]:
    """Ask from over there; return the answer, and the seconds it took."""
    begun, command = time.monotonic(), (*link.prefix, sys.executable, "-c", ASK, str(port))
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.stdout.strip(), time.monotonic() - begun


async def test_a_wire_is_good_slow_and_cut_as_it_is_told(server: int) -> None:
    try:
        made = Link.make(out=[server], back=free_port())
        link = made.__enter__()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    try:
        link.have(FINE)
        answer, quick = "", 0.0
        for _ in range(20):  # until both relays listen
            answer, quick = await ask(link, server)
            if answer:
                break
            await asyncio.sleep(0.1)
        assert answer == "hello"
        link.have(Weather(delay_ms=400))
        assert (slow := await ask(link, server))[0] == "hello"
        assert slow[1] - quick > 0.4  # there and back, each packet
        link.have(CUT)
        assert (await ask(link, server))[0] == ""
        link.have(FINE)
        assert (await ask(link, server))[0] == "hello"
    finally:
        made.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("weather", "words"),
    [
        (FINE, "good"),
        (CUT, "cut"),
        (Weather(delay_ms=300, jitter_ms=200), "300 ms late, more or less 200 ms"),
        (Weather(loss=0.3), "30% of the packets lost"),
    ],
)
def test_weather_is_told_in_words(weather: Weather, words: str) -> None:
    assert str(weather) == words
