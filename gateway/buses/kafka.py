"""The bus of the scaled-out form: Apache Kafka through aiokafka, idempotent, all acknowledgements, commits by hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from gateway.app.ports import BusUnavailableError, NoPartitionError, Outgoing, Record
from gateway.contract.errors import InvariantError, OperatorError
from gateway.core.limits import RECORD_BYTES_MAX

PUBLISH_SECONDS_MAX: Final = 10.0  # then "unknown": the row is the truth and will be published again
CONNECT_SECONDS_MAX: Final = 30.0  # to join a group: a member that died holds its partitions for SESSION_SECONDS
COMMIT_SECONDS_MAX: Final = 10.0  # then the records come again
FORGET_SECONDS_MAX: Final = 10.0  # then they stay, until asked again
CLOSE_SECONDS_MAX: Final = 2.0  # to flush; what is left counts as unknown
SESSION_SECONDS: Final = 6  # a dead member's partitions move after this (a broker's own minimum); a static member is back sooner
FETCH_WAIT_MILLISECONDS: Final = 50  # measured: 5 to 20 ms at the median for request and reply
FETCH_BYTES_MAX: Final = 16 * 1024 * 1024  # held in memory by one member at most, about
BATCH_BYTES_MAX: Final = 256 * 1024  # measured: twice the records a second of the 16 KiB default
OVERHEAD_BYTES_MAX: Final = 16 * 1024  # key, headers and the batch around the largest value


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """How one principal reaches the broker."""

    bootstrap: str  # host:port, comma separated
    security: Literal["SASL_SSL", "PLAINTEXT"] = "SASL_SSL"  # PLAINTEXT is for the dev profile: settings refuse it elsewhere
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None  # None: the system's authorities
    client_id: str = "gateway"
    static_id: str | None = None  # of the process: the member's name in every group it joins

    def options(self) -> dict[str, Any]:
        """Return the arguments that producer and consumer share."""
        common: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "client_id": self.client_id, "security_protocol": self.security}
        if self.security == "PLAINTEXT":
            return common
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        sasl = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": self.user, "sasl_plain_password": self.password}
        return common | sasl | {"ssl_context": context}


@asynccontextmanager
async def _answering(seconds: float) -> AsyncIterator[None]:
    """Turn what the client library throws, and silence, into `BusUnavailableError`.

    The library passes on that a task of its own was cancelled, as when a broker dies while a group is joined. Nobody has cancelled us then:
    not since we asked, for who cleans up after a cancellation asks, too.
    """
    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise BusUnavailableError("no answer in time") from exc
    except (KafkaError, ConsumerStoppedError, OSError) as exc:
        raise BusUnavailableError(type(exc).__name__) from exc
    except asyncio.CancelledError as exc:
        if task is None or task.cancelling() > cancelled:
            raise
        raise BusUnavailableError("the client library gave up") from exc


class KafkaBus:
    """A `Bus` on Apache Kafka. The producer connects on first use and is replaced after a failure."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._admin: AIOKafkaAdminClient | None = None
        self._forgetting = asyncio.Lock()
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish, and return when every in-sync replica has all records.

        Raises `BusUnavailableError` (whether a record arrived is unknown), `InvariantError` for a record that is too large.
        """
        for record in records:
            if len(record.value) > RECORD_BYTES_MAX:
                raise InvariantError(record.topic, len(record.value))
        producer = await self._connected()
        try:
            async with _answering(PUBLISH_SECONDS_MAX):
                await _check_partitions(producer, records)
                pending = [await self._send(producer, record) for record in records]
                await asyncio.gather(*pending)
        except NoPartitionError:
            raise
        except BusUnavailableError:
            await self._discard(producer)
            raise

    def subscribe(self, topics: Sequence[str], *, group: str, static_id: str | None = None) -> KafkaSubscription:
        """Join a consumer group on topics; with `static_id` a quick restart moves no partition."""
        return KafkaSubscription(self._access, topics, group=group, static_id=static_id or self._access.static_id)

    async def forget(self, records: Sequence[Record]) -> None:
        """Delete these records and all before them in their partitions, for every group. Raises `BusUnavailableError`: ask again."""
        before = {place: RecordsToDelete(before_offset=end) for place, end in _after(records).items()}
        async with self._forgetting, _answering(FORGET_SECONDS_MAX):
            if self._closed:
                raise BusUnavailableError("closed")
            new = self._admin is None
            admin = self._admin = self._admin or AIOKafkaAdminClient(**self._access.options())
            try:
                if new:
                    await admin.start()
                await admin.delete_records(before)
            except BaseException:  # cancelled, too: the next one begins with a connection that is well
                self._admin = None
                await admin.close()
                raise

    async def check(self) -> None:
        """Ask the broker for its metadata. Raises `BusUnavailableError`."""
        producer = await self._connected()
        async with _answering(PUBLISH_SECONDS_MAX):
            await producer.client.fetch_all_metadata()

    async def close(self) -> None:
        """Flush for a few seconds and disconnect."""
        self._closed = True
        if self._producer is not None:
            await self._discard(self._producer)
        async with self._forgetting:
            if self._admin is not None:
                await self._admin.close()

    async def _connected(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._closed:
                raise BusUnavailableError("closed")
            if self._producer is None:
                self._producer = await self._new_producer()
            return self._producer

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._access.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=RECORD_BYTES_MAX + OVERHEAD_BYTES_MAX,
        )
        try:
            async with _answering(CONNECT_SECONDS_MAX):
                await producer.start()
        except BaseException:  # cancelled, too: an open connection must not stay behind
            await _stop(producer)
            raise
        return producer

    async def _send(self, producer: AIOKafkaProducer, record: Outgoing) -> asyncio.Future[Any]:
        headers = [(name, value.encode()) for name, value in record.headers.items()]
        sent: asyncio.Future[Any] = await producer.send(
            record.topic, record.value, key=record.key or None, partition=record.partition, headers=headers
        )
        return sent

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        """Let go of a producer that failed: its pending records must not appear much later."""
        if self._producer is producer:
            self._producer = None
        await _stop(producer)


async def _check_partitions(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
    for topic, partition in {(record.topic, record.partition) for record in records if record.partition is not None}:
        if partition not in await producer.partitions_for(topic):
            raise NoPartitionError(topic, partition)


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client in order; one that cannot flush or leave in time is cut off."""
    with suppress(BusUnavailableError):
        async with _answering(CLOSE_SECONDS_MAX):
            if isinstance(client, AIOKafkaProducer):
                await client.flush()  # not left to `stop`: its own has no end where a broker does not answer
            await client.stop()
            return
    if isinstance(client, AIOKafkaProducer):
        await _cut_off_producer(client)
    else:
        await _cut_off_consumer(client)


