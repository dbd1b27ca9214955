"""The settings of one gateway process: a TOML file, and over it the environment (`GATEWAY__BUS__SECURITY`). Nothing else reads either.

Frozen, read once, and refusing to be unsafe outside profile `dev`; every fault is told at once. The safe value is the default: who writes
nothing gets profile `production`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.contract.values import Environment, PartnerId
from gateway.core.limits import LEASE_SECONDS_MAX
from gateway.ops.faults import ConfigurationError, Fault, line_of, lines_of

PREFIX: Final = "GATEWAY__"
IN_SYNC_REPLICAS: Final = "kafka-in-sync-replicas"
WAIVERS: Final = frozenset({IN_SYNC_REPLICAS})  # checks that can be waived by name where the environment is not PRODUCTION
TLS_MODES: Final = frozenset({"require", "verify-ca", "verify-full"})  # of asyncpg's `ssl`


class RunProfile(StrEnum):
    """How careful the gateway is."""

    DEV = "dev"
    PRODUCTION = "production"


class ProcessRole(StrEnum):
    """Which part of the gateway this process is."""

    EMBEDDED = "embedded"
    EDGE = "edge"
    INNER = "inner"
    COURIER = "courier"


FOLDERS: Final[Mapping[ProcessRole, frozenset[str]]] = {  # what each role reads
    ProcessRole.EMBEDDED: frozenset({"schemas", "policies", "partners", "keys"}),
    ProcessRole.EDGE: frozenset({"schemas", "partners", "keys"}),
    ProcessRole.INNER: frozenset({"schemas", "policies", "partners", "keys"}),
    ProcessRole.COURIER: frozenset({"schemas", "partners"}),
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(_Table):
    """Folders."""

    schemas: Path = Path("schemas")
    policies: Path = Path("policies")
    partners: Path = Path("partners")
    keys: Path = Path("keys")
    operators: Path | None = None  # of inner; without it nobody can command anything


class StoreSettings(_Table):
    """The database: `sqlite:///gateway.db` or `postgresql+asyncpg://user@host/name?ssl=verify-full`."""

    url: SecretStr = SecretStr("")
    password_file: Path | None = None


class BusSettings(_Table):
    """The bus, and how this process's principal reaches it."""

    kind: Literal["memory", "kafka"] = "memory"
    bootstrap: str = ""
    security: Literal["SASL_SSL", "PLAINTEXT"] = "SASL_SSL"
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None


class PartnerListener(_Table):
    """Where partners reach us."""

    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65_535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None  # of partners whose profile requires mTLS


class AdminListener(_Table):
    """Where operators and `/metrics` are: this machine only."""

    host: str = "127.0.0.1"
    port: int = Field(default=9443, ge=0, le=65_535)
    tls_certificate: Path | None = None  # with both it speaks TLS alone
    tls_key: Path | None = None
    socket: Path | None = None  # Unix socket, mode 0600, for commands that change something


class Limits(_Table):
    """Bounds of this process; what every gateway shares stands in core/limits.py."""

    waiting_max: int = Field(default=1_000, ge=1, le=100_000)  # requests without an answer; more get 503
    answer_seconds: int = Field(default=20, ge=1, le=300)  # then 503: the same message may be sent again
    poll_seconds: int = Field(default=25, ge=0, le=300)  # how long an empty poll waits
    threads: int = Field(default=4, ge=1, le=64)  # for cryptography
    leave_seconds: int = Field(default=3, ge=0, le=60)  # between SIGTERM and the end of listening: not ready, so that a balancer turns away
    lease_seconds: int = Field(default=LEASE_SECONDS_MAX, ge=2, le=LEASE_SECONDS_MAX)  # of an attempt: a dead worker delays a leg so long


class Contact(_Table):
    """The national desk, as the gateway's own messages name it."""

    unit: str = ""
    name: str = ""
    phone: str = ""
    email: str = ""


