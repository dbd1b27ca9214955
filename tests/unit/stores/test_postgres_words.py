"""What an operator reads when the way to PostgreSQL fails before anybody has answered: which part of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.ports import StoreUnavailableError
from gateway.stores.open import check_schema
from gateway.testing.certificates import Authority

SSL_REQUEST_BYTES = 8


@asynccontextmanager
async def server_with(certificate: Path) -> AsyncIterator[int]:
    """Answer as PostgreSQL does until TLS stands; nobody here gets further."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(SSL_REQUEST_BYTES)
        writer.write(b"S")
        await writer.drain()
        try:
            await writer.start_tls(context)
        except (ssl.SSLError, OSError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_that_has_expired_is_said_to_have(tmp_path: Path) -> None:
    authority = Authority("Throw-away authority of a database")
    ca = authority.write(tmp_path / "ca.pem")
    expired = authority.issue(tmp_path / "server.pem", "db", hosts=("localhost",), life=timedelta(minutes=-1))
    async with server_with(expired) as port:
        with pytest.raises(
            StoreUnavailableError, match=rf"^localhost:{port}/gw: we do not trust its certificate: certificate has expired$"
        ):
            await check_schema(f"postgresql://gw:secret@localhost:{port}/gw?sslmode=verify-full&sslrootcert={ca}")


async def test_a_name_that_does_not_resolve_is_said_not_to() -> None:
    with pytest.raises(StoreUnavailableError, match=r"^db\.invalid/gw: its name does not resolve$"):
        await check_schema("postgresql://gw:secret@db.invalid/gw")
