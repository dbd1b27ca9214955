"""Push over HTTPS keeps the contract, speaks RFC 8935, and cannot be led astray."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from gateway.contract.errors import DeliveryError
from gateway.contract.loading import load
from gateway.contract.manifest import SettingsError
from gateway.contract.transports import Outcome, Transport
from gateway.testing.certificates import Authority
from gateway.testing.contract_transport import ATTEMPT_SECONDS, SHORT_SECONDS, TransportContract, sealed
from gateway.testing.partner import ENDLESS, HEADLONG, PATH, SLOW, TRICKLING, Behaviour, PartnerSimulator

PUSH = load(["https_push"], ours={"https_push": "adapters.transports.https_push"})["https_push"]
LOOPBACK = ["127.0.0.0/8", "::1/128"]
Make = Callable[..., Transport]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Throw-away authority of a partner")


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Path:
    return authority.issue(tmp_path / "server.pem", "partner", hosts=("localhost",), addresses=("127.0.0.1",))


@pytest.fixture
async def partner(server: Path) -> AsyncIterator[PartnerSimulator]:
    async with PartnerSimulator(server) as simulator:
        yield simulator


@pytest.fixture
async def make(authority: Authority, tmp_path: Path) -> AsyncIterator[Make]:
    ca = str(authority.write(tmp_path / "ca.pem"))
    async with AsyncExitStack() as stack:

        def opened(url: str, **more: object) -> Transport:
            transport = PUSH.transport({"url": url, "ca_file": ca, "allow_networks": LOOPBACK, **more})
            stack.push_async_callback(transport.close)
            return transport

        yield opened


@pytest.fixture
def made(make: Make, partner: PartnerSimulator) -> Transport:
    return make(partner.url)


class TestHttpsPush(TransportContract):
    """The contract's own suite."""


async def test_a_push_has_the_headers_of_rfc_8935(made, partner):
    await made.deliver(sealed(b"a.b.c.d.e"), ATTEMPT_SECONDS)
    headers = partner.requests[0].headers
    assert partner.requests[0].method == "POST"
    assert (headers["Content-Type"], headers["Accept"]) == ("application/secevent+jwt", "application/json")
    assert "User-Agent" not in headers


def error(text: str, **more: object) -> Behaviour:
    return Behaviour(status=400, headers={"Content-Type": "application/json"}, body=text.encode(), **more)


WAIT = "Retry-After"


@pytest.mark.parametrize(("how", "outcome", "code"), [
    pytest.param(error('{"err":"invalid_key","description":"Ola Nordmann"}'), Outcome.REFUSED, "invalid_key", id="a-listed-error"),
    pytest.param(error('{"err":"Ola Nordmann"}'), Outcome.REFUSED, "unknown", id="an-error-nobody-listed"),
    pytest.param(error('{"err":["invalid_key"]}'), Outcome.REFUSED, "unknown", id="a-list-of-errors"),
    pytest.param(error('["invalid_key"]'), Outcome.REFUSED, "unknown", id="not-an-object"),
    pytest.param(error("[" * 4000), Outcome.REFUSED, "unknown", id="a-body-nested-deeply"),
    pytest.param(error("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), Outcome.REFUSED, "unknown", id="not-utf-8"),
    pytest.param(error("", endless=True), Outcome.REFUSED, "unknown", id="a-body-without-end"),
    pytest.param(Behaviour(status=413), Outcome.REFUSED, "http-413", id="too-large"),
    pytest.param(Behaviour(status=422), Outcome.REFUSED, "http-422", id="unprocessable"),
    pytest.param(Behaviour(status=200), Outcome.FAILED, "http-200", id="200-is-not-202"),
    pytest.param(Behaviour(status=204), Outcome.FAILED, "http-204", id="204-is-not-202"),
    pytest.param(Behaviour(status=401), Outcome.FAILED, "http-401", id="our-credentials"),
    pytest.param(Behaviour(status=403), Outcome.FAILED, "http-403", id="our-rights"),
    pytest.param(Behaviour(status=404), Outcome.FAILED, "http-404", id="no-such-endpoint"),
    pytest.param(Behaviour(status=415), Outcome.FAILED, "http-415", id="media-type"),
    pytest.param(Behaviour(status=500), Outcome.FAILED, "http-500", id="500"),
    pytest.param(Behaviour(status=502), Outcome.FAILED, "http-502", id="502"),
    pytest.param(Behaviour(status=500, headers={WAIT: "9"}), Outcome.FAILED, "http-500", id="500-has-no-retry-after"),
])  # fmt: skip
async def test_an_answer_has_the_meaning_of_the_table(made, partner, how, outcome, code):
    partner.play([how])
    reply = await made.deliver(sealed(), ATTEMPT_SECONDS)
    assert (reply.outcome, reply.code, reply.retry_after) == (outcome, code, None)
    assert partner.received == {}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("text", "low", "high"), [
    pytest.param("120", 120, 120, id="seconds"),
    pytest.param("0", 0, 0, id="at-once"),
    pytest.param("99999999999999999999", 86_400, 86_400, id="longer-than-we-allow"),
    pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0, id="a-date-in-the-past"),
    pytest.param("{in-an-hour}", 3_590, 3_600, id="a-date"),
    pytest.param("Sun Nov  6 08:49:37 2094", 86_400, 86_400, id="asctime"),
    pytest.param("-5", None, None, id="negative"),
    pytest.param("soon", None, None, id="words"),
    pytest.param("²", None, None, id="a-digit-that-is-none"),
])  # fmt: skip
async def test_retry_after_is_read_and_bounded(made, partner, status, text, low, high, now):
    text = format_datetime(now + timedelta(hours=1), usegmt=True) if "{" in text else text
    partner.play([Behaviour(status=status, headers={WAIT: text})])
    reply = await made.deliver(sealed(), ATTEMPT_SECONDS)
    assert (reply.outcome, reply.code) == (Outcome.FAILED, f"http-{status}")
    if low is None:
        assert reply.retry_after is None
    else:
        assert low <= reply.retry_after.total_seconds() <= high


