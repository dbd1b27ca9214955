"""A whole gateway in this process, for tests: real use cases, SQLite, bus, keys, profiles and policies; a fake clock, and partners in memory.

Nothing is patched. The partners' side is simulated by a `Transport` with knobs, which opens and checks what it gets.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import bootstrap
from gateway.app.channels import Outcomes
from gateway.app.courier import Courier
from gateway.app.escalate import Escalate
from gateway.app.inbox import Inbox
from gateway.app.intake import Intake, Outcome, Submission
from gateway.app.next_keys import NextKeys
from gateway.app.outgoing import Outgoings
from gateway.app.ports import Answer, LegRow, Question, RefusalRow, Store
from gateway.app.query import Query
from gateway.app.requests import Requests
from gateway.app.safe import Safe
from gateway.app.seal import Seal, Sealer
from gateway.app.sequence import Evidence, Sequencer
from gateway.app.settle import Settle, Timers
from gateway.app.trust import Trust
from gateway.app.world import Holder, Signers, World
from gateway.buses.memory import MemoryBus
from gateway.contract.transports import Outcome as Answered
from gateway.contract.transports import Reply, Transport
from gateway.contract.values import Environment, Family, Jti, KeyId, PartnerId, Ref, Sealed
from gateway.core import tokens
from gateway.core.admission import Context
from gateway.core.decision import Grounds
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.evidence.checkpoint import CheckpointKey, CheckpointSigner
from gateway.core.keyring import Keyring
from gateway.core.keys import DecryptionKey, SigningKey, Use
from gateway.core.policy import PolicySet
from gateway.core.profiles import Delivery, Profile
from gateway.core.request_tokens import HttpRequest, request_claims
from gateway.core.schema import family_uri
from gateway.core.vault import Compartment
from gateway.keystores.generate import Pair, Plan, new_pair
from gateway.ops.policies import load_policies
from gateway.ops.profiles import Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables
from gateway.ops.telemetry import Metrics, Telemetry
from gateway.stores.open import open_store
from gateway.testing.clock import FakeClock, SeededDice

ROOT = Path(__file__).parents[1]
GATEWAY = PartnerId("gw-test")
ORIGIN = "https://gateway.invalid"
BASE = "https://gateway.invalid/events"
TRAVEL = Family("travel-notification", "1.0")
ACK = Family("acknowledgement", "1.0")
REFERENCE = load_reference(ROOT / "schemas")
SCHEMAS = load_schemas(ROOT / "schemas", REFERENCE)
TABLES = load_rule_tables(ROOT / "schemas" / "rules")
REGISTERS = Compartment(index_key=bytes(range(32, 64)), keks={"epoch-1": bytes(range(32))}, epoch="epoch-1")
REFERRALS = Compartment(index_key=bytes(range(96, 128)), keks={"referral-1": bytes(range(64, 96))}, epoch="referral-1")


@dataclass(slots=True)
class Keys:
    """One party's key pairs by use."""

    pairs: Mapping[Use, Pair]

    @classmethod
    def of(cls, owner: str, clock: FakeClock, uses: Iterable[Use]) -> Keys:
        plan = Plan(owner=PartnerId(owner), now=clock.now() - timedelta(days=1), dev=True)
        return cls({use: new_pair(plan, use) for use in uses})

    def signing(self, use: Use) -> SigningKey:
        pair = self.pairs[use]
        return SigningKey(kid=pair.entry.kid, use=use, private=pair.private)

    @property
    def decryption(self) -> Mapping[KeyId, DecryptionKey]:
        pair = self.pairs[Use.ENCRYPT]
        return {pair.entry.kid: DecryptionKey(kid=pair.entry.kid, private=pair.private)}  # type: ignore[arg-type]  # an ENCRYPT pair is P-256


@dataclass(slots=True)
class Got:
    """A document a partner received and opened."""

    jti: Jti
    claims: Mapping[str, Any]
    digest: str

    @property
    def event(self) -> Mapping[str, Any]:
        ((_, event),) = self.claims["events"].items()
        return event

    @property
    def family(self) -> str:
        ((uri, _),) = self.claims["events"].items()
        return uri.removeprefix(BASE + "/").split("/")[0]


