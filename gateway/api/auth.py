"""Who asks, as far as the edge can tell. It decides nothing: inner checks every token itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from aiohttp import web

from gateway.contract.values import PartnerId
from gateway.core.problems import UntrustedError

_SCHEME: Final = "bearer"  # compared without case: RFC 9110, section 11.1


def bearer(request: web.Request) -> str | None:
    """Return the request token, None where there is no Authorization header. Raises `UntrustedError` for two, or another scheme."""
    found = request.headers.getall("Authorization", [])
    if not found:
        return None
    scheme, _, token = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != _SCHEME or not token or not token.isascii() or " " in token:
        raise UntrustedError("authorization header")
    return token


def peer(request: web.Request, clients: Mapping[str, PartnerId]) -> PartnerId | None:
    """Return whose client certificate TLS verified on this connection. `clients` is hex SHA-256 of the certificate → partner.

    Raises `UntrustedError` for a certificate that no profile names: the authority alone says nothing about who it is.
    """
    transport = request.transport
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return None
    certificate = connection.getpeercert(binary_form=True)
    if not certificate:
        return None
    partner = clients.get(sha256(certificate).hexdigest())
    if partner is None:
        raise UntrustedError("client certificate")
    return partner
