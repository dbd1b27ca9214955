"""Partners that only say 202, as cheaply as TLS allows: what is measured is the gateway, not they.

`python -m benchmarks.receivers CERTIFICATE=PORT …`
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
LENGTH = b"content-length:"


class Receiver(asyncio.Protocol):
    """One connection: counts bytes until a request has come, and answers it."""

    _transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are of no class of asyncio

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = int(head.split(LENGTH, 1)[1].split(b"\r\n", 1)[0]) if LENGTH in head else 0
            if len(self._buffer) < end + 4 + length:
                return
            del self._buffer[: end + 4 + length]
            self._transport.write(ANSWER)


async def serve(ports: list[tuple[str, int]]) -> None:
    """Listen until the process is ended."""
    for certificate, port in ports:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port, ssl=tls)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([(certificate, int(port)) for certificate, _, port in (text.rpartition("=") for text in sys.argv[1:])]))
