from __future__ import annotations

from ipaddress import ip_address

import pytest

from adapters.transports.https_push.addresses import AddressRefusedError, guarded_sockets, is_allowed, read_networks


@pytest.mark.parametrize("text", [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("0.0.0.0", id="unspecified"),  # noqa: S104 -- an example of what is refused
    pytest.param("10.1.2.3", id="private-10"),
    pytest.param("172.16.0.1", id="private-172"),
    pytest.param("192.168.1.1", id="private-192"),
    pytest.param("100.64.0.1", id="carrier-nat"),
    pytest.param("169.254.169.254", id="link-local-metadata"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("192.0.2.1", id="documentation"),
    pytest.param("::1", id="loopback-6"),
    pytest.param("::", id="unspecified-6"),
    pytest.param("fe80::1", id="link-local-6"),
    pytest.param("fc00::1", id="unique-local"),
    pytest.param("ff0e::1", id="multicast-6"),
    pytest.param("::ffff:127.0.0.1", id="mapped-loopback"),
    pytest.param("::ffff:10.0.0.1", id="mapped-private"),
    pytest.param("64:ff9b::7f00:1", id="nat64-loopback"),
    pytest.param("64:ff9b:1::a00:1", id="local-nat64-private"),
    pytest.param("2002:7f00:1::", id="6to4-loopback"),
    pytest.param("2002:808:808::", id="6to4-of-a-public-one"),
    pytest.param("2001:0:4136:e378:8000:63bf:3fff:fdd2", id="teredo"),
])  # fmt: skip
def test_what_is_not_public_is_refused(text):
    assert not is_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", ["8.8.8.8", "193.0.6.139", "2001:67c:2e8:22::c100:68b", "::ffff:8.8.8.8"])
def test_what_is_public_passes(text):
    assert is_allowed(ip_address(text), ())


@pytest.mark.parametrize(
    ("text", "passes"), [("10.20.1.1", True), ("::ffff:10.20.1.1", True), ("10.21.0.1", False), ("fd00::5", True), ("fd01::5", False)]
)
def test_a_network_the_profile_allows_passes_and_no_other(text, passes):
    assert is_allowed(ip_address(text), read_networks(["10.20.0.0/16", "fd00::/64"])) is passes


def test_no_socket_is_made_for_an_address_that_is_refused():
    make = guarded_sockets(read_networks(["127.0.0.0/8"]))
    with pytest.raises(AddressRefusedError):
        make((10, 1, 6, "", ("fe80::1%eth0", 443, 0, 2)))
    with make((2, 1, 6, "", ("127.0.0.1", 443))) as socket:
        assert socket.fileno() >= 0
