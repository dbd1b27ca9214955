"""The simulator is only worth as much as it refuses: each test sends it something one change away from right."""

from __future__ import annotations

import pytest

from gateway.contract.loading import load
from gateway.contract.transports import Outcome
from gateway.contract.values import Jti, KeyId
from gateway.core import tokens
from gateway.core.problems import UntrustedError
from gateway.testing.certificates import Authority
from gateway.testing.contract_transport import ATTEMPT_SECONDS, sealed
from gateway.testing.partner import LOST, Opener, PartnerSimulator

from .keys import DOCUMENT, GATEWAY, GATEWAY_ENCRYPTION, GATEWAY_KEYS, PARTNER, PARTNER_ENCRYPTION, PARTNER_OPENS, RECEIPT_PUBLIC, SUBMIT

OPENER = Opener(me=PARTNER, gateway=GATEWAY, keyring=GATEWAY_KEYS, decryption_keys={PARTNER_OPENS.kid: PARTNER_OPENS})
CLAIMS = {
    "iss": GATEWAY,
    "aud": PARTNER,
    "jti": "0197a000-0000-7000-8000-000000000001",
    "events": {"https://EXAMPLE.invalid/events/x/1.0": {}},
}
JTI = Jti(str(CLAIMS["jti"]))


def document(key=DOCUMENT, recipient=PARTNER_ENCRYPTION, **change):
    return tokens.encrypt(tokens.sign({**CLAIMS, **change}, key, typ=tokens.EVENT), recipient)


@pytest.fixture
async def partner(tmp_path):
    authority = Authority("Throw-away authority of a partner")
    certificate = authority.issue(tmp_path / "server.pem", "partner", hosts=("localhost",))
    authority.write(tmp_path / "ca.pem")
    async with PartnerSimulator(certificate, opener=OPENER) as simulator:
        yield simulator


@pytest.fixture
async def push(partner, tmp_path):
    settings = {"url": partner.url, "ca_file": str(tmp_path / "ca.pem"), "allow_networks": ["127.0.0.0/8"]}
    transport = load(["https_push"], ours={"https_push": "adapters.transports.https_push"})["https_push"].transport(settings)
    yield lambda body: transport.deliver(sealed(body), ATTEMPT_SECONDS)
    await transport.close()


async def test_a_document_is_opened_verified_and_remembered(partner, push):
    assert (await push(document())).outcome is Outcome.DELIVERED
    assert partner.received[JTI].verified.claims == CLAIMS


async def test_the_same_signed_bytes_encrypted_anew_are_one_content(partner, push):
    """As after an answer that was lost: the token is signed once, and encrypted for each attempt."""
    jws = tokens.sign(CLAIMS, DOCUMENT, typ=tokens.EVENT)
    partner.play([LOST])
    with pytest.raises(Exception, match="ServerDisconnected"):
        await push(tokens.encrypt(jws, PARTNER_ENCRYPTION))
    assert (await push(tokens.encrypt(jws, PARTNER_ENCRYPTION))).outcome is Outcome.DELIVERED
    assert (partner.received[JTI].copies, partner.conflicts) == (2, [])


async def test_another_content_under_the_same_jti_is_a_conflict(partner, push):
    await push(document())
    assert (await push(document(txn="another"))).code == "invalid_request"
    assert (partner.conflicts, partner.received[JTI].copies) == ([JTI], 1)


@pytest.mark.parametrize(("body", "code"), [
    pytest.param(document(SUBMIT), "invalid_key", id="signed-by-the-partners-own-key"),
    pytest.param(document(recipient=GATEWAY_ENCRYPTION), "invalid_key", id="encrypted-to-somebody-else"),
    pytest.param(document(aud="fr-police"), "invalid_key", id="for-somebody-else"),
    pytest.param(document(iss="fr-police"), "invalid_key", id="from-somebody-else"),
    pytest.param(tokens.sign(CLAIMS, DOCUMENT, typ=tokens.EVENT), "invalid_key", id="not-encrypted"),
    pytest.param(b"not a token", "invalid_request", id="not-a-token"),
])  # fmt: skip
async def test_what_is_not_right_is_refused_and_not_kept(partner, push, body, code):
    reply = await push(body)
    assert (reply.outcome, reply.code, partner.received) == (Outcome.REFUSED, code, {})
    assert partner.refused == [code]


def test_an_opener_takes_no_receipt_key_for_a_document():
    other = Opener(me=PARTNER, gateway=GATEWAY, keyring=GATEWAY_KEYS, decryption_keys={KeyId("ie-police-encrypt"): PARTNER_OPENS})
    forged = type(DOCUMENT)(kid=RECEIPT_PUBLIC.kid, use=DOCUMENT.use, private=DOCUMENT.private)
    with pytest.raises(UntrustedError):
        other.open(document(forged))
