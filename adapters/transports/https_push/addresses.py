"""Which addresses a partner's endpoint may stand at. Looked at when a socket is made, so that no name can change its mind in between."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215: an IPv4 address in disguise


class AddressRefusedError(OSError):
    """The name of the endpoint led to an address that is neither public nor allowed by the profile."""


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks named. Raises `ValueError` for what is none, or has host bits."""
    return tuple(ip_network(text) for text in texts)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Say whether `address`, and any IPv4 address it only wraps, is public or in a network that is allowed."""
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return is_allowed(address.ipv4_mapped, allowed)
    wrapped = isinstance(address, IPv6Address) and (
        address.sixtofour is not None or address.teredo is not None or any(address in network for network in _NAT64)
    )
    return address.is_global and not address.is_multicast and not wrapped


def guarded_sockets(allowed: Sequence[Network]) -> Callable[[Any], socket.socket]:
    """Return a socket factory (as aiohttp's connector takes it) that refuses to make a socket for an address not allowed."""

    def make(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, proto, _, where = info
        if not is_allowed(ip_address(str(where[0]).partition("%")[0]), allowed):
            raise AddressRefusedError("the address is not allowed")  # no errno: the connector tries the name's next address
        return socket.socket(family, kind, proto)

    return make