@pytest.fixture
def now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(made, make, partner, server, status):
    async with PartnerSimulator(server) as elsewhere:
        partner.play([Behaviour(status=status, headers={"Location": elsewhere.url})])
        reply = await made.deliver(sealed(), ATTEMPT_SECONDS)
        assert (reply.outcome, reply.code) == (Outcome.FAILED, "redirect")
        assert elsewhere.requests == []


async def test_an_endless_body_after_202_is_not_read(made, partner):
    partner.play([Behaviour(status=202, endless=True)])
    assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("networks", [[], ["10.0.0.0/8"]], ids=["nothing-allowed", "another-network-allowed"])
async def test_a_private_address_is_refused_by_name_and_by_number(make, partner, host, networks):
    transport = make(f"https://{host}:{partner.port}{PATH}", allow_networks=networks)
    reply = await transport.deliver(sealed(), ATTEMPT_SECONDS)
    assert (reply.outcome, reply.code) == (Outcome.FAILED, "address-refused")
    assert partner.requests == []


async def test_a_certificate_of_another_authority_is_refused(make, partner, tmp_path):
    other = str(Authority("somebody else").write(tmp_path / "other.pem"))
    reply = await make(partner.url, ca_file=other).deliver(sealed(), ATTEMPT_SECONDS)
    assert (reply.outcome, reply.code) == (Outcome.FAILED, "tls")
    assert partner.requests == []


async def test_a_certificate_for_another_name_is_refused(make, authority, tmp_path):
    certificate = authority.issue(tmp_path / "other.pem", "partner", hosts=("elsewhere.invalid",))
    async with PartnerSimulator(certificate) as partner:
        assert (await make(partner.url).deliver(sealed(), ATTEMPT_SECONDS)).code == "tls"


