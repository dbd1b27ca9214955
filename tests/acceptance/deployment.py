"""A gateway as it is deployed, in both its forms, with its partners: the same tests run on either.

Everything is real: processes of `gateway serve` in profile production, TLS, keys, PostgreSQL, and Kafka with a principal for each role.
The partners are ours to play: HTTPS servers and clients that believe pinned keys alone.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.buses.kafka import KafkaAccess
from gateway.buses.kafka_plan import WAIVER, Shape, make_plan
from gateway.buses.kafka_setup import KafkaSetup
from gateway.cli.devsetup import DevSetup, make_dev_setup, merged
from gateway.cli.kit import Kit
from gateway.contract.values import Environment, Jti, PartnerId
from gateway.core import receipts
from gateway.core.tokens import Verified
from gateway.ops.settings import ProcessRole, RunProfile
from gateway.testing import journeys, messages
from gateway.testing.certificates import Authority
from gateway.testing.client import PartnerClient, Response, sealed_message
from gateway.testing.partner import GOOD, Behaviour, PartnerSimulator
from tests.acceptance.processes import Served, gateway
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings

T = TypeVar("T")
REGISTER, FRANCE, BORDER, SPAIN = "gb-register", "fr-police", "nl-border", "es-police"
PARIS, BANGKOK = journeys.JOURNEYS[0], journeys.JOURNEYS[1]  # to who is pushed to; past who polls
QUICK = {"retry_base_seconds": 1, "retry_max_seconds": 2}
PROFILES: Mapping[str, Mapping[str, Any]] = {
    REGISTER: {"delivery": {"visibility_seconds": 3}},
    FRANCE: {"delivery": QUICK},
    SPAIN: {"delivery": QUICK},
    BORDER: {"delivery": {"visibility_seconds": 3}},
}
WITH_CHANNEL = merged(PROFILES, {REGISTER: {"kafka_channel": True}})  # of the scaled-out form alone
SCALED = (ProcessRole.INNER, ProcessRole.EDGE, ProcessRole.COURIER)
PRINCIPALS = {ProcessRole.EDGE: "edge", ProcessRole.INNER: "inner", ProcessRole.COURIER: "courier-main"}
CHANNEL_SECONDS = 3 * 86_400
WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was signed and sealed, and may be submitted."""

    jti: Jti
    event: Mapping[str, Any]
    jws: bytes
    sealed: bytes


