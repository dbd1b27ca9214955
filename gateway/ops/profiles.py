"""Reads `partners/<id>.toml`: one profile a file, strictly, every fault of every file at once with file and line.

What couriers need for a partner's transport comes apart from the profile, so that no other role holds it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.contract.manifest import Kind, Manifest, SettingsError, check_pair
from gateway.contract.values import Country, Environment, Family, Lane, PartnerId, Role
from gateway.core import limits
from gateway.core.profiles import Closes, Delivery, Profile, Receives
from gateway.core.quiet import DAYS, QuietHours
from gateway.core.reference import Reference
from gateway.ops.faults import ConfigurationError, Fault, line_of, lines_of

ID: Final = re.compile(r"[a-z0-9-]{2,32}")  # it goes into topic names
INBOX: Final = "inbox"  # an endpoint of ours, not a transport
CHANNEL: Final = "channel"  # the partner's own results topic: ours to write, not a transport either
OWN_WAYS: Final = frozenset({INBOX, CHANNEL})


class Families(Protocol):
    """What a vocabulary asks of the message schemas."""

    @property
    def families(self) -> Collection[Family]:
        """The families there are schemas for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The codes a profile may use: from the schemas, the code lists and the libraries of countries."""

    families: frozenset[str]
    purposes: frozenset[str]
    kinds: Mapping[str, str]  # and the sector of each
    countries: frozenset[str]
    zones: frozenset[str] = frozenset()

    @classmethod
    def of(cls, schemas: Families, reference: Reference) -> Vocabulary:
        """Return what schemas and code lists know, in any edition: a profile outlives an edition."""
        return cls(
            families=frozenset(family.name for family in schemas.families),
            purposes=_all_codes(reference, "purpose"),
            kinds={
                entry.code: entry.to for edition in reference.codes.editions.get("authority-kind", ()) for entry in edition.entries.values()
            },
            countries=reference.countries,
            zones=frozenset(reference.zone_offsets.zones),
        )


def _all_codes(reference: Reference, list_id: str) -> frozenset[str]:
    return frozenset(code for edition in reference.codes.editions.get(list_id, ()) for code in edition.entries)


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """What the courier needs for one partner. Paths of key files, never keys."""

    transport: str  # an adapter's id
    settings: Mapping[str, object]  # as its manifest describes them, defaults filled in
    shard: str
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Partners:
    """All profiles, and apart from them the transports of those that are pushed to."""

    profiles: Mapping[PartnerId, Profile]
    transports: Mapping[PartnerId, TransportSettings]


Seconds = Annotated[int, Field(ge=1, le=400 * 86_400)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Receives(_Table):
    family: str
    roles: frozenset[Role] = Field(min_length=1)
    purposes: frozenset[str] = Field(min_length=1)


LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class _Quiet(_Table):
    zone: str
    starts: LocalTime
    ends: LocalTime
    days: frozenset[Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]] = Field(default=frozenset(DAYS), min_length=1)
    lanes: frozenset[Lane] = Field(default=frozenset({Lane.ROUTINE}), min_length=1)


class _Delivery(_Table):
    format: str
    transport: str
    shard: str = Field(default="main", pattern=r"^[a-z0-9-]{2,32}$")
    window: int = Field(default=16, ge=1, le=limits.WINDOW_COUNT_MAX)
    timeout_seconds: int = Field(default=10, ge=1, lt=limits.LEASE_SECONDS_MAX)
    visibility_seconds: Seconds = 60
    closes: Closes = Closes.DELIVERED
    receipt_seconds: Seconds = 86_400
    retry_base_seconds: Seconds = 2
    retry_max_seconds: Seconds = 10_800
    retry_schedule_seconds: tuple[Seconds, ...] = Field(default=(), max_length=100)
    attempts_max: int = Field(default=100, ge=1, le=10_000)
    circuit_failures: int = Field(default=5, ge=1, le=1_000)
    circuit_pause_seconds: Seconds = 30
    circuit_pause_max_seconds: Seconds = 900
    quiet: tuple[_Quiet, ...] = ()
    expire_seconds: Seconds = 30 * 86_400
    encrypt: bool = True
    encrypt_waived_because: str = ""


class _Profile(_Table):
    id: str
    name: str = Field(min_length=1, max_length=100)
    country: str
    kind: str
    sector: str
    environment: Environment
    delivery: _Delivery | None = None
    transport: dict[str, Any] = {}
    serves: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    receives: tuple[_Receives, ...] = ()
    sends: frozenset[str] = frozenset()
    excluded_countries: frozenset[str] = frozenset()
    transfer_bases: frozenset[str] = frozenset()
    retention_days_max: int | None = Field(default=None, ge=1)
    managing_authority: str | None = None
    hub: str | None = None
    iat_age_seconds: int = Field(default=3 * 86_400, ge=60, le=limits.IAT_AGE_SECONDS_MAX)
    requests_per_minute: int = Field(default=limits.REQUESTS_PER_MINUTE, ge=1, le=10_000_000)
    urgent_per_hour: int = Field(default=limits.URGENT_PER_HOUR, ge=1, le=1_000_000)
    suspended: bool = False
    requires_mtls: bool = False
    client_certificates: frozenset[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = frozenset()
    kafka_channel: bool = False
    version: int = Field(default=1, ge=1)


@dataclass(frozen=True, slots=True)
class _File:
    """A profile file that could be read, with the place of each key."""

    path: str
    lines: Mapping[str, int]
    digest: str
    table: _Profile

    def fault(self, key: str, what: str, expected: str = "") -> Fault:
        return Fault(self.path, line_of(self.lines, key), key, what, expected)


def load_partners(
    directory: Path, *, vocabulary: Vocabulary, adapters: Mapping[str, Manifest], has_channels: bool = True, desk: str = ""
) -> Partners:
    """Return the partners of a folder. `adapters` are the manifests of the formats and transports there are, by id.

    `has_channels`: whether the gateway has a broker, so that a register can have a channel on it. `desk`: who the settings say the
    national desk is, if they say it.

    Raises `ConfigurationError` with every fault of every file.
    """
    files: list[_File] = []
    faults: list[Fault] = []
    for path in sorted(directory.glob("*.toml")):
        outcome = _read(path)
        if isinstance(outcome, _File):
            files.append(outcome)
        else:
            faults += outcome
    known = frozenset(path.stem for path in directory.glob("*.toml"))
    for file in files:
        faults += _meaning(file, vocabulary, known)
        faults += _way(file, adapters)
        if file.table.kafka_channel and not has_channels:
            faults.append(file.fault("kafka_channel", "a channel needs the scaled-out form", "false, or a gateway with Kafka"))
    faults += _desk(desk, files, known)
    if not known:
        faults.append(Fault(str(directory), 0, "", "has no profiles", "one file <id>.toml for each partner"))
    if faults:
        raise ConfigurationError(faults)
    profiles = {PartnerId(f.table.id): _profile(f) for f in files}
    transports = {PartnerId(f.table.id): settings for f in files if (settings := _transport(f.table, adapters)) is not None}
    return Partners(MappingProxyType(profiles), MappingProxyType(transports))


def _desk(desk: str, files: Collection[_File], known: Collection[str]) -> Iterator[Fault]:
    if desk and desk not in known:
        yield Fault("", 0, "desk", "no partner has this id", "the id of the national desk's profile, or nothing")
    for file in files:
        if desk == file.table.id and file.table.delivery is None:
            yield file.fault("delivery", "the national desk (setting desk) cannot be told anything", "a table [delivery]")


def _read(path: Path) -> _File | list[Fault]:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        content = json.dumps(tomllib.loads(text), default=str)  # JSON, so that strict means the types of TOML, not those of Python
    except OSError as exc:
        return [Fault(str(path), 0, "", f"cannot be read: {exc.strerror}")]
    except ValueError as exc:
        line = re.search(r"line (\d+)", str(exc))
        return [Fault(str(path), int(line[1]) if line else 1, "", "is not TOML in UTF-8")]
    lines = lines_of(text)
    try:
        table = _Profile.model_validate_json(content)
    except ValidationError as exc:
        return [_told(str(path), lines, error["loc"], error) for error in exc.errors(include_input=False, include_url=False)]
    return _File(str(path), lines, hashlib.sha256(raw).hexdigest(), table)


def _told(path: str, lines: Mapping[str, int], loc: tuple[int | str, ...], error: Any) -> Fault:
    key = ".".join(str(part) for part in loc)
    what = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(error["type"], error["msg"])
    return Fault(path, line_of(lines, key), key, what)


def _meaning(file: _File, vocabulary: Vocabulary, known: frozenset[str]) -> Iterator[Fault]:
    table = file.table
    if ID.fullmatch(table.id) is None:
        yield file.fault("id", "is no partner id", "2 to 32 of a-z, 0-9 and dash")
    if table.id != Path(file.path).stem:
        yield file.fault("id", "is not the file's name", f"{table.id}.toml, or id = {json.dumps(Path(file.path).stem)}")
    if table.sector != (sector := vocabulary.kinds.get(table.kind, table.sector)):
        yield file.fault("sector", f"does not fit kind {table.kind}", sector)
    for key, partner in (("hub", table.hub), ("managing_authority", table.managing_authority)):
        if partner is not None and partner not in known:
            yield file.fault(key, f"unknown partner {partner}", f"one of {', '.join(sorted(known))}")
    yield from _quiet(file, vocabulary)
    yield from _codes(file, vocabulary)


def _quiet(file: _File, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Check quiet hours; those of one's own inbox or channel would keep nobody quiet."""
    delivery = file.table.delivery
    for index, quiet in enumerate(delivery.quiet if delivery else ()):
        if quiet.zone not in vocabulary.zones:
            yield file.fault(f"delivery.quiet.{index}.zone", "unknown time zone", "an IANA name, as Europe/Paris")
    if delivery is not None and delivery.quiet and delivery.transport == INBOX:
        yield file.fault("delivery.quiet", "nobody calls an inbox", "no quiet hours, or a transport that pushes")


