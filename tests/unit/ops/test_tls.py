"""TLS of the partners' listener, on real sockets; and whose client certificate it saw."""

from __future__ import annotations

import asyncio
import ssl
from hashlib import sha256

import aiohttp
import pytest
from aiohttp import web

from gateway.api import auth
from gateway.contract.values import PartnerId
from gateway.core.problems import UntrustedError
from gateway.ops.tls import TlsError, server_context
from gateway.testing.certificates import Authority


@pytest.fixture(scope="module")
def authority():
    return Authority("Throw-away authority")


@pytest.fixture
def ca(authority, tmp_path):
    return authority.write(tmp_path / "ca.pem")


@pytest.fixture
def certificate(authority, tmp_path):
    return authority.issue(tmp_path / "server.pem", "gateway", hosts=("localhost",))


@pytest.fixture
def partner(authority, tmp_path):
    return authority.issue(tmp_path / "partner.pem", "no-register")


def fingerprint(path):
    return sha256(ssl.PEM_cert_to_DER_cert(_first_certificate(path.read_text()))).hexdigest()


def _first_certificate(text):
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return text[text.index(begin) : text.index(end) + len(end)]


@pytest.fixture
async def serve():
    """Serve who asks: the partner's id, "nobody", or "untrusted"."""
    runners = []

    async def start(context, clients):
        async def who(request):
            try:
                return web.Response(text=auth.peer(request, clients) or "nobody")
            except UntrustedError:
                return web.Response(text="untrusted")

        app = web.Application()
        app.router.add_get("/", who)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return f"https://localhost:{runner.addresses[0][1]}/"

    yield start
    for runner in runners:
        await runner.cleanup()


def client_context(ca, certificate=None):
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def get(url, context):
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
        return await response.text()


async def test_a_client_certificate_names_the_partner_that_a_profile_gives_it(serve, ca, certificate, partner):
    url = await serve(server_context(certificate, certificate, client_ca=ca), {fingerprint(partner): PartnerId("no-register")})
    assert await get(url, client_context(ca, partner)) == "no-register"


async def test_without_a_client_certificate_it_is_nobody(serve, ca, certificate):
    url = await serve(server_context(certificate, certificate, client_ca=ca), {})
    assert await get(url, client_context(ca)) == "nobody"


async def test_a_certificate_no_profile_names_is_untrusted_although_the_authority_signed_it(serve, ca, certificate, partner):
    url = await serve(server_context(certificate, certificate, client_ca=ca), {"00": PartnerId("no-register")})
    assert await get(url, client_context(ca, partner)) == "untrusted"


async def test_a_certificate_of_another_authority_ends_the_handshake(serve, ca, certificate, tmp_path):
    foreign = Authority("somebody else").issue(tmp_path / "foreign.pem", "no-register")
    url = await serve(server_context(certificate, certificate, client_ca=ca), {fingerprint(foreign): PartnerId("no-register")})
    with pytest.raises(aiohttp.ClientError):
        await get(url, client_context(ca, foreign))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_1_1_is_refused(serve, ca, certificate):
    url = await serve(server_context(certificate, certificate), {})
    old = client_context(ca)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(aiohttp.ClientError):
        await get(url, old)


async def test_tls_1_2_without_forward_secrecy_is_refused(serve, ca, certificate):
    url = await serve(server_context(certificate, certificate), {})
    weak = client_context(ca)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384")
    with pytest.raises(aiohttp.ClientError):
        await get(url, weak)
    weak.set_ciphers("ECDHE+AESGCM")
    assert await get(url, weak) == "nobody"


async def test_plain_http_gets_no_answer_on_the_tls_port(serve, certificate):
    url = await serve(server_context(certificate, certificate), {})
    with pytest.raises(aiohttp.ClientError):
        async with asyncio.timeout(5):
            await get(url.replace("https", "http"), False)


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"], ids=["missing", "empty", "not-pem"])
def test_a_file_that_cannot_be_used_is_named_without_its_content(certificate, ca, tmp_path, broken, content):
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_bytes(content)
    files = {"certificate": certificate, "key": certificate, "client_ca": ca, broken: bad}
    with pytest.raises(TlsError) as caught:
        server_context(files["certificate"], files["key"], client_ca=files["client_ca"])
    assert "not PEM" not in str(caught.value)
    assert ("client_ca" in str(caught.value)) == (broken == "client_ca")


def test_an_encrypted_key_without_its_passphrase_does_not_ask_the_terminal(certificate, tmp_path):
    from cryptography.hazmat.primitives import serialization

    text = certificate.read_bytes()
    private = serialization.load_pem_private_key(text, None)
    key = tmp_path / "key.pem"
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(TlsError):
        server_context(certificate, key)
    assert server_context(certificate, key, passphrase="open sesame").minimum_version is ssl.TLSVersion.TLSv1_2