class Settings(BaseSettings):
    """All settings. `load_settings` makes them; `problems` says what is wrong with them."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    profile: RunProfile = RunProfile.PRODUCTION
    environment: Environment = Environment.PRODUCTION
    id: str = Field(default="", pattern=r"^([a-z0-9-]{2,32})?$")
    uri_base: str = ""  # of event URIs
    origin: str = ""  # scheme, host and port that partners use
    role: ProcessRole = ProcessRole.EMBEDDED
    shard: str = Field(default="main", pattern=r"^[a-z0-9-]{2,32}$")  # of a courier
    static_id: str = ""  # unique in its role, the same after a restart, which then moves no work to others; an edge must have one
    waivers: frozenset[str] = frozenset()
    passphrase_file: Path | None = None  # of private keys; without it they are unencrypted, mode 0600
    paths: Paths = Paths()
    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    partner_listener: PartnerListener = PartnerListener()
    admin_listener: AdminListener = AdminListener()
    limits: Limits = Limits()
    contact: Contact = Contact()
    desk: str = Field(default="", pattern=r"^([a-z0-9-]{2,32})?$")  # the national desk as a partner: it hears what nobody has answered

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic-settings calls by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- see load_settings, which reads it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- not a place for settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` has merged, and nothing by itself."""
        return (init_settings,)

    @property
    def gateway(self) -> PartnerId:
        """The gateway's own id."""
        return PartnerId(self.id)

    @property
    def is_dev(self) -> bool:
        """Say whether checks that protect real data are off."""
        return self.profile is RunProfile.DEV

    @property
    def leave_seconds(self) -> float:
        """How long a process that was told to stop goes on listening. Nobody balances the load of a developer's machine."""
        return 0 if self.is_dev else self.limits.leave_seconds

    def problems(self) -> Iterator[Fault]:
        """Yield everything that is missing, contradictory or unsafe, each named by its key, with what would be right."""
        yield from _of_gateway(self)
        yield from _of_role(self)
        yield from _of_bus(self)
        yield from _of_store(self)
        yield from _of_listeners(self)
        yield from _of_files(self)


def load_settings(file: Path | None, *, over: Mapping[str, Any] = MappingProxyType({}), needs: Collection[str] | None = None) -> Settings:
    """Return the settings of `file` (None: no file) with the environment over them, and over both what the command line says.

    A command that uses a few settings names them in `needs`, so that it runs where the secrets of the others are not. What cannot be read
    is a fault wherever it stands.

    Raises `ConfigurationError` with every fault at once: file and line where the file says it, the variable where the environment does.
    """
    table, lines, faults = _read(file)
    environment, more = _environment()
    faults += more
    merged = _merge(_merge(table, environment), over)
    settings, wrong = _validated(merged)
    problems = [f for f in settings.problems() if needs is None or any(_touches(name, f.key) for name in needs)]
    found = [*wrong, *(f for f in problems if not any(_touches(w.key, f.key) for w in wrong))]
    faults += [_placed(fault, file, lines, environment) for fault in found]
    if faults:
        raise ConfigurationError(faults)
    return settings


def _read(file: Path | None) -> tuple[dict[str, Any], Mapping[str, int], list[Fault]]:
    if file is None:
        return {}, {}, []
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), lines_of(text), []
    except OSError as exc:
        return {}, {}, [Fault(str(file), 0, "", f"cannot be read: {exc.strerror}")]
    except ValueError:
        return {}, {}, [Fault(str(file), 1, "", "is not TOML in UTF-8")]


def _environment() -> tuple[dict[str, Any], list[Fault]]:
    names = [name for name in os.environ if name.upper().startswith(PREFIX)]
    unknown = [n for n in names if n.upper().removeprefix(PREFIX).split("__")[0].lower() not in Settings.model_fields]
    faults = [Fault("", 0, name, "unknown variable") for name in unknown]
    try:
        return EnvSettingsSource(Settings)(), faults
    except SettingsError as exc:
        field = str(exc).split('"')[1] if '"' in str(exc) else ""
        return {}, [*faults, Fault("", 0, PREFIX + field.upper(), "is not JSON", 'lists and tables are written as JSON: ["a"]')]


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _validated(merged: dict[str, Any]) -> tuple[Settings, list[Fault]]:
    """Return settings from what is right, and a fault for each key that is not: so the checks between keys run at once too."""
    try:
        return Settings(**merged), []
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
    right = json.loads(json.dumps(merged, default=str))
    for error in errors:
        _drop(right, error["loc"])
    told = {"extra_forbidden": "unknown key"}
    return Settings(**right), [Fault("", 0, ".".join(map(str, e["loc"])), told.get(e["type"], e["msg"])) for e in errors]