@dataclass(slots=True)
class Deployment:
    """One gateway, its partners, and what a test does with them."""

    form: str
    setup: DevSetup
    processes: dict[ProcessRole, Served]
    pushed: dict[str, PartnerSimulator]
    elsewhere: Elsewhere  # where the simulators run
    passwords: Path | None = None
    kafka: KafkaSettings | None = None
    database: str = ""
    dice: random.Random = field(default_factory=random.Random)
    certificates: dict[str, Path] = field(default_factory=dict)  # of partners that show one when they connect
    _kits: dict[str, Kit] = field(default_factory=dict)

    def kit(self, partner: str = REGISTER) -> Kit:
        """Return what a partner has."""
        return self._kits.setdefault(partner, self.setup.kit(partner))

    def client(self, partner: str = REGISTER) -> PartnerClient:
        """Return a client of a partner: to be opened. It shows its certificate where it has one."""
        kit = self.kit(partner)
        if partner not in self.certificates:
            return kit.client()
        context = ssl.create_default_context(cafile=kit.ca_file)
        context.load_cert_chain(self.certificates[partner])
        return PartnerClient(kit.url, kit.identity, tls=context)

    def message(
        self, journey: journeys.Journey = PARIS, *, jti: str | None = None, claims: Mapping[str, Any] | None = None, **more: Any
    ) -> Sent:
        """Return a travel notice of the register, about a subject of its own. `claims` replace claims, `more` goes to the generator."""
        more = {"subject_ref": f"s-{self.dice.getrandbits(48):012x}"} | more
        more["overrides"] = {"/body/person/nationalities": ["GB"]} | more.get("overrides", {})  # of home, so the journey alone routes
        sample = messages.travel_notice(self.dice, datetime.now(UTC), journey=journey, **more)
        kit = self.kit()
        made = (
            sample.claims(iss=REGISTER, aud=self.setup.gateway, uri_base=kit.uri_base) | ({"jti": jti} if jti else {}) | dict(claims or {})
        )
        jws, sealed = sealed_message(made, kit.submit_key, kit.gateway_encryption)
        return Sent(Jti(made["jti"]), sample.event, jws, sealed)

    def received(self, partner: str, original: Jti) -> list[Verified]:
        """Return what a partner that is pushed to has of a message: one document for each `jti`."""
        found = [each.verified for each in self.pushed[partner].received.copy().values() if each.verified is not None]
        return [verified for verified in found if original_of(verified) == original]

    async def until_received(self, partner: str, original: Jti) -> Verified:
        """Wait until a partner that is pushed to has a message; return the one document."""
        await eventually(lambda: self.received(partner, original), what=f"{original} at {partner}")
        (document,) = self.received(partner, original)
        return document

    async def until_ended(self, client: PartnerClient, jti: Jti, partner: str) -> dict[str, Any]:
        """Wait until the sender sees the end of a leg; return it."""
        return await self.until_leg(client, jti, partner, lambda leg: leg["ended_at"] is not None)

    async def until_leg(self, client: PartnerClient, jti: Jti, partner: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a leg is so; return it."""

        async def look() -> dict[str, Any] | None:
            legs = (await client.status(jti)).value["legs"]
            return next((leg for leg in legs if leg["partner"] == partner and holds(leg)), None)

        return await eventually_async(look, what=f"the leg of {jti} to {partner}")

    async def take(self, client: PartnerClient, partner: str, wanted: Callable[[Verified], bool], *, ack: bool = True) -> Verified:
        """Poll a partner's inbox until a wanted document is there. What is not wanted is acknowledged: it was of another test."""
        end = time.monotonic() + WAIT_SECONDS
        opener, found = self.kit(partner).opener, None
        done: list[Jti] = []
        while found is None and time.monotonic() < end:
            batch = await client.poll(ack=done)
            opened = {jti: opener.open(raw) for jti, raw in batch.sets.items()}
            found = next((document for document in opened.values() if wanted(document)), None)
            done = [jti for jti in opened if found is None or jti != found.jti or ack]
            if not opened:
                await asyncio.sleep(0.1)
        assert found is not None, f"{partner} was not offered what it waited for"
        if done:
            await client.poll(ack=done, max_events=0)
        return found


def original_of(document: Verified) -> Jti | None:
    """Return the message that a delivered document is about."""
    return Jti(event_of(document).get("original", {}).get("jti", ""))


def event_of(document: Verified) -> dict[str, Any]:
    """Return the event of a document."""
    ((_, event),) = document.claims["events"].items()
    return event


def family_of(document: Verified) -> str:
    """Return the family of a document."""
    ((uri, _),) = document.claims["events"].items()
    return uri.split("/")[-2]


def receipt_of(client: PartnerClient, response: Response, sent: Sent) -> receipts.Statement:
    """Return what the receipt in a response says, checked with the pinned keys."""
    assert response.status in {200, 202}, response.body
    return client.read_receipt(response.body, sent.jws)


async def eventually(look: Callable[[], T], *, what: str = "it", seconds: float = WAIT_SECONDS) -> T:
    """Return what `look` finds as soon as it finds something."""

    async def ask() -> T:
        return look()

    return await eventually_async(ask, what=what, seconds=seconds)


async def eventually_async(look: Callable[[], Coroutine[Any, Any, T | None]], *, what: str = "it", seconds: float = WAIT_SECONDS) -> T:
    """Return what `look` finds as soon as it finds something."""
    end = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.05)
    return found