def _codes(file: _File, vocabulary: Vocabulary) -> Iterator[Fault]:
    table = file.table
    used = [
        ("country", {table.country}, vocabulary.countries, "country"),
        ("serves", table.serves, vocabulary.countries, "country"),
        ("excluded_countries", table.excluded_countries, vocabulary.countries, "country"),
        ("kind", {table.kind}, vocabulary.kinds.keys(), "kind of authority"),
        ("sends", table.sends, vocabulary.families, "family"),
    ]
    for index, entry in enumerate(table.receives):
        used.append((f"receives.{index}.family", {entry.family}, vocabulary.families, "family"))
        used.append((f"receives.{index}.purposes", entry.purposes, vocabulary.purposes, "purpose"))
    for key, codes, list_, word in used:
        for code in sorted(set(codes) - list_):
            yield file.fault(key, f"unknown {word} {code}", "" if word == "country" else f"one of {', '.join(sorted(list_))}")


def _way(file: _File, adapters: Mapping[str, Manifest]) -> Iterator[Fault]:
    """Check that the partner's format and transport exist, fit each other and have the settings they need."""
    delivery = file.table.delivery
    if delivery is None:
        if file.table.receives:
            yield file.fault("receives", "there is no delivery", "a table [delivery], or nothing in receives")
        if file.table.transport:
            yield file.fault("transport", "there is no delivery", "a table [delivery]")
        return
    if not delivery.encrypt and not delivery.encrypt_waived_because:
        yield file.fault("delivery.encrypt", "waived without a reason", "encrypt = true, or encrypt_waived_because")
    for first, longest in (("retry_base_seconds", "retry_max_seconds"), ("circuit_pause_seconds", "circuit_pause_max_seconds")):
        if getattr(delivery, first) > getattr(delivery, longest):
            yield file.fault(f"delivery.{first}", f"is above {longest}", "a first wait no longer than the longest")
    document = _adapter(adapters, delivery.format, Kind.FORMAT)
    if document is None:
        yield file.fault("delivery.format", f"unknown format {delivery.format}", f"one of {_ids(adapters, Kind.FORMAT)}")
    else:
        for family in sorted({r.family for r in file.table.receives} - document.families):
            yield file.fault(
                "delivery.format", f"format {document.id} cannot carry {family}", "another format, or no such entry in receives"
            )
    yield from _transport_faults(file, delivery, document, adapters)


