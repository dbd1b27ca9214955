"""A TCP proxy that a test cuts, delays or makes refuse: the network between the gateway and a real service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

CHUNK_BYTES: Final = 65_536


class Proxy:
    """Hands bytes on between clients and one server, as told."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self.refuses = False
        self.delay_seconds = 0.0  # of what the server answers
        self.cut_before: bytes = b""  # a client that sends this is cut off; the server never reads it
        self.cut_after: bytes = b""  # the server reads it and does it, and the client is cut off before the answer
        self.cuts = 0
        self.port = 0

    def cut(self) -> None:
        """Reset every connection."""
        self.cuts += 1
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.refuses:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, server_writer}
        self._open |= ends
        deaf = asyncio.Event()
        try:
            await asyncio.gather(
                self._carry(reader, server_writer, lambda data: self._from_client(data, writer, deaf)),
                self._carry(server_reader, writer, lambda _: self._from_server(writer, deaf)),
            )
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, judge: Callable[[bytes], bool | float]) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                verdict = judge(data)
                if verdict is False:
                    break
                if self.delay_seconds and verdict is not True:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        if not writer.is_closing():
            writer.close()

    def _from_client(self, data: bytes, client: asyncio.StreamWriter, deaf: asyncio.Event) -> bool:
        if self.cut_before and self.cut_before in data:
            self.cut_before, self.cuts = b"", self.cuts + 1
            client.transport.abort()
            return False
        if self.cut_after and self.cut_after in data:
            self.cut_after, self.cuts = b"", self.cuts + 1
            deaf.set()
        return True

    def _from_server(self, client: asyncio.StreamWriter, deaf: asyncio.Event) -> bool | float:
        if deaf.is_set():
            client.transport.abort()
            return False
        return self.delay_seconds


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    """Open a proxy before a server, on a free port of the loopback."""
    proxy = Proxy(host, port)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.serve(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