class Partner(Transport):
    """A partner's side: opens, verifies and keeps what it gets, answering as told by `answers` (the last one stays)."""

    def __init__(self, open_: Callable[[bytes], Got]) -> None:
        self._open = open_
        self.attempts: list[Got] = []
        self.received: dict[Jti, Got] = {}
        self.answers: list[Reply | Exception] = []
        self.before: Callable[[], None] = lambda: None
        self.gate: asyncio.Event | None = None  # a slow partner: answers when this is set

    async def _send(self, item: Sealed) -> Reply:
        got = self._open(item.body)
        assert got.jti == item.jti
        self.before()
        self.attempts.append(got)
        if self.gate is not None:
            await self.gate.wait()
        answer = Reply(Answered.DELIVERED)
        if self.answers:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer.outcome is Answered.DELIVERED:
            self.received[got.jti] = got
        return answer


@dataclass(slots=True)
class House:
    """Everything a test may touch."""

    clock: FakeClock
    dice: SeededDice
    store: Store
    holder: Holder
    intake: Intake
    requests: Requests
    seal: Seal
    settle: Settle
    inbox: Inbox
    timers: Timers
    sequencer: Sequencer
    evidence: Evidence
    keys: Mapping[PartnerId, Keys]
    partners: dict[PartnerId, Partner]
    checkpoint_key: CheckpointKey
    metrics: Metrics
    bus: MemoryBus
    escalate: Escalate
    next_keys: NextKeys
    trust: Trust
    tokens_sent: dict[str, bytes] = field(default_factory=dict)
    opened: dict[str, Got] = field(default_factory=dict)

    # --- the senders' side

    def token(
        self, event: Mapping[str, Any], *, sender: str = "gb-register", family: Family = TRAVEL, plain: bool = False, **claims: Any
    ) -> bytes:
        """Sign and encrypt one message; `claims` replace ours, and a claim set to ... is left out."""
        now = int(self.clock.now().timestamp())
        jti = self.dice.uuid7(self.clock.now())
        made: dict[str, Any] = {
            "iss": sender, "aud": GATEWAY, "jti": jti, "iat": now, "toe": now, "txn": self._conversation(event) or claims.get("jti", jti),
            "events": {family_uri(BASE, family): event},
        } | claims  # fmt: skip
        made = {name: value for name, value in made.items() if value is not ...}
        signed = tokens.sign(made, self.keys[PartnerId(sender)].signing(Use.SUBMIT), typ=tokens.EVENT)
        return signed if plain else self.encrypt(signed)

    def _conversation(self, event: Mapping[str, Any]) -> str | None:
        """Return the `txn` of what an event answers, as its sender read it."""
        jti = event.get("routing", {}).get("in_response_to", {}).get("jti")
        seen = [self.opened] + [partner.received for partner in self.partners.values()]
        return next((got[jti].claims["txn"] for got in seen if jti in got), None)

    def encrypt(self, signed: bytes) -> bytes:
        return tokens.encrypt(signed, self.keys[GATEWAY].pairs[Use.ENCRYPT].entry)  # type: ignore[arg-type]  # an ENCRYPT entry

    async def send(self, event: Mapping[str, Any], *, sender: str = "gb-register", **more: Any) -> Outcome:
        return await self.send_token(self.token(event, sender=sender, **more), sender=sender)

    async def send_token(self, token: bytes, *, sender: str = "gb-register") -> Outcome:
        (outcome,) = await self.intake.accept([Submission(token, PartnerId(sender))])
        return outcome

    async def submit(self, event: Mapping[str, Any], *, sender: str = "gb-register", **more: Any) -> Jti:
        """Send a message that must be accepted; return its `jti`."""
        jti = Jti(more.pop("jti", self.dice.uuid7(self.clock.now())))
        outcome = await self.send(event, sender=sender, jti=jti, **more)
        assert outcome.receipt is not None, outcome.problems
        return jti

    async def ask(
        self, kind: str, path: str, *, who: str = "gb-register", method: str = "GET", query: str = "", body: bytes = b""
    ) -> Answer:
        """Ask as an edge would, with a request token of `who`."""
        asked = HttpRequest(method, ORIGIN + path, query.encode(), body)
        claims = request_claims(asked, iss=PartnerId(who), aud=GATEWAY, jti=self.dice.uuid7(self.clock.now()), now=self.clock.now())
        token = tokens.sign(claims, self.keys[PartnerId(who)].signing(Use.REQUEST), typ=tokens.REQUEST).decode()
        return await self.requests.answer(Question(kind=kind, method=method, path=path, query=query, token=token, body=body))

    # --- the gateway's own time

    async def run_until_idle(self, *, seconds: float = 10) -> None:
        """Run until nothing is due: no sleep on the fake clock, only turns of the loop for the bus."""
        async with asyncio.timeout(seconds):
            while True:
                busy = await self.seal.run_once() + await self.timers.run_once() + await self.sequencer.run_once()
                busy += await self.escalate.run_once()
                async with self.store.reading() as work:
                    counts = await work.counts()
                sending = sum(count for (_, state), count in counts.items() if state is State.SENDING)
                if not busy and not sending:
                    return
                await asyncio.sleep(0.002)

    async def run_until(self, true: Callable[[], bool], *, seconds: float = 10) -> None:
        """Run until something is so, though work remains."""
        async with asyncio.timeout(seconds):
            while not true():
                await self.seal.run_once()
                await self.timers.run_once()
                await asyncio.sleep(0.002)

    async def poll(self, who: str, *, ack: Iterable[str] = (), errors: Mapping[str, str] | None = None, **more: Any) -> dict[Jti, Got]:
        """Poll an inbox as `who` and open what comes."""
        body = {"ack": list(ack), "setErrs": {jti: {"err": err} for jti, err in (errors or {}).items()}, **more}
        answer = await self.ask("poll", "/v1/poll", who=who, method="POST", body=json.dumps(body).encode())
        assert answer.outcome == "ok", answer.body
        return {Jti(jti): self.open(who, token.encode()) for jti, token in json.loads(answer.body)["sets"].items()}

    async def poll_all(self, who: str) -> list[Got]:
        """Poll and acknowledge until the inbox is empty; return what came, in order."""
        taken: list[Got] = []
        while got := await self.poll(who, ack=[one.jti for one in taken]):
            taken += got.values()
        return taken

    # --- what is so

    async def legs(self, jti: str, *, sender: str = "gb-register") -> dict[PartnerId, LegRow]:
        async with self.store.reading() as work:
            return {leg.partner: leg for leg in await work.legs_of(Ref(PartnerId(sender), Jti(jti)))}

    async def refusals(self, jti: str, *, sender: str = "gb-register") -> list[RefusalRow]:
        async with self.store.reading() as work:
            return await work.refusals_of(Ref(PartnerId(sender), Jti(jti)))

    def open(self, partner: str, body: bytes) -> Got:
        """Open a document as its partner does: own decryption key, the gateway's pinned document key."""
        token = tokens.unwrap(body, self.keys[PartnerId(partner)].decryption, typ=tokens.EVENT, encrypted="required")
        entry = self.keys[GATEWAY].pairs[Use.DOCUMENT].entry
        verified = tokens.verify(token, entry)  # type: ignore[arg-type]  # a DOCUMENT entry is a VerifyKey
        assert verified.claims["aud"] == partner
        self.opened[verified.jti] = Got(verified.jti, verified.claims, verified.digest)
        return self.opened[verified.jti]