def _drop(table: Any, loc: tuple[int | str, ...]) -> None:
    for part in loc[:-1]:
        below = table.get(part) if isinstance(table, dict) else None
        if not isinstance(below, dict):  # an entry of a list: the list goes
            break
        table = below
    else:
        part = loc[-1]
    table.pop(part, None)


def _touches(wrong: str, key: str) -> bool:
    return key == wrong or key.startswith(f"{wrong}.") or wrong.startswith(f"{key}.")


def _placed(fault: Fault, file: Path | None, lines: Mapping[str, int], environment: Mapping[str, Any]) -> Fault:
    """Say where the key was set; a key that was not set is told by its name alone."""
    node: Any = environment
    for part in fault.key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if node is not None:
        return Fault("", 0, PREFIX + fault.key.upper().replace(".", "__"), fault.what, fault.expected)
    if file is not None and any(_touches(fault.key, key) and not key.startswith(f"{fault.key}.") for key in lines):
        return Fault(str(file), line_of(lines, fault.key), fault.key, fault.what, fault.expected)
    return Fault(str(file or ""), 0, fault.key, fault.what, fault.expected)


def _fault(key: str, what: str, expected: str) -> Fault:
    return Fault("", 0, key, what, expected)


def _of_gateway(settings: Settings) -> Iterator[Fault]:
    if not settings.id:
        yield _fault("id", "is missing", "the gateway's own partner id")
    if not settings.uri_base.startswith("https://") or settings.uri_base.endswith("/") or set(settings.uri_base) & set("?# "):
        yield _fault("uri_base", "is no base of event URIs", "https://host/path, without a slash at the end")
    if settings.is_dev and settings.environment is Environment.PRODUCTION:
        yield _fault("environment", "PRODUCTION is not for profile dev", 'profile = "production", or environment = "TEST"')
    for name in sorted(settings.waivers - WAIVERS):
        yield _fault("waivers", f"unknown waiver {name}", f"one of {', '.join(sorted(WAIVERS))}")
    if settings.waivers <= WAIVERS and settings.waivers and settings.environment is Environment.PRODUCTION:
        yield _fault("waivers", "nothing can be waived where the environment is PRODUCTION", "an empty list")
    if not settings.is_dev and not (settings.contact.unit and settings.contact.email):
        yield _fault("contact", "unit and email are missing", "whom a partner asks about our messages")


def _of_role(settings: Settings) -> Iterator[Fault]:
    """The outer zone holds no database and nothing that opens keys (design.md, section 2)."""
    outer = settings.role in {ProcessRole.EDGE, ProcessRole.COURIER}
    if outer and (settings.store.url.get_secret_value() or settings.store.password_file):
        yield _fault("store", f"role {settings.role} has no database", "no table [store] in the settings of this role")
    if outer and settings.passphrase_file is not None:
        yield _fault("passphrase_file", f"role {settings.role} holds no private keys of messages", "no passphrase in this role")
    if settings.role is ProcessRole.EDGE and not settings.static_id:
        yield _fault("static_id", "is missing", "a name unique among edges, the same after a restart")
    if outer and not settings.is_dev and any((settings.paths.keys / "private").glob("*")):
        yield _fault("paths.keys", f"role {settings.role} holds no private keys of messages", "a folder without private/")
    schemes = ("https://", "http://") if settings.is_dev else ("https://",)
    if settings.role is not ProcessRole.COURIER and not settings.origin.startswith(schemes):
        yield _fault("origin", "is not how partners reach us", "https://host:port")


