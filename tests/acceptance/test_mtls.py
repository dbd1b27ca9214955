"""Client certificates on the running gateway: demanded where the profile says so, believed only where a profile names them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway.cli.devsetup import merged
from gateway.ops.settings import ProcessRole
from gateway.testing.certificates import Authority
from gateway.testing.client import JOSE, PartnerClient, Response
from tests.acceptance.deployment import BORDER, PROFILES, REGISTER, Deployment, digest, embedded


@dataclass(frozen=True, slots=True)
class Certified:
    """A gateway that asks for client certificates, and certificates of several kinds."""

    gw: Deployment
    certificates: dict[str, Path]

    def tls(self, certificate: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.gw.setup.authority)
        if certificate is not None:
            context.load_cert_chain(self.certificates[certificate])
        return context

    def client(self, partner: str, certificate: str | None) -> PartnerClient:
        kit = self.gw.kit(partner)
        return PartnerClient(kit.url, kit.identity, tls=self.tls(certificate))


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("mtls")
    ours, others = Authority("Authority of partners' certificates"), Authority("Another authority")
    made = {name: ours.issue(folder / f"{name}.pem", name) for name in (BORDER, REGISTER, "unnamed")}
    made["another authority"] = others.issue(folder / "other.pem", BORDER)
    names = {
        BORDER: {"requires_mtls": True, "client_certificates": [digest(made[BORDER])]},
        REGISTER: {"client_certificates": [digest(made[REGISTER])], "kafka_channel": False},
    }
    settings = {ProcessRole.EMBEDDED: {"partner_listener": {"client_ca": str(ours.write(folder / "clients.pem"))}}}
    with embedded(folder, profiles=merged(PROFILES, names), settings=settings) as gw:
        yield Certified(gw, made)


async def ask(certified: Certified, partner: str, certificate: str | None) -> Response:
    """Ask for something that every partner may see, with a request token of the partner."""
    async with certified.client(partner, certificate) as client:
        return await client.request("POST", "/v1/poll", body=b'{"maxEvents":0,"returnImmediately":true}', media_type="application/json")


ANSWERS = {
    "its own certificate": (BORDER, BORDER, 200),
    "none, where one is demanded": (BORDER, None, 401),
    "another partner's, where its own is demanded": (BORDER, REGISTER, 401),
    "one of the authority that no profile names": (BORDER, "unnamed", 401),
    "none, where none is demanded": (REGISTER, None, 200),
    "its own, where none is demanded": (REGISTER, REGISTER, 200),
    "one that no profile names, where none is demanded": (REGISTER, "unnamed", 401),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_request_is_answered_by_profile_and_certificate(certified: Certified, case: str) -> None:
    partner, certificate, status = ANSWERS[case]
    response = await ask(certified, partner, certificate)
    assert response.status == status, response.body


@pytest.mark.parametrize("partner", [BORDER, REGISTER])
async def test_a_certificate_of_another_authority_ends_the_handshake(certified: Certified, partner: str) -> None:
    with pytest.raises((aiohttp.ClientError, ConnectionError, ssl.SSLError)):
        await ask(certified, partner, "another authority")


async def submit(certified: Certified, certificate: str | None, body: bytes) -> int:
    """Submit without a request token: the message is signed itself."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certified.tls(certificate))) as session,
        session.post(f"{certified.gw.setup.origin}/v1/messages", data=body, headers={"Content-Type": JOSE}) as response,
    ):
        return response.status


async def test_a_submission_over_a_known_certificate_needs_no_request_token(certified: Certified) -> None:
    assert await submit(certified, REGISTER, certified.gw.message().sealed) == 202
    assert await submit(certified, None, certified.gw.message().sealed) == 401
    assert await submit(certified, "unnamed", certified.gw.message().sealed) == 401


async def test_a_message_of_one_sender_is_not_taken_over_the_certificate_of_another(certified: Certified) -> None:
    assert await submit(certified, BORDER, certified.gw.message().sealed) == 401
