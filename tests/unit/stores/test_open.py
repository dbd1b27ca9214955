"""An address of a database is taken as the settings spell it, and the password comes from beside it."""

from __future__ import annotations

import pytest

from gateway.app.ports import StoreUnavailableError
from gateway.stores.open import _for_libpq, open_store

SPELLED = {
    "the driver is left out": ("postgresql+asyncpg://gw@db/gateway", None, "postgresql://gw@db/gateway"),
    "TLS has libpq's name": ("postgresql+asyncpg://gw@db/gateway?ssl=verify-full", None, "postgresql://gw@db/gateway?sslmode=verify-full"),
    "a password is put in, escaped": (
        "postgresql+asyncpg://gw@db:5433/gateway",
        "p@ss/w:rd",
        "postgresql://gw:p%40ss%2Fw%3Ard@db:5433/gateway",
    ),
    "into libpq's own spelling too": ("postgresql://gw@db/gateway", "x", "postgresql://gw:x@db/gateway"),
    "libpq's own spelling alone stays": ("postgres://gw@db/gateway?sslmode=require", None, "postgres://gw@db/gateway?sslmode=require"),
}


@pytest.mark.parametrize("case", SPELLED)
def test_an_address_is_spelled_as_the_driver_reads_it(case):
    url, password, expected = SPELLED[case]
    assert _for_libpq(url, password) == expected


@pytest.mark.parametrize("url", ["", "mysql://gw@db/gateway", "sqlite:///", "sqlite:///:memory:", "postgresql+psycopg://gw@db/gateway"])
async def test_an_address_of_no_database_we_know_is_refused(url):
    with pytest.raises(StoreUnavailableError, match="the address of the database"):
        async with open_store(url):
            pytest.fail("opened")
