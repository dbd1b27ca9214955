"""The clients: registers that submit without a pause and repeat what got no answer, partners that poll.

All they learn goes into the ledger.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.app import topics
from gateway.buses.kafka import KafkaAccess
from gateway.contract.errors import GatewayError
from gateway.contract.values import Jti, PartnerId
from gateway.core import strict_json
from gateway.core.tokens import Verified
from gateway.testing import journeys
from gateway.testing.client import AnswerError, PartnerClient, Response
from gateway.testing.messages import FAULTS
from tests.acceptance.deployment import BORDER, FRANCE, REGISTER, SPAIN, Deployment, Sent, event_of, original_of
from trials.judge import Kind
from trials.ledger import Answer, Arrival, Entry, Ledger, Leg, Stated, Way

ANSWER_SECONDS: Final = 8.0  # then the register asks again, as registers do
PAUSE_SECONDS: Final = 0.1
SUBJECTS: Final = 3  # of each sender: a line has more than one message in it
FAULTY: Final = 0.04  # of all messages
AGAIN: Final = 0.1  # how often a polling partner leaves what it was offered unanswered
PARIS, BANGKOK, MALAGA = journeys.JOURNEYS[0], journeys.JOURNEYS[1], journeys.JOURNEYS[7]
WAYS: Final = (  # who is told of which journey: fr and es are pushed to, nl polls
    (PARIS, Stated(frozenset({FRANCE}))),
    (MALAGA, Stated(frozenset({SPAIN}))),
    (BANGKOK, Stated(frozenset({BORDER}), frozenset({("TH", "NO_PARTNER")}))),
)
REJECTED: Final = Stated(rejection="schema-invalid")
UNREACHABLE: Final = (aiohttp.ClientError, ConnectionError, TimeoutError, ssl.SSLError)


class Load:
    """All clients of one running system. `go` starts the senders, `rest` lets each end what it has begun; partners poll throughout."""

    def __init__(self, gw: Deployment, ledger: Ledger, *, senders: int = 3, channels: int = 3, pause: float = 0.03) -> None:
        """Submit with so many senders over HTTP, and so many on the Kafka channel where there is one; each rests after an answer."""
        self.gw, self.ledger, self.dice = gw, ledger, gw.dice
        self.trial = 0
        self.may_die: frozenset[str] = frozenset()  # partners that refuse documents in this trial
        self._senders, self._channels, self._pause = senders, channels if gw.kafka is not None else 0, pause
        self._going = asyncio.Event()
        self._over = asyncio.Event()  # of a trial: who still waits for an answer gives up
        self._sending: list[asyncio.Task[None]] = []
        self._polling: list[asyncio.Task[None]] = []
        self._rounds = 0
        self.channel: Channel | None = None

    async def open(self) -> None:
        """Begin to poll, and to read results."""
        self._polling = [asyncio.create_task(self._poll(BORDER)), asyncio.create_task(self._poll(REGISTER))]
        if self._channels:
            self.channel = Channel(self.gw, self.ledger)
            self._polling.append(asyncio.create_task(self.channel.read()))

    async def close(self) -> None:
        """End every client."""
        for task in (*self._sending, *self._polling):
            task.cancel()
        await asyncio.gather(*self._sending, *self._polling, return_exceptions=True)
        if self.channel is not None:
            await self.channel.close()

    def go(self, trial: int) -> None:
        """Submit without a pause until `rest`."""
        self.trial = trial
        self._going.set()
        self._over.clear()
        self._rounds += 1
        self._sending = [asyncio.create_task(self._submit(n)) for n in range(self._senders)]
        self._sending += [asyncio.create_task(self._produce(n)) for n in range(self._channels)]

    async def rest(self, seconds: float) -> None:
        """Let each sender get the receipt it waits for, at most `seconds`; who has none by then gives up."""
        self._going.clear()
        _, late = await asyncio.wait(self._sending, timeout=seconds)
        self._over.set()
        for task in late:
            task.cancel()
        for result in await asyncio.gather(*self._sending, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        self._sending = []

    async def look(self, entries: Iterable[Entry]) -> None:
        """Ask what has become of messages, as their sender: a request each, so not before one was told of their ends."""
        async with self.gw.client() as client:
            for entry in entries:
                if entry.receipted_at is None or entry.stated.rejection:
                    continue
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        response = await client.status(Jti(entry.jti))
                except UNREACHABLE:
                    return
                if response.status == 200:
                    legs = [Leg(leg["partner"], leg["jti"], leg["state"], leg["ended_at"] is not None) for leg in response.value["legs"]]
                    self.ledger.status(entry.jti, legs, [(r["country"], r["reason"]) for r in response.value["refusals"]])
                elif response.status == 503:
                    return

    async def elsewhere(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something where the partners' simulators run."""
        await asyncio.to_thread(self.gw.elsewhere.run, work)

    def note(self) -> None:
        """Write down what has come to the partners that are pushed to."""
        self.ledger.again = 0
        for partner, simulator in self.gw.pushed.items():
            for jti, received in simulator.received.copy().items():  # in one step: its server, in another thread, adds to it
                self.ledger.again += received.copies - 1
                if (partner, jti) not in self.ledger.contents and received.verified is not None:
                    self.ledger.arrived(_arrival(partner, received.verified))
            for jti in simulator.conflicts:
                self.ledger.contents[partner, jti].add("another content, refused by the partner")
            if simulator.refused:
                self.ledger.other.append((Kind.UNASKED, f"{partner} could not open {', '.join(simulator.refused)}"))
                simulator.refused.clear()
            simulator.requests.clear()  # a long run would keep all their headers

    def _next(self, way: Way, number: int) -> tuple[Sent, Entry]:
        subject = f"s-{way}-{number}-{self.dice.randrange(SUBJECTS)}"
        ((journey, stated),), faults = self.dice.choices(WAYS, (3, 2, 1)), {}
        if self.dice.random() < FAULTY:
            stated, faults = REJECTED, dict(FAULTS["no handling code"])
        sent = self.gw.message(journey, subject_ref=subject, overrides=faults)
        entry = self.ledger.submits(sent.jti, subject, stated, way, trial=self.trial, at=time.monotonic())
        entry.may_die |= self.may_die & stated.partners
        return sent, entry

    async def _submit(self, number: int) -> None:
        async with self.gw.client() as client:
            while self._going.is_set():
                sent, entry = self._next(Way.HTTP, number)
                try:
                    while entry.is_open and entry.receipted_at is None:
                        await self._ask(client, sent)
                except asyncio.CancelledError:
                    entry.given_up = True
                    raise
                await asyncio.sleep(self._pause)

    async def _ask(self, client: PartnerClient, sent: Sent) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await client.submit(sent.sealed)
        except UNREACHABLE:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        if response.status in {200, 202}:
            self._receipt(client, sent, response.body)
            return
        self.ledger.said(sent.jti, Answer(time.monotonic(), str(response.status), _codes(response)))
        if response.status == 503:
            await asyncio.sleep(PAUSE_SECONDS)
        elif self.ledger.entries[sent.jti].is_open:  # refused, and should not be: judged; repeating would not help
            self.ledger.entries[sent.jti].given_up = True

    def _receipt(self, client: PartnerClient, sent: Sent, receipt: bytes) -> None:
        try:
            statement = client.read_receipt(receipt, sent.jws)
        except GatewayError as exc:
            self.ledger.said(sent.jti, Answer(time.monotonic(), f"a receipt that does not verify: {type(exc).__name__}"))
            self.ledger.entries[sent.jti].given_up = True
            return
        self.ledger.receipted(sent.jti, receipt, statement.leaf or b"", at=time.monotonic())

    async def _produce(self, number: int) -> None:
        if self.channel is None:
            return
        client = self.gw.client()
        while self._going.is_set():
            sent, entry = self._next(Way.KAFKA, number)
            try:
                outcome, value = await self.channel.submit(sent)
            except asyncio.CancelledError:
                entry.given_up = True
                raise
            if outcome in {"accepted", "repeated"}:
                self._receipt(client, sent, value)
            else:
                codes = tuple(problem["code"] for problem in strict_json.parse_object(value)["problems"])
                self.ledger.said(sent.jti, Answer(time.monotonic(), outcome, codes))
            await asyncio.sleep(self._pause)

    async def _poll(self, partner: str) -> None:
        """Poll an inbox as its partner would: open, write down, acknowledge with the next poll."""
        done: list[Jti] = []
        async with self.gw.client(partner) as client:
            while True:
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        batch = await client.poll(ack=done)
                except UNREACHABLE:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                except AnswerError as exc:
                    if exc.args != ("status", 503):
                        self.ledger.other.append((Kind.REFUSAL, f"{partner} polled and got {exc.args}"))
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                done = [jti for jti, raw in batch.sets.items() if self._take(partner, raw)]
                if not batch.sets:
                    await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, partner: str, raw: bytes) -> bool:
        """Write a document down; return whether it is acknowledged."""
        try:
            verified = self.gw.kit(partner).opener.open(raw)
        except GatewayError as exc:
            self.ledger.other.append((Kind.UNASKED, f"{partner} was offered what it cannot open: {type(exc).__name__}"))
            return False
        if partner == REGISTER:
            self._hear(verified)
            return True
        self.ledger.arrived(_arrival(partner, verified))
        return self.dice.random() >= AGAIN

    def _hear(self, verified: Verified) -> None:
        """Take an acknowledgement: which leg of which message ended, and how."""
        event = event_of(verified)
        self.ledger.contents.setdefault((REGISTER, str(verified.jti)), set()).add(verified.digest)
        body = event.get("body", {})
        about = event.get("routing", {}).get("in_response_to", {}).get("jti", "")
        entry = self.ledger.entries.get(about)
        if entry is None or "leg" not in body:
            self.ledger.other.append((Kind.UNASKED, f"{REGISTER} was told of {about or 'nothing'}"))
            return
        entry.told[body["leg"]["jti"]] = body["stage"]