async def _cut_off_producer(producer: AIOKafkaProducer) -> None:
    """End what runs for a producer that cannot flush: it would reconnect, and publish what its caller has given up.

    Each part by itself, for the first may fail: before a broker that stands still, connections and tasks would stay behind at each attempt.
    """
    producer._closed = True  # noqa: SLF001 -- the library has no public way to let go without a flush
    for close in (producer._sender.close, producer.client.close):  # noqa: SLF001 -- same
        with suppress(BusUnavailableError):
            async with _answering(CLOSE_SECONDS_MAX):
                await close()


async def _cut_off_consumer(consumer: AIOKafkaConsumer) -> None:
    """End what a `stop` that was cut short leaves running: it would reconnect, and fetch for nobody, as long as this process lives."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 -- the library has no public way to go without a goodbye
    tasks = {coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task} if coordinator else set()  # noqa: SLF001
    tasks |= {fetcher._fetch_task, *fetcher._pending_tasks} if fetcher else set()  # noqa: SLF001 -- same
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    with suppress(BusUnavailableError):
        async with _answering(CLOSE_SECONDS_MAX):
            await asyncio.gather(*running, return_exceptions=True)
    with suppress(BusUnavailableError):
        async with _answering(CLOSE_SECONDS_MAX):
            await consumer._client.close()  # noqa: SLF001 -- same


def _leave_for_good(consumer: AIOKafkaConsumer) -> None:
    """Have `stop` leave the group where the member is static, too: the library lets such a one wait for the end of its session."""
    if consumer._coordinator is not None:  # noqa: SLF001 -- the library has no public way
        consumer._coordinator._group_instance_id = None  # noqa: SLF001 -- same


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    """Tells a subscription what it owns."""

    def __init__(self, subscription: KafkaSubscription) -> None:
        self._subscription = subscription

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Do nothing: in an eager rebalance everything is revoked, and mostly given back at once."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note what is owned from now on."""
        self._subscription.assign(assigned)


