"""Keys of a gateway and a partner, drawn for one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.contract.values import KeyId, PartnerId
from gateway.core.keyring import Keyring
from gateway.core.keys import Alg, DecryptionKey, EncryptionKey, SigningKey, Use, VerifyKey

GATEWAY, PARTNER = PartnerId("gw-main"), PartnerId("ie-police")
PERIOD = {"valid_from": datetime(2026, 1, 1, tzinfo=UTC), "valid_to": datetime.now(UTC) + timedelta(days=900)}


def signing(owner: PartnerId, use: Use) -> tuple[SigningKey, VerifyKey]:
    private, kid = ec.generate_private_key(ec.SECP256R1()), KeyId(f"{owner}-{use.value}")
    return SigningKey(kid=kid, use=use, private=private), VerifyKey(
        owner=owner, kid=kid, use=use, alg=Alg.ES256, public=private.public_key(), **PERIOD
    )


def encryption(owner: PartnerId) -> tuple[DecryptionKey, EncryptionKey]:
    private, kid = ec.generate_private_key(ec.SECP256R1()), KeyId(f"{owner}-encrypt")
    return DecryptionKey(kid=kid, private=private), EncryptionKey(
        owner=owner, kid=kid, use=Use.ENCRYPT, public=private.public_key(), **PERIOD
    )


DOCUMENT, DOCUMENT_PUBLIC = signing(GATEWAY, Use.DOCUMENT)
RECEIPT, RECEIPT_PUBLIC = signing(GATEWAY, Use.RECEIPT)
REQUEST, REQUEST_PUBLIC = signing(PARTNER, Use.REQUEST)
SUBMIT, SUBMIT_PUBLIC = signing(PARTNER, Use.SUBMIT)
PARTNER_OPENS, PARTNER_ENCRYPTION = encryption(PARTNER)
GATEWAY_OPENS, GATEWAY_ENCRYPTION = encryption(GATEWAY)
GATEWAY_KEYS = Keyring([DOCUMENT_PUBLIC, RECEIPT_PUBLIC])
PARTNER_KEYS = Keyring([REQUEST_PUBLIC, SUBMIT_PUBLIC])
