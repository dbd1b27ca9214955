"""The server around the handlers: what it does with bytes that are no request."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from aiohttp import web

from gateway.api import app


@pytest.fixture
async def port(edge):
    runner = app.runner(app.create(edge), shutdown_seconds=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def exchange(port, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("raw", [
    pytest.param(b"Ola Nordmann\r\n\r\n", id="not-http"),
    pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nOla Nordmann\r\n\r\n", id="a-header-without-colon"),
    pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"Ola" * 4000 + b"\r\n\r\n", id="a-header-too-long"),
    pytest.param(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nOla", id="two-lengths"),
])  # fmt: skip
async def test_bytes_that_are_no_request_get_400_and_are_written_nowhere(port, desk, caplog, raw):
    with caplog.at_level(logging.DEBUG):
        answer = await exchange(port, raw)
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert "Ola" not in caplog.text
    assert desk.questions == []


async def test_a_good_request_is_written_to_no_access_log(port, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = await exchange(port, b"GET /v1/nothing/Ola HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert "Ola" not in caplog.text


async def test_an_address_in_absolute_form_is_not_passed_on_as_a_path(port, desk):
    """A path that inner compares with the request token is a path: nothing else reaches it."""
    answer = await exchange(port, b"GET http://elsewhere/v1/evidence/checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert desk.questions == []


async def test_stopping_tells_the_long_polls(edge):
    runner = app.runner(app.create(edge), shutdown_seconds=1)
    await runner.setup()
    assert not edge.stopping.is_set()
    await runner.cleanup()
    assert edge.stopping.is_set()


async def test_who_asks_an_edge_that_leaves_is_answered_and_sent_to_another(port, edge):
    raw = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    assert b"Connection: close" not in head
    writer.close()
    await writer.wait_closed()
    edge.stopping.set()
    answer = await exchange(port, raw)  # which reads to the end: the edge has closed the connection
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"Connection: close") == 1


@pytest.mark.parametrize("turns", range(3, 12))  # before, asyncio itself has not got it
async def test_who_connects_as_the_listener_closes_is_answered_and_keeps_nobody_waiting(edge, turns):
    """Whatever turn of the event loop the end comes in: the connection has been taken, but perhaps not yet begun to be read."""
    runner = app.runner(app.create(edge), shutdown_seconds=10)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0][:2]) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await app.close(runner)
        client.settimeout(5)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


async def test_a_connection_whose_handshake_ends_as_the_listener_closes_keeps_nobody_waiting(edge):
    """It comes when aiohttp has closed the idle ones, and before it looks whom it waits for."""
    ours, theirs = socket.socketpair()
    made = app.create(edge)
    runner = app.runner(made, shutdown_seconds=10)

    async def connect(_: web.Application) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(runner.server, ours)

    made.on_shutdown.append(connect)
    await runner.setup()
    with theirs:
        async with asyncio.timeout(5):
            await app.close(runner)
        theirs.settimeout(5)
        assert theirs.recv(1) == b"", "it was closed"


async def test_a_close_that_is_cut_short_leaves_nothing_running(edge, desk):
    """The process ends on its own then, and closes the listener itself."""
    runner = app.runner(app.create(edge), shutdown_seconds=10)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    asked = asyncio.Event()

    async def never(_):
        asked.set()
        await asyncio.Event().wait()

    desk.script = never
    _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"GET /v1/evidence/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        await asked.wait()
    before = asyncio.all_tasks()
    closing = asyncio.create_task(app.close(runner))
    await asyncio.sleep(app.AGAIN_SECONDS * 3)
    closing.cancel()
    await asyncio.wait([closing], timeout=5)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() - before == set()
    writer.transport.abort()
    for task in before - {asyncio.current_task()}:
        task.cancel()
    await runner.cleanup()