class KafkaSubscription:
    """A member of a consumer group."""

    def __init__(self, access: KafkaAccess, topics: Sequence[str], *, group: str, static_id: str | None) -> None:
        self._access = access
        self._topics = list(topics)
        self._group = group
        self._static_id = static_id
        self._consumer: AIOKafkaConsumer | None = None
        self._owned: frozenset[TopicPartition] = frozenset()
        self._read: dict[TopicPartition, int] = {}  # first offset read or committed since the partition is ours: no commit goes below

    async def __aenter__(self) -> Self:
        """Join, and wait for the first assignment. Raises `BusUnavailableError`."""
        self._consumer = AIOKafkaConsumer(
            **self._access.options(),
            group_id=self._group,
            group_instance_id=self._static_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_SECONDS * 1000,
            heartbeat_interval_ms=SESSION_SECONDS * 1000 // 3,
            fetch_max_wait_ms=FETCH_WAIT_MILLISECONDS,
            fetch_max_bytes=FETCH_BYTES_MAX,
        )
        self._consumer.subscribe(self._topics, listener=_Listener(self))
        try:
            async with _answering(CONNECT_SECONDS_MAX):
                await self._consumer.start()
        except BaseException:  # cancelled, too: an open connection must not stay behind
            await _stop(self._consumer)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave; nothing uncommitted is committed.

        Who goes because it was told to leaves the group at once, so that others serve its partitions from now on. After a failure a
        static member keeps its place: it is about to come back.
        """
        self._owned = frozenset()
        if self._consumer is not None:
            if not isinstance(exc[1], OperatorError):
                _leave_for_good(self._consumer)
            await _stop(self._consumer)

    async def batch(self, *, max_records: int, wait_seconds: float) -> list[Record]:
        """Return what is there, waiting at most `wait_seconds` for the first record. Raises `BusUnavailableError`."""
        async with _answering(wait_seconds + CONNECT_SECONDS_MAX):
            found: Mapping[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = await self._joined.getmany(
                timeout_ms=int(wait_seconds * 1000), max_records=max_records
            )
        for place, records in found.items():
            self._read.setdefault(place, records[0].offset)
        return [_record(record) for records in found.values() for record in records]

    async def commit(self, records: Sequence[Record]) -> None:
        """Say that these records are done, up to the highest offset of each partition that is still ours.

        Raises `BusUnavailableError`: the records come again.
        """
        done = {place: end for place, end in _after(records).items() if place in self._owned and end > self._read.get(place, end)}
        if not done:
            return
        async with _answering(COMMIT_SECONDS_MAX):
            # A rebalance came between: the records come again, to whoever has the partition now.
            with suppress(CommitFailedError, IllegalStateError):
                await self._joined.commit(done)
                self._read.update(done)

    def owned(self, topic: str) -> frozenset[int]:
        """Return the partitions this member owns, as of the last completed rebalance."""
        return frozenset(place.partition for place in self._owned if place.topic == topic)

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """Own exactly these partitions from now on; reading starts again at what is committed."""
        self._owned = frozenset(places)
        self._read = {}

    @property
    def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BusUnavailableError("not joined")
        return self._consumer


def _record(raw: ConsumerRecord[bytes, bytes]) -> Record:
    headers = {name: value.decode(errors="replace") for name, value in raw.headers if value is not None}
    return Record(raw.topic, raw.key or b"", raw.value or b"", headers, raw.partition, raw.offset)


def _after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Return the offset after the highest of each partition: what a commit says."""
    ends: dict[TopicPartition, int] = {}
    for record in records:
        place = TopicPartition(record.topic, record.partition)
        ends[place] = max(ends.get(place, 0), record.offset + 1)
    return ends