PARTNER_USES = (Use.SUBMIT, Use.REQUEST, Use.ENCRYPT)
GATEWAY_USES = (Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT, Use.ENCRYPT)


def profiles_as_shipped() -> dict[PartnerId, Profile]:
    """Return the example profiles, as the loader reads them."""
    vocabulary = Vocabulary.of(SCHEMAS, REFERENCE)
    manifests = {id_: adapter.manifest for id_, adapter in bootstrap.load_adapters().items()}
    return dict(load_partners(ROOT / "partners", vocabulary=vocabulary, adapters=manifests).profiles)


SHIPPED = profiles_as_shipped()


def with_delivery(profile: Profile, **changes: Any) -> Profile:
    """Return a profile with another way of delivery."""
    base = profile.delivery or Delivery(format="native", transport="https_push")
    return replace(profile, delivery=replace(base, **changes))


@asynccontextmanager
async def house(
    folder: Path,
    *,
    profiles: Mapping[PartnerId, Profile] | None = None,
    policies: PolicySet | None = None,
    clock: FakeClock | None = None,
    url: str | None = None,
    keys: Mapping[PartnerId, Keys] | None = None,
    seed: int = 1,
    store_of: Callable[[Store], Store] = lambda store: store,
    bus: MemoryBus | None = None,
    transports: Mapping[PartnerId, Transport] | None = None,
) -> AsyncIterator[House]:
    """Open a house. `profiles` replace the shipped ones; `url` and `keys` let a second house stand on the first one's ground.

    A second house needs another `seed`, or it makes the ids of the first again. `store_of` may put a store that fails before the real one.
    `transports` take the place of partners in memory.
    """
    clock, dice = clock or FakeClock(), SeededDice(seed)
    profiles = dict(profiles or SHIPPED)
    keys = dict(keys or {id_: Keys.of(id_, clock, PARTNER_USES) for id_ in profiles} | {GATEWAY: Keys.of(GATEWAY, clock, GATEWAY_USES)})
    directory = Directory(profiles.values())
    policies = policies or load_policies(ROOT / "policies", partners=[*profiles, *SHIPPED])
    format_ = bootstrap.load_adapters()["native"].format({"uri_base": BASE})
    grounds = Grounds(
        environment=Environment.TEST, directory=directory, policies=policies, schemas=SCHEMAS, reference=REFERENCE, tables=TABLES,
        shows_conditions={"native": format_.shows_conditions()}, digests={"policies": policies.digest, "rules": TABLES.digest, "reference": REFERENCE.digest, "schemas": SCHEMAS.digest},
    )  # fmt: skip
    own = keys[GATEWAY]
    context = Context(
        gateway=GATEWAY, environment=Environment.TEST, uri_base=BASE,
        keyring=Keyring(pair.entry for id_, k in keys.items() if id_ != GATEWAY for pair in k.pairs.values()),
        decryption_keys=own.decryption, encrypted="required", directory=directory, schemas=SCHEMAS, reference=REFERENCE, tables=TABLES,
    )  # fmt: skip
    world = World(
        context=context, grounds=grounds, signers=Signers(document=own.signing(Use.DOCUMENT), receipt=own.signing(Use.RECEIPT)),
        formats={"native": format_}, contact={"unit": "Test desk", "name": "Desk", "phone": "+442070000000", "email": "desk@gateway.invalid"},
        origin=ORIGIN,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        store = store_of(await stack.enter_async_context(open_store(url or f"sqlite:///{folder}/gateway.db", dev=True)))
        yield await _open(stack, store, world, keys=keys, clock=clock, dice=dice, bus=bus or MemoryBus(), transports=transports or {})


async def _open(
    stack: AsyncExitStack,
    store: Store,
    world: World,
    *,
    keys: Mapping[PartnerId, Keys],
    clock: FakeClock,
    dice: SeededDice,
    bus: MemoryBus,
    transports: Mapping[PartnerId, Transport],
) -> House:
    metrics = Metrics()
    telemetry, holder = Telemetry(metrics), Holder(world)
    safe = Safe(REGISTERS, REFERRALS, dice)
    outgoings = Outgoings(holder, safe, dice)
    settle = Settle(store, holder, outgoings, clock=clock, dice=dice, telemetry=telemetry)
    intake = Intake(store, holder, safe, settle=settle, outgoings=outgoings, clock=clock, dice=dice, telemetry=telemetry)
    sealer = Sealer(holder, safe, telemetry)
    inbox = Inbox(store, sealer, settle=settle, holder=holder, clock=clock)
    private = keys[GATEWAY].pairs[Use.CHECKPOINT].private
    assert isinstance(private, Ed25519PrivateKey)
    signer = CheckpointSigner(GATEWAY, private)
    evidence = Evidence(store)
    next_keys = NextKeys(store, holder, clock=clock, telemetry=telemetry, dev=True)
    requests = Requests(
        store,
        holder,
        intake=intake,
        inbox=inbox,
        query=Query(store, holder, outgoings),
        evidence=evidence,
        keys=next_keys,
        clock=clock,
        telemetry=telemetry,
    )
    made = House(
        clock, dice, store, holder, intake, requests, Seal(store, bus, sealer, settle=settle, holder=holder, clock=clock, telemetry=telemetry),
        settle, inbox, Timers(store, settle, clock=clock), Sequencer(store, signer, clock, holder="house"), evidence, keys, {},
        signer.key, metrics, bus, Escalate(store, holder, outgoings, clock=clock, dice=dice, telemetry=telemetry), next_keys,
        Trust(store, holder, telemetry=telemetry),
    )  # fmt: skip
    made.partners = {
        p.id: Partner(lambda body, id_=p.id: made.open(id_, body))
        for p in world.directory
        if p.delivery and p.delivery.transport != "inbox"
    }
    shards: dict[str, dict[PartnerId, tuple[Transport, float]]] = defaultdict(dict)
    for id_, partner in made.partners.items():
        delivery = world.directory.by_id(id_).delivery
        assert delivery is not None
        shards[delivery.shard][id_] = (transports.get(id_, partner), float(delivery.timeout_seconds))
    stopping = asyncio.Event()
    runs = [Outcomes(bus, settle, telemetry).run(stopping)]
    runs += [Courier(bus, pushed, shard=shard, clock=clock, telemetry=telemetry).run(stopping) for shard, pushed in shards.items()]
    tasks = [asyncio.create_task(run) for run in (*runs, requests.submissions.run(), requests.remembered.run())]

    async def stop() -> None:
        stopping.set()
        for partner in made.partners.values():
            if partner.gate is not None:
                partner.gate.set()  # nobody waits for a partner that hangs
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)
    return made