def _of_bus(settings: Settings) -> Iterator[Fault]:
    bus = settings.bus
    if (settings.role is ProcessRole.EMBEDDED) != (bus.kind == "memory"):
        right = "memory" if settings.role is ProcessRole.EMBEDDED else "kafka"
        yield _fault("bus.kind", f"{bus.kind} does not fit role {settings.role}", right)
        return
    if bus.kind == "memory":
        return
    if not bus.bootstrap:
        yield _fault("bus.bootstrap", "is missing", "host:port, comma separated")
    if bus.security == "PLAINTEXT":
        if not settings.is_dev:
            yield _fault("bus.security", "PLAINTEXT is for the dev profile", "SASL_SSL")
        return
    if not bus.user:
        yield _fault("bus.user", "is missing", "this process's principal")
    if bus.password_file is None:
        yield _fault("bus.password_file", "is missing", "a file, mode 0600, with the principal's password")


def _of_store(settings: Settings) -> Iterator[Fault]:
    if settings.role not in {ProcessRole.EMBEDDED, ProcessRole.INNER}:
        return
    try:
        url = make_url(settings.store.url.get_secret_value())
    except ArgumentError:
        yield _fault("store.url", "is missing, or no database URL", "sqlite:///file, or postgresql+asyncpg://user@host/name")
        return
    if url.get_backend_name() == "sqlite":
        if settings.role is ProcessRole.INNER:
            yield _fault("store.url", "SQLite is for the embedded form", "postgresql+asyncpg://user@host/name")
    elif url.drivername != "postgresql+asyncpg":
        yield _fault("store.url", "is of no database we know", "sqlite:///file, or postgresql+asyncpg://user@host/name")
    elif not settings.is_dev:
        yield from _of_postgres(url)


def _of_postgres(url: URL) -> Iterator[Fault]:
    if url.password is not None:
        yield _fault("store.url", "holds a password", "store.password_file")
    if not _is_local(url.host or "") and url.query.get("ssl") not in TLS_MODES:
        yield _fault("store.url", "reaches another machine without TLS", "?ssl=verify-full")


def _is_local(host: str) -> bool:
    if host.startswith("/") or host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _of_listeners(settings: Settings) -> Iterator[Fault]:
    admin, partner = settings.admin_listener, settings.partner_listener
    if not _is_local(admin.host):
        yield _fault("admin_listener.host", "is reached from other machines", "127.0.0.1 or ::1")
    if (admin.tls_certificate is None) != (admin.tls_key is None):
        yield _fault("admin_listener", "has one of tls_certificate and tls_key", "both")
    if settings.role in {ProcessRole.INNER, ProcessRole.COURIER}:
        return
    if (partner.tls_certificate is None) != (partner.tls_key is None):
        yield _fault("partner_listener", "has one of tls_certificate and tls_key", "both")
    elif partner.tls_certificate is None and not settings.is_dev:
        yield _fault("partner_listener.tls_certificate", "is missing", "TLS is required outside profile dev")


def _of_files(settings: Settings) -> Iterator[Fault]:
    for name, folder in settings.paths:
        wanted = name in FOLDERS[settings.role] or (name == "operators" and folder is not None)
        if wanted and not folder.is_dir():
            yield _fault(f"paths.{name}", "is no folder", "an existing folder")
    partner, bus = settings.partner_listener, settings.bus
    public = {
        "admin_listener.tls_certificate": settings.admin_listener.tls_certificate,
        "bus.ca_file": bus.ca_file,
        "partner_listener.tls_certificate": partner.tls_certificate,
        "partner_listener.client_ca": partner.client_ca,
    }
    secret = {
        "bus.password_file": bus.password_file, "store.password_file": settings.store.password_file,
        "partner_listener.tls_key": partner.tls_key, "admin_listener.tls_key": settings.admin_listener.tls_key,
        "passphrase_file": settings.passphrase_file,
    }  # fmt: skip
    for key, file in {**public, **secret}.items():
        if file is None:
            continue
        if not file.is_file():
            yield _fault(key, "is no file", "an existing file")
        elif key in secret and not settings.is_dev and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield _fault(key, "can be read by others", "mode 0600")
