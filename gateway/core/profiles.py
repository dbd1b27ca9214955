"""What we know of a partner, as core and app need it. `ops/settings.py` reads it from `partners/<id>.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.contract.values import Country, Environment, PartnerId, Role
from gateway.core import limits
from gateway.core.quiet import QuietHours


class Closes(StrEnum):
    """What ends a leg well for this partner."""

    DELIVERED = "delivered"
    RECEIPTED = "receipted"


@dataclass(frozen=True, slots=True)
class Receives:
    """What countries and roles may bring a partner: no entry, nothing is routed to it by country (R-RTE-01)."""

    family: str
    roles: frozenset[Role]
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a partner takes its legs."""

    format: str  # an adapter's id
    transport: str  # an adapter's id, or "inbox"
    shard: str = "main"  # courier shard
    window: int = 16  # legs under way at once
    timeout_seconds: int = 10  # of one attempt
    visibility_seconds: int = 60  # inbox: offered again after this without an answer
    closes: Closes = Closes.DELIVERED
    receipt_seconds: int = 86_400  # delivered but not receipted: dead after this (only where `closes` is receipted)
    retry_base_seconds: int = 2
    retry_max_seconds: int = 10_800  # with `attempts_max`: more than five days, so that a long weekend makes no dead letters
    retry_schedule_seconds: tuple[int, ...] = ()  # instead of doubling: the wait after each failure, the last one again and again
    attempts_max: int = 100  # then a dead letter
    circuit_failures: int = 5  # in a row: then no attempt for a while, and then one at a time
    circuit_pause_seconds: int = 30  # doubles with each probe that fails
    circuit_pause_max_seconds: int = 900
    quiet: tuple[QuietHours, ...] = ()
    expire_seconds: int = 30 * 86_400  # a leg's own limit, from acceptance
    encrypt: bool = True
    encrypt_waived_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A partner's profile, without transport credentials (those are the courier's)."""

    id: PartnerId
    name: str
    country: Country
    kind: str  # domain.md d.16
    sector: str  # STATUTORY or NGO
    environment: Environment
    delivery: Delivery | None  # None: it only sends
    serves: frozenset[Country] = frozenset()
    regions: frozenset[str] = frozenset()
    receives: tuple[Receives, ...] = ()
    sends: frozenset[str] = frozenset()  # families it may submit; acknowledgement always
    excluded_countries: frozenset[Country] = frozenset()  # its own bar: COUNTRY_EXCLUDED_BY_PROFILE
    transfer_bases: frozenset[str] = frozenset()  # codes of E.handling.transfer_basis that hold for sending to it; empty: any
    retention_days_max: int | None = None  # R-GEN-03 as sender, R-GEN-17 as recipient
    managing_authority: PartnerId | None = None  # gets alerts about subjects of this register
    hub: PartnerId | None = None
    iat_age_seconds: int = 3 * 86_400  # how old a submission on this channel may be
    requests_per_minute: int = limits.REQUESTS_PER_MINUTE  # of its requests to us, each line of a body of many among them; more get 429
    urgent_per_hour: int = limits.URGENT_PER_HOUR  # of its messages in the fastest lane; more go in the next, with a warning in the receipt
    suspended: bool = False
    requires_mtls: bool = False
    client_certificates: frozenset[str] = frozenset()  # hex SHA-256 of its TLS client certificates
    kafka_channel: bool = False  # it submits on `gw.submissions.<id>` and reads `gw.results.<id>`
    version: int = 1
    digest: str = ""  # hex SHA-256 of the profile file, kept with each decision

    def covers(self, country: Country) -> bool:
        """Say whether messages for `country` concern this partner."""
        return country == self.country or country in self.serves

    def receives_for(self, family: str, role: Role, purpose: str) -> bool:
        """Say whether `family` for `purpose` may reach this partner in `role`."""
        return any(r.family == family and role in r.roles and purpose in r.purposes for r in self.receives)