class Elsewhere:
    """An event loop in a thread of its own: partners answer there, whatever a test waits for here."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def reset(deployment: Deployment) -> None:
    """Let every partner behave well again."""
    for simulator in deployment.pushed.values():
        simulator.behaviour = GOOD


def behave(deployment: Deployment, partner: str, *script: Behaviour, after: Behaviour = GOOD) -> PartnerSimulator:
    """Tell a partner how to answer the next requests, and how those after them."""
    simulator = deployment.pushed[partner]
    simulator.behaviour = after
    simulator.play(script)
    return simulator


@contextmanager
def _partners(setup: DevSetup) -> Iterator[tuple[dict[str, PartnerSimulator], Elsewhere]]:
    elsewhere, stack = Elsewhere(), ExitStack()
    stack.callback(elsewhere.close)
    with stack:
        pushed = {}
        for partner, port in setup.ports.partners.items():
            simulator = PartnerSimulator(setup.certificate(partner), opener=setup.kit(partner).opener, port=port)
            elsewhere.run(simulator.__aenter__())
            stack.callback(lambda one=simulator: elsewhere.run(one.__aexit__()))
            pushed[str(partner)] = simulator
        yield pushed, elsewhere


@contextmanager
def _running(setup: DevSetup, roles: Sequence[ProcessRole]) -> Iterator[dict[ProcessRole, Served]]:
    served = {role: Served(role.value, setup.settings[role], setup.ports.admin[role], setup.folder / f"{role.value}.log") for role in roles}
    try:
        for one in served.values():
            one.start()
        for one in served.values():
            one.until_ready()
        yield served
    finally:
        for one in served.values():
            one.stop()


@contextmanager
def embedded(folder: Path, **more: Any) -> Iterator[Deployment]:
    """One process, SQLite, the bus in memory."""
    profiles = {**PROFILES, REGISTER: {**PROFILES[REGISTER], "kafka_channel": False}}  # there is no broker
    setup = make_dev_setup(folder / "made", profile=RunProfile.PRODUCTION, **{"profiles": profiles, **more})
    with _partners(setup) as (pushed, elsewhere), _running(setup, [ProcessRole.EMBEDDED]) as processes:
        yield Deployment("embedded", setup, processes, pushed, elsewhere=elsewhere, database=str(setup.folder / "gateway.db"))


@dataclass(frozen=True, slots=True)
class Mutual:
    """What it takes that a partner is answered only over a connection with one of its certificates."""

    profiles: Mapping[str, Mapping[str, Any]]
    listener: Mapping[str, Any]  # settings of who listens
    certificates: Sequence[Path]


def mutual(folder: Path, partner: str) -> Mutual:
    """Issue two certificates for a partner whose profile demands and names them, and has no channel on Kafka."""
    authority = Authority("Authority of partners' certificates")
    made = [authority.issue(folder / f"{partner}-{number}.pem", partner) for number in (1, 2)]
    profile = {"requires_mtls": True, "client_certificates": [digest(path) for path in made], "kafka_channel": False}
    return Mutual({partner: profile}, {"partner_listener": {"client_ca": str(authority.write(folder / "clients.pem"))}}, made)


def digest(certificate: Path) -> str:
    """Return how a profile names a certificate: the SHA-256 of its DER form, in hex."""
    return sha256(x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_bytes(Encoding.DER)).hexdigest()


@contextmanager
def scaled_out(
    folder: Path, kafka: KafkaSettings, postgres: PostgresSettings, database: str, *, shards: Sequence[str] = ("main",), **more: Any
) -> Iterator[Deployment]:
    """Three processes, each with its own settings, secrets and principal; on a broker and a database that are prepared as an operator would."""
    passwords = prepare_kafka(kafka, folder / "principals", shards=shards)
    url, secret = _address(postgres, database), folder / "database.password"
    secret.touch(mode=0o600)
    secret.write_text(postgres.dsn.split(":", 2)[2].split("@")[0], encoding="utf-8")
    migrated = gateway("db", "migrate", "--url", postgres.database(database))
    assert migrated.returncode == 0, migrated.stderr
    settings: dict[ProcessRole, dict[str, Any]] = {
        role: {
            "static_id": f"{role}-1",
            "waivers": [WAIVER],
            "bus": _bus(kafka, passwords / f"{PRINCIPALS[role]}.password", PRINCIPALS[role]),
        }
        for role in SCALED
    }
    settings[ProcessRole.INNER]["store"] = {"password_file": str(secret)}
    own = {"settings": merged(settings, more.pop("settings", {}))}  # what a caller sets is put over what each process needs
    given = {"roles": SCALED, "profile": RunProfile.PRODUCTION, "store_url": url, "profiles": WITH_CHANNEL, **own, **more}
    setup = make_dev_setup(folder / "made", **given)
    with _partners(setup) as (pushed, elsewhere), _running(setup, SCALED) as processes:
        found: dict[str, Any] = {"passwords": passwords, "kafka": kafka, "database": postgres.database(database)}
        yield Deployment("scaled", setup, processes, pushed, elsewhere=elsewhere, **found)


def prepare_kafka(kafka: KafkaSettings, passwords: Path, *, shards: Sequence[str] = ("main",)) -> Path:
    """Create topics, access rules and principals as `gateway kafka setup` does; return the folder of their passwords."""
    shape = Shape(registers={PartnerId(REGISTER): CHANNEL_SECONDS}, shards=shards, edges=2, partitions=2, replicas=1, in_sync=1)
    plan = make_plan(shape, Environment.TEST, waived=frozenset({WAIVER}))
    broker = KafkaSetup(KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password=kafka.password, ca_file=kafka.ca_file))
    broker.create_missing(plan)
    passwords.mkdir(mode=0o700)
    broker.create_users(plan, passwords)
    assert broker.find_wanting(plan) == []
    return passwords


def _bus(kafka: KafkaSettings, password: Path, user: str) -> dict[str, str]:
    return {"kind": "kafka", "bootstrap": kafka.bootstrap, "user": user, "password_file": str(password), "ca_file": kafka.ca_file}


def _address(postgres: PostgresSettings, database: str) -> str:
    """Return the database's address as an inner's settings have it: the password is in a file."""
    who, _, where = postgres.database(database).removeprefix("postgresql://").rpartition("@")
    return f"postgresql+asyncpg://{who.split(':')[0]}@{where}"
