"""What the use cases know of the outside, replaced as a whole by a reload: all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.app.partner_rows import KeyRow
from gateway.contract.formats import Format
from gateway.contract.values import PartnerId
from gateway.core.admission import Context
from gateway.core.decision import Grounds
from gateway.core.directory import Directory
from gateway.core.keyring import Keyring
from gateway.core.keys import SigningKey
from gateway.core.operators import NOBODY, Operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The keys that sign for the gateway: each with its own `kid` and use."""

    document: SigningKey
    receipt: SigningKey
    public: Keyring = field(default_factory=lambda: Keyring(()))  # all our public keys, those that were revoked too


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything a use case asks beside the store: made by bootstrap."""

    context: Context
    grounds: Grounds
    signers: Signers
    formats: Mapping[str, Format]
    contact: Mapping[str, str]  # of the national desk, in the messages the gateway itself sends
    origin: str  # scheme, host and port that partners use: `htu` of their request tokens starts with it
    operators: Operators = NOBODY  # the people of the national desk
    filed: Keyring | None = None  # the partners' keys as files say, where `submitted` are over them in `context`
    submitted: tuple[KeyRow, ...] = ()  # keys that partners submitted and an operator approved, those revoked since among them
    desk: PartnerId | None = None  # the national desk as a partner: it hears what nobody else has answered

    @property
    def directory(self) -> Directory:
        """The partners."""
        return self.grounds.directory


class Holder:
    """Where the current world is found. A use case reads it once per batch, so that a batch is decided by one world."""

    def __init__(self, world: World) -> None:
        """Start with `world`."""
        self.current = world