def _transport_faults(file: _File, delivery: _Delivery, document: Manifest | None, adapters: Mapping[str, Manifest]) -> Iterator[Fault]:
    if delivery.transport in OWN_WAYS:
        if file.table.transport:
            yield file.fault("transport", f"{delivery.transport} has no transport settings", "no table [transport]")
        if delivery.transport == CHANNEL and not file.table.kafka_channel:
            yield file.fault("delivery.transport", "there is no channel to write to", "kafka_channel = true, or another transport")
        return
    transport = _adapter(adapters, delivery.transport, Kind.TRANSPORT)
    if transport is None:
        yield file.fault("delivery.transport", f"unknown transport {delivery.transport}", f"one of {_ids(adapters, Kind.TRANSPORT)}, inbox")
        return
    try:
        if document is not None:
            check_pair(document, transport)
    except SettingsError as exc:
        yield from (file.fault("delivery.transport", fault) for fault in exc.faults)
    try:
        transport.validate(file.table.transport)
    except SettingsError as exc:
        for fault in exc.faults:
            key, _, what = fault.partition(": ")
            yield file.fault(f"transport.{key}", what)


def _adapter(adapters: Mapping[str, Manifest], id_: str, kind: Kind) -> Manifest | None:
    manifest = adapters.get(id_)
    return manifest if manifest is not None and manifest.kind is kind else None


def _ids(adapters: Mapping[str, Manifest], kind: Kind) -> str:
    return ", ".join(sorted(id_ for id_, m in adapters.items() if m.kind is kind)) or "(none)"


def _profile(file: _File) -> Profile:
    table = file.table
    plain = table.model_dump(exclude={"delivery", "transport", "receives", "serves", "excluded_countries"})
    return Profile(
        **{**plain, "id": PartnerId(table.id), "country": Country(table.country)},
        delivery=_delivery(table.delivery) if table.delivery else None,
        serves=frozenset(Country(c) for c in table.serves),
        excluded_countries=frozenset(Country(c) for c in table.excluded_countries),
        receives=tuple(Receives(r.family, r.roles, r.purposes) for r in table.receives),
        digest=file.digest,
    )


def _delivery(table: _Delivery) -> Delivery:
    quiet = tuple(
        QuietHours(zone=q.zone, starts=time.fromisoformat(q.starts), ends=time.fromisoformat(q.ends), days=frozenset(q.days), lanes=q.lanes)
        for q in table.quiet
    )
    return Delivery(**table.model_dump(exclude={"quiet"}), quiet=quiet)


def _transport(table: _Profile, adapters: Mapping[str, Manifest]) -> TransportSettings | None:
    delivery = table.delivery
    if delivery is None or delivery.transport in OWN_WAYS:
        return None
    settings = adapters[delivery.transport].validate(table.transport)
    return TransportSettings(delivery.transport, settings, delivery.shard, delivery.timeout_seconds)