async def test_a_certificate_that_has_expired_is_refused_until_it_is_renewed(make, authority, tmp_path):
    where = {"hosts": ("localhost",), "addresses": ("127.0.0.1",)}
    expired = authority.issue(tmp_path / "expired.pem", "partner", life=timedelta(minutes=-1), **where)
    async with PartnerSimulator(expired) as partner:
        transport = make(partner.url)
        reply = await transport.deliver(sealed(), ATTEMPT_SECONDS)
        assert (reply.outcome, reply.code) == (Outcome.FAILED, "tls")
        assert partner.requests == []
        port = partner.port
    async with PartnerSimulator(authority.issue(tmp_path / "renewed.pem", "partner", **where), port=port):
        assert (await transport.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED


async def test_an_unknown_authority_is_refused_where_none_is_pinned(partner):
    transport = PUSH.transport({"url": partner.url, "allow_networks": LOOPBACK})
    assert (await transport.deliver(sealed(), ATTEMPT_SECONDS)).code == "tls"
    await transport.close()


async def test_a_client_certificate_is_shown_where_the_partner_asks(make, authority, server, tmp_path):
    own = str(authority.issue(tmp_path / "client.pem", "gateway"))
    async with PartnerSimulator(server, client_ca=authority.write(tmp_path / "client-ca.pem")) as partner:
        with_it = make(partner.url, client_certificate_file=own, client_key_file=own)
        assert (await with_it.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED


async def test_a_bearer_token_is_sent_where_the_profile_has_one(make, server, tmp_path):
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("s3cr3t.token\n", encoding="ascii")
    async with PartnerSimulator(server, token="s3cr3t.token") as partner:
        assert (await make(partner.url, token_file=str(file)).deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED
        assert (await make(partner.url).deliver(sealed(), ATTEMPT_SECONDS)).code == "authentication_failed"


async def test_a_name_that_does_not_resolve_is_a_failure(make):
    reply = await make("https://nobody.invalid/events").deliver(sealed(), ATTEMPT_SECONDS)
    assert (reply.outcome, reply.code) == (Outcome.FAILED, "dns")


@pytest.mark.parametrize("how", [TRICKLING, SLOW], ids=["byte by byte", "half a minute"])
async def test_an_answer_that_takes_its_time_is_cut_at_the_time_given(made, partner, how):
    partner.play([how])
    with pytest.raises(DeliveryError, match="timeout"):
        await made.deliver(sealed(), SHORT_SECONDS)
    assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED


async def test_headers_without_end_are_given_up_long_before_the_time_is_over(made, partner):
    partner.play([HEADLONG])
    with pytest.raises(DeliveryError) as caught:
        await made.deliver(sealed(), ATTEMPT_SECONDS)
    assert str(caught.value) != "timeout"
    assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED


async def test_of_a_body_without_end_only_a_buffer_is_taken(made, partner):
    partner.repeat([ENDLESS])
    tracemalloc.start()
    try:
        replies = [await made.deliver(sealed(), ATTEMPT_SECONDS) for _ in range(20)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {reply.code for reply in replies} == {"unknown"}
    assert most < 8 * 1024 * 1024  # the simulator's own buffers among them


async def test_connections_stay_below_the_number_set(make, partner):
    from asyncio import gather

    transport = make(partner.url, connections_max=2)
    await gather(*(transport.deliver(sealed(b"%d" % n), ATTEMPT_SECONDS) for n in range(20)))
    assert len({request.transport.get_extra_info("peername") for request in partner.requests if request.transport}) <= 2
    assert len(partner.received) == 20


@pytest.mark.parametrize(("change", "key"), [
    pytest.param({"url": "http://partner.example/events"}, "url", id="plain-http"),
    pytest.param({"url": "https://u:p@partner.example/"}, "url", id="password-in-the-url"),
    pytest.param({"url": "https://"}, "url", id="no-host"),
    pytest.param({"url": "https://partner.example/#x"}, "url", id="fragment"),
    pytest.param({"url": "https://[::1/"}, "url", id="not-a-url"),
    pytest.param({"ca_file": "/no/such/file"}, "ca_file", id="no-authority-file"),
    pytest.param({"allow_networks": ["10.0.0.1/8"]}, "allow_networks", id="network-with-host-bits"),
    pytest.param({"client_certificate_file": "/no/such/file"}, "client_key_file", id="certificate-without-key"),
    pytest.param({"token_file": "/no/such/file"}, "token_file", id="no-token-file"),
    pytest.param({"connections_max": 0}, "connections_max", id="no-connections"),
    pytest.param({"connections_max": True}, "connections_max", id="a-truth-for-a-number"),
    pytest.param({"redirects": True}, "redirects", id="unknown-setting"),
])  # fmt: skip
def test_a_setting_that_does_not_fit_is_named(change, key):
    with pytest.raises(SettingsError) as caught:
        PUSH.transport({"url": "https://partner.example/events", **change})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [key]


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_or_token_that_others_can_read_is_refused(authority, tmp_path, mode):
    own = authority.issue(tmp_path / "client.pem", "gateway")
    own.chmod(mode)
    token = tmp_path / "token"
    token.write_text("abc", encoding="ascii")
    token.chmod(mode)
    files = {"client_certificate_file": str(own), "client_key_file": str(own), "token_file": str(token)}
    with pytest.raises(SettingsError) as caught:
        PUSH.transport({"url": "https://partner.example/events", **files})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["client_key_file", "token_file"]
