"""Everything a gateway and its partners need, made new in a folder: for the demonstration, for tests, and to try things out.

```text
gateway.toml              settings of the embedded form; or edge.toml, inner.toml, courier.toml
keys/  outer/             keys of inner (and embedded), and the public ones alone for the outer zone
root/                     the root key: nobody needs it while things run
partners/                 the profiles asked for, with their real ports
tls/                      a throw-away authority and what it issued
kits/<partner>/           a client kit (see kit.py) for each partner
operators/  desk/<id>/    an operator of each role: the profile, and the person's own file and key (see desk.py)
```
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import shutil
import socket
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import gateway
from gateway.cli.kit import CLIENT, USES, Kit, read_kit
from gateway.contract.values import PartnerId
from gateway.core import jwks, strict_json
from gateway.core.keys import Use
from gateway.core.operators import OperatorRole
from gateway.keystores import generate, secret_files
from gateway.keystores.files import FileKeystore
from gateway.ops.settings import ProcessRole, RunProfile
from gateway.testing.certificates import Authority

REPOSITORY: Final = Path(gateway.__file__).parents[1]
GATEWAY: Final = PartnerId("gw-main")
URI_BASE: Final = "https://gateway.example/events"
HOSTS: Final = ("localhost",)
ADDRESSES: Final = ("127.0.0.1", "::1")
LOOPBACK: Final = ["127.0.0.0/8", "::1/128"]
DESK: Final = "gb-police"  # who hears what nobody has answered in time
CONTACT: Final = {"unit": "Example National Desk", "name": "Duty officer", "phone": "+442079460000", "email": "desk@gateway.example"}
PORTS: Final = range(20_000, 30_000)  # below those the system gives to outgoing connections, which would take one between now and its use
ME: Final = "operator.toml"
_OUTER: Final = frozenset({ProcessRole.EDGE, ProcessRole.COURIER})
_SHIPPED: Final = tuple(sorted(path.stem for path in (REPOSITORY / "partners").glob("*.toml")))
_NOTHING: Final[Mapping[Any, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Ports on loopback. `partners`: of those that are pushed to."""

    gateway: int
    admin: Mapping[ProcessRole, int]
    partners: Mapping[PartnerId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevSetup:
    """What was made, and where."""

    folder: Path
    gateway: PartnerId
    origin: str
    ports: Ports
    authority: Path
    settings: Mapping[ProcessRole, Path]  # the file for `gateway serve --config`
    partners: tuple[PartnerId, ...]

    def kit(self, partner: str) -> Kit:
        """Return a partner's client kit, read as the partner reads it. Raises `ConfigurationError`."""
        return read_kit(self.kit_folder(partner), now=datetime.now(UTC))

    def kit_folder(self, partner: str) -> Path:
        """Return where a partner's client kit is."""
        return self.folder / "kits" / partner

    def operator(self, role: OperatorRole) -> Path:
        """Return the own file of the operator who has that one role."""
        return self.folder / "desk" / f"desk-{role.value}" / ME

    def certificate(self, name: str) -> Path:
        """Return key and chain of a TLS server: `gateway` or a partner."""
        return self.folder / "tls" / f"{name}.pem"


def make_dev_setup(  # noqa: PLR0913 -- each is one thing a test wants otherwise
    folder: Path,
    *,
    partners: Sequence[str] = _SHIPPED,
    roles: Sequence[ProcessRole] = (ProcessRole.EMBEDDED,),
    profile: RunProfile = RunProfile.DEV,
    ports: Ports | None = None,
    store_url: str = "",
    profiles: Mapping[str, Mapping[str, Any]] = _NOTHING,
    settings: Mapping[ProcessRole, Mapping[str, Any]] = _NOTHING,
) -> DevSetup:
    """Make keys, certificates, profiles, settings and client kits in `folder`, which may not have them yet.

    `profiles` overrides members of a partner's profile, or is the whole of one that is not shipped; `settings` overrides members of a
    role's settings file, such as `bus`; both deeply.
    """
    made = {PartnerId(name): merged(_profile(name), profiles.get(name, {})) for name in partners}
    ports = ports or free_ports(roles, [partner for partner, table in made.items() if _is_pushed(table)])
    setup = DevSetup(
        folder=folder, gateway=GATEWAY, origin=f"https://localhost:{ports.gateway}", ports=ports, authority=folder / "tls" / "ca.pem",
        settings={role: folder / f"{'gateway' if role is ProcessRole.EMBEDDED else role}.toml" for role in roles}, partners=tuple(made),
    )  # fmt: skip
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _certificates(setup)
    _keys(setup, dev=profile is RunProfile.DEV)
    _profiles(setup, made, profiles)
    _operators(setup, dev=profile is RunProfile.DEV)
    for role in roles:
        common = _settings(setup, role, profile, store_url or f"sqlite:///{folder / 'gateway.db'}")
        setup.settings[role].write_text(to_toml(merged(common, settings.get(role, {}))), encoding="utf-8")
    return setup


def free_ports(roles: Iterable[ProcessRole], pushed: Iterable[PartnerId]) -> Ports:
    """Return ports that were free a moment ago, all different."""
    roles, pushed = list(roles), list(pushed)
    found = iter(free(1 + len(roles) + len(pushed)))
    return Ports(gateway=next(found), admin={role: next(found) for role in roles}, partners={partner: next(found) for partner in pushed})


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return `low` with `high` over it, table by table."""
    both = dict(low)
    for key, value in high.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Return a table as TOML: plain values first, as the format asks, then tables and lists of tables."""
    lines, below = [], []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            below.append(f"\n[{name}]\n{to_toml(value, f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            below += [f"\n[[{name}]]\n{to_toml(item, f'{name}.')}" for item in value]
        else:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join([*lines, *below])


def free(count: int) -> list[int]:
    """Return so many loopback ports of `PORTS` that nobody listens on now, all different."""
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(PORTS, len(PORTS)):
            if len(held) == count:
                break
            with contextlib.suppress(OSError):  # somebody has it
                held.append(socket.create_server(("127.0.0.1", port)))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _profile(name: str) -> dict[str, Any]:
    if name not in _SHIPPED:
        return {}
    return tomllib.loads((REPOSITORY / "partners" / f"{name}.toml").read_text(encoding="utf-8"))


def _is_pushed(table: Mapping[str, Any]) -> bool:
    return "transport" in table


def _certificates(setup: DevSetup) -> None:
    (setup.folder / "tls").mkdir(mode=0o700)
    authority = Authority("Throw-away authority of a test")
    authority.write(setup.authority)
    for name in ("gateway", *setup.ports.partners):
        authority.issue(setup.certificate(name), name, hosts=HOSTS, addresses=ADDRESSES)


def _keys(setup: DevSetup, *, dev: bool) -> None:
    now, keys = datetime.now(UTC), setup.folder / "keys"
    generate.create(keys, setup.folder / "root", generate.Plan(owner=setup.gateway, now=now, dev=dev))
    for partner in setup.partners:
        _kit(setup, partner, generate.Plan(owner=partner, now=now, dev=dev))
    if _OUTER & setup.settings.keys():
        shutil.copytree(keys, setup.folder / "outer", ignore=shutil.ignore_patterns("private"))


def _kit(setup: DevSetup, partner: PartnerId, plan: generate.Plan) -> None:
    folder, keys = setup.kit_folder(partner), setup.folder / "keys"
    private = folder / "keys" / "private"
    private.mkdir(mode=0o700, parents=True)
    pairs = [generate.new_pair(plan, use) for use in USES]
    for pair in pairs:
        secret_files.write(private / f"{pair.entry.kid}.pem", secret_files.write_private(pair.private, None))
    public = strict_json.canonical(jwks.write_jwks(pair.entry for pair in pairs))
    (folder / "keys" / "public.json").write_bytes(public)
    (keys / "trust" / f"{partner}.json").write_bytes(public)
    keystore = FileKeystore(keys, setup.gateway, dev=plan.dev)
    roots = [entry for entry in keystore.own().entries if entry.use is Use.ROOT]
    (folder / "gateway.root.json").write_bytes(strict_json.canonical(jwks.write_jwks(roots)))
    (folder / "gateway.keys.jwt").write_bytes(keystore.key_set())
    shutil.copy(setup.authority, folder / "ca.pem")
    client = {"id": partner, "gateway": setup.gateway, "url": setup.origin, "uri_base": URI_BASE}
    (folder / CLIENT).write_text(to_toml(client), encoding="utf-8")


def _operators(setup: DevSetup, *, dev: bool) -> None:
    inner = next((role for role in setup.settings if role not in _OUTER), None)
    port = setup.ports.admin[inner] if inner is not None else 0
    me = {"gateway": setup.gateway, "url": f"http://localhost:{port}"}
    for role in OperatorRole:
        plan = generate.Plan(owner=PartnerId(f"desk-{role.value}"), now=datetime.now(UTC), dev=dev)
        make_operator(plan, f"Duty {role.value}", [role], profiles=setup.folder / "operators", own=setup.operator(role).parent, me=me)


def make_operator(
    plan: generate.Plan, name: str, roles: Iterable[OperatorRole], *, profiles: Path, own: Path, me: Mapping[str, str]
) -> tuple[Path, ...]:
    """Make a key, the profile that trusts it, and the person's own file. Raises `FileExistsError`: nothing is overwritten."""
    pair = generate.new_pair(plan, Use.COMMAND)
    profiles.mkdir(parents=True, exist_ok=True)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    profile = {"id": plan.owner, "name": name, "roles": sorted(role.value for role in roles), "keys": [jwks.write_jwk(pair.entry)]}
    key = own / f"{pair.entry.kid}.pem"
    files = {
        profiles / f"{plan.owner}.toml": (to_toml(profile).encode(), 0o644),
        own / ME: (to_toml({"id": plan.owner, **me, "key": key.name}).encode(), 0o600),
        key: (secret_files.write_private(pair.private, plan.passphrase), 0o600),
    }
    for path in files:
        if path.exists():
            raise FileExistsError(errno.EEXIST, "is there already", str(path))
    for path, (raw, mode) in files.items():
        secret_files.write(path, raw, mode=mode)
    return tuple(files)


def _profiles(setup: DevSetup, made: Mapping[PartnerId, Mapping[str, Any]], overrides: Mapping[str, Mapping[str, Any]]) -> None:
    (setup.folder / "partners").mkdir()
    for partner, shipped in made.items():
        table = shipped
        if _is_pushed(table):
            url = f"https://localhost:{setup.ports.partners[partner]}/events"
            table = merged(table, {"transport": {"url": url, "ca_file": str(setup.authority), "allow_networks": LOOPBACK}})
        text = to_toml(merged(table, overrides.get(partner, {})))
        (setup.folder / "partners" / f"{partner}.toml").write_text(text, encoding="utf-8")


def _settings(setup: DevSetup, role: ProcessRole, profile: RunProfile, store_url: str) -> dict[str, Any]:
    folder = setup.folder
    paths = {"schemas": REPOSITORY / "schemas", "policies": REPOSITORY / "policies", "partners": folder / "partners"}
    paths["keys"] = folder / ("outer" if role in _OUTER else "keys")
    if role not in _OUTER:
        paths["operators"] = folder / "operators"
    table: dict[str, Any] = {
        "profile": profile, "environment": "TEST", "id": setup.gateway, "uri_base": URI_BASE, "origin": setup.origin, "role": role,
        "paths": {name: str(path) for name, path in paths.items()},
        "admin_listener": {"port": setup.ports.admin[role]},
        "contact": CONTACT,
    }  # fmt: skip
    if DESK in setup.partners:
        table["desk"] = DESK
    if role in {ProcessRole.EMBEDDED, ProcessRole.EDGE}:
        certificate = str(setup.certificate("gateway"))
        table["partner_listener"] = {"port": setup.ports.gateway, "tls_certificate": certificate, "tls_key": certificate}
    if role is ProcessRole.EDGE:
        table["static_id"] = "edge-1"
    if role not in _OUTER:
        table["store"] = {"url": store_url}
        table["admin_listener"]["socket"] = str(folder / f"{role}.sock")
    return table