class Channel:
    """The register's side of its two topics: one principal, which may write one and read the other."""

    def __init__(self, gw: Deployment, ledger: Ledger) -> None:
        """Use the principal that the deployment made for the register."""
        if gw.kafka is None or gw.passwords is None:
            raise ValueError("this form has no channel")
        principal = f"register-{REGISTER}"
        password = (gw.passwords / f"{principal}.password").read_text(encoding="utf-8").strip()
        access = KafkaAccess(bootstrap=gw.kafka.bootstrap, user=principal, password=password, ca_file=gw.kafka.ca_file)
        self._options, self._ledger = access.options(), ledger
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._waiting: dict[bytes, asyncio.Future[tuple[str, bytes]]] = {}
        self._next = 0  # offset of the results

    async def submit(self, sent: Sent) -> tuple[str, bytes]:
        """Produce a record until the broker has it, and wait for its result."""
        key = sent.jti.encode()
        result: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[key] = result
        while True:
            try:
                producer = await self._connected()
                async with asyncio.timeout(ANSWER_SECONDS):
                    told = await producer.send_and_wait(topics.submissions(PartnerId(REGISTER)), sent.sealed, key=key)
            except (KafkaError, TimeoutError, OSError):  # whether it is there is unknown: again, under the same jti
                await self._discard()
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                break
        self._ledger.produced[told.partition, told.offset] = sent.jti
        return await result

    async def read(self) -> None:
        """Read results for ever: each names the record it answers."""
        where = TopicPartition(topics.results(PartnerId(REGISTER)), 0)
        while True:
            consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, auto_offset_reset="earliest")
            try:
                await consumer.start()
                consumer.assign([where])
                consumer.seek(where, self._next)
                while True:
                    for record in (await consumer.getmany(timeout_ms=500)).get(where, []):
                        self._result(record)
            except (KafkaError, OSError):
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                with suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(consumer.stop(), 2)

    def _result(self, record: Any) -> None:
        self._next = record.offset + 1
        headers = {name: value.decode() for name, value in record.headers}
        if "offset" not in headers:
            return
        self._ledger.answered[int(headers["partition"]), int(headers["offset"])] = headers["outcome"]
        waiting = self._waiting.get(record.key)
        if waiting is not None and not waiting.done():
            waiting.set_result((headers["outcome"], record.value))

    async def _connected(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True, linger_ms=0, request_timeout_ms=5_000)
                try:
                    await asyncio.wait_for(producer.start(), ANSWER_SECONDS)
                except BaseException:
                    await _quietly(producer.stop())
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _quietly(producer.stop())

    async def close(self) -> None:
        """Close the connections."""
        await self._discard()


async def _quietly(end: Coroutine[Any, Any, None]) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(end, 3)


def _arrival(partner: str, verified: Verified) -> Arrival:
    event = event_of(verified)
    subject = event.get("subject", {}).get("ref", "")
    return Arrival(partner, str(verified.jti), verified.digest, str(original_of(verified)), subject, time.monotonic())


def _codes(response: Response) -> tuple[str, ...]:
    return tuple(fault["code"] for fault in response.problems)


def dice_of(seed: int, kind: str, number: int) -> Random:
    """Return the dice of one trial: the same seed, kind and number throw the same."""
    return Random(f"{seed}/{kind}/{number}")  # noqa: S311 -- moments, not secrets
