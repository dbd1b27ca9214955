"""A client kit: the folder a partner talks to one gateway from. `gateway message` uses it, and so may any script of the partner.

```text
client.toml               id, gateway, url, uri_base, and the files below (relative to the folder)
keys/public.json          the partner's public keys, as the gateway trusts them
keys/private/<kid>.pem    its private keys, mode 0600: submit, request, encrypt
gateway.root.json         the gateway's root key, pinned: it came over another channel than the rest
gateway.keys.jwt          the gateway's key set, signed by that root key; from /.well-known/gateway-keys.jwt, for instance
ca.pem                    the authority of the gateway's TLS certificate
```
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.cli.errors import fault_in, read_bytes
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jwks
from gateway.core.keyring import Keyring
from gateway.core.keys import DecryptionKey, EncryptionKey, KeyEntry, SigningKey, Use, VerifyKey
from gateway.core.keyset import read_keyset
from gateway.core.problems import RefusedInputError
from gateway.keystores import secret_files
from gateway.keystores.secret_files import KeyFileError
from gateway.ops.faults import ConfigurationError, Fault, line_of, lines_of
from gateway.testing.client import Identity, PartnerClient
from gateway.testing.partner import Opener

CLIENT: Final = "client.toml"
USES: Final = (Use.SUBMIT, Use.REQUEST, Use.ENCRYPT)


class _Client(BaseModel):
    """What `client.toml` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^[a-z0-9-]{2,32}$")
    gateway: str = Field(pattern=r"^[a-z0-9-]{2,32}$")
    url: str = Field(pattern=r"^https?://[^/?#]+$")
    uri_base: str = Field(pattern=r"^https://.*[^/]$")
    ca_file: str = "ca.pem"
    root: str = "gateway.root.json"
    key_set: str = "gateway.keys.jwt"
    keys: str = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """A partner's keys, and what it believes of the gateway."""

    folder: Path
    partner: PartnerId
    gateway: PartnerId
    url: str
    uri_base: str
    ca_file: Path
    gateway_keys: Keyring  # those the root vouches for
    known: tuple[VerifyKey, ...]  # every key whose signatures can be checked here: the gateway's, the root's, our own
    gateway_encryption: EncryptionKey
    submit_key: SigningKey = field(repr=False)
    request_key: SigningKey = field(repr=False)
    decryption_keys: Mapping[KeyId, DecryptionKey] = field(repr=False)

    @property
    def identity(self) -> Identity:
        """Who the client is."""
        return Identity(partner=self.partner, gateway=self.gateway, request_key=self.request_key, gateway_keys=self.gateway_keys)

    @property
    def opener(self) -> Opener:
        """What opens deliveries to this partner."""
        return Opener(me=self.partner, gateway=self.gateway, keyring=self.gateway_keys, decryption_keys=self.decryption_keys)

    def client(self) -> PartnerClient:
        """Return a client that believes the pinned authority alone."""
        return PartnerClient(self.url, self.identity, tls=ssl.create_default_context(cafile=self.ca_file))


def read_kit(folder: Path, *, now: datetime) -> Kit:
    """Return the kit in `folder`. Raises `ConfigurationError`, also for a key set that the pinned root has not signed."""
    said = _client(folder / CLIENT)
    partner, gateway = PartnerId(said.id), PartnerId(said.gateway)
    entries = _public(folder / said.keys / "public.json", partner)
    private = {entry.use: _private(folder / said.keys / "private" / f"{entry.kid}.pem", entry) for entry in entries}
    submit, request, opens = (private.get(use) for use in USES)
    if not isinstance(submit, SigningKey) or not isinstance(request, SigningKey) or not isinstance(opens, DecryptionKey):
        raise fault_in(folder / said.keys / "public.json", "a key is missing", f"one each of {', '.join(USES)}")
    root = _root(folder / said.root, gateway)
    keyring = _gateway_keys(folder / said.key_set, root, now)
    known = tuple(entry for entry in (root, *entries, *keyring.entries) if isinstance(entry, VerifyKey))
    return Kit(
        folder=folder, partner=partner, gateway=gateway, url=said.url, uri_base=said.uri_base, ca_file=folder / said.ca_file,
        gateway_keys=keyring, known=known, gateway_encryption=keyring.encryption_key(gateway, now),
        submit_key=submit, request_key=request, decryption_keys={opens.kid: opens},
    )  # fmt: skip


def _client(path: Path) -> _Client:
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8")
        table = tomllib.loads(text)
    except ValueError as exc:
        raise fault_in(path, "is not TOML in UTF-8") from exc
    try:
        return _Client.model_validate(table)
    except ValidationError as exc:
        places, told = lines_of(text), exc.errors(include_input=False, include_url=False)
    raise ConfigurationError(
        Fault(str(path), line_of(places, key) if key in places else 0, key, error["msg"])
        for error in told
        for key in [".".join(map(str, error["loc"]))]
    )


def _public(path: Path, owner: PartnerId) -> tuple[KeyEntry, ...]:
    try:
        return jwks.read_jwks(read_bytes(path), owner)
    except jwks.JwksError as exc:
        raise ConfigurationError(Fault(str(path), 0, "", fault) for fault in exc.faults) from exc


def _private(path: Path, entry: KeyEntry) -> SigningKey | DecryptionKey:
    try:
        private = secret_files.read_private(secret_files.read(path), None)
    except KeyFileError as exc:
        raise fault_in(path, str(exc)) from exc
    if not isinstance(entry, VerifyKey | EncryptionKey) or private.public_key() != entry.public:
        raise fault_in(path, "does not belong to the public key of this id")
    if entry.use is Use.ENCRYPT and isinstance(private, ec.EllipticCurvePrivateKey):
        return DecryptionKey(kid=entry.kid, private=private)
    return SigningKey(kid=entry.kid, use=entry.use, private=private)


def _root(path: Path, gateway: PartnerId) -> VerifyKey:
    pinned = [entry for entry in _public(path, gateway) if isinstance(entry, VerifyKey) and entry.use is Use.ROOT]
    if len(pinned) != 1:
        raise fault_in(path, "must pin exactly one root key", "what `gateway keys export` calls <gateway>.root.json")
    return pinned[0]


def _gateway_keys(path: Path, root: VerifyKey, now: datetime) -> Keyring:
    try:
        return read_keyset(read_bytes(path).strip(), root, now=now).keyring
    except jwks.JwksError as exc:
        raise ConfigurationError(Fault(str(path), 0, "", fault) for fault in exc.faults) from exc
    except RefusedInputError as exc:
        raise fault_in(path, "is not a key set that the pinned root key has signed, or it has ended", "the gateway's current one") from exc
