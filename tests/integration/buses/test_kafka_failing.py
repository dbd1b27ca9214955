"""A broker whose disk is full, whose certificate has expired, whose name does not resolve: an edge and an inner over it.

Nothing is accepted meanwhile, readiness is false, what was acknowledged is still there, and all goes on by itself.
"""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.app.ports import BusUnavailableError, DeskUnavailableError, Outgoing, Question
from gateway.app.topics import OUTCOMES, REPLIES, REQUESTS
from gateway.buses.kafka import KafkaAccess, KafkaBus
from gateway.buses.requests import BusDesk, RequestServer
from tests.integration.buses.asking import Silent, SystemTime, echo
from tests.services.certificates import make_certificates
from tests.services.fixtures import not_to_be_had
from tests.services.kafka import KafkaServer, KafkaSettings, kafka_jars
from tests.services.processes import UnavailableError, alive

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
ANSWER_SECONDS = 4.0
BACK_SECONDS = 60.0
DISK_MEGABYTES = 24
NAME = "broker.gateway-test"  # in no name server
HERE = Path(__file__).parents[3]


def access(settings: KafkaSettings) -> KafkaAccess:
    return KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file)


class Gateway:
    """An edge and an inner, each with a bus of its own."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.edge, self.inner = KafkaBus(access(settings)), KafkaBus(access(settings))
        self.desk = BusDesk(self.edge, SystemTime(), Silent(), static_id="edge-1")
        self.server = RequestServer(self.inner, echo, SystemTime(), Silent())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.desk.run()), asyncio.create_task(self.server.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.edge.close()
            await self.inner.close()

    async def ask(self) -> bool:
        """Say whether a question was answered; one that was not is a 503."""
        try:
            deadline = datetime.now(UTC) + timedelta(seconds=ANSWER_SECONDS)
            return (await self.desk.ask(Question(kind="submit", body=b"b"), deadline=deadline)).body == b"b"
        except DeskUnavailableError:
            return False

    async def until_answered(self) -> None:
        async with asyncio.timeout(BACK_SECONDS):
            while not await self.ask():
                await asyncio.sleep(0.2)

    async def is_out(self) -> None:
        """See that it says 503 in time, that readiness is false, and that what it publishes is not taken for published."""
        start = time.monotonic()
        assert not await self.ask()
        assert time.monotonic() - start < ANSWER_SECONDS + 2
        for bus in (self.edge, self.inner):
            with pytest.raises(BusUnavailableError):
                await bus.check()
        with pytest.raises(BusUnavailableError):
            await self.inner.publish([Outgoing(OUTCOMES, b"k", b"not acknowledged")])


@asynccontextmanager
async def gateway(settings: KafkaSettings) -> AsyncIterator[Gateway]:
    """Start one and see that it answers."""
    made = Gateway(settings)
    async with made.running():
        await made.until_answered()
        yield made


async def read_all(settings: KafkaSettings, wanted: set[bytes]) -> list[bytes]:
    """Read the outcomes until all that is wanted was there."""
    bus, found = KafkaBus(access(settings)), list[bytes]()
    async with bus.subscribe([OUTCOMES], group="gw.inner.reader") as reader, asyncio.timeout(BACK_SECONDS):
        while not wanted <= set(found):
            found += [record.value for record in await reader.batch(max_records=500, wait_seconds=0.5)]
    await bus.close()
    return found


@pytest.fixture
def stopped(tmp_path: Path) -> KafkaServer:
    """A broker of this test's own that was not formatted yet."""
    try:
        kafka_jars()
    except UnavailableError as exc:
        not_to_be_had(str(exc))
    return KafkaServer(tmp_path)


def begin(server: KafkaServer) -> None:
    server.start()
    topics = [NewTopic(name, 2, 1) for name in (REQUESTS, REPLIES, OUTCOMES)]
    admin = AdminClient(server.settings.confluent())
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)


@pytest.fixture
def on_a_small_disk(stopped: KafkaServer) -> Iterator[KafkaServer]:
    data = stopped.folder / "data"
    data.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(data))
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        not_to_be_had(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        stopped.format()
        begin(stopped)
        yield stopped
        stopped.stop()
    finally:
        subprocess.run(("umount", "-l", str(data)), check=False)


async def fill(bus: KafkaBus, kept: set[bytes]) -> None:
    """Publish more than the disk takes; `kept` gets what was acknowledged."""
    for number in range(DISK_MEGABYTES * 4):
        value = b"%06d" % number + os.urandom(500_000)
        await bus.publish([Outgoing(OUTCOMES, b"k", value)])
        kept.add(value)


async def test_a_full_disk_stops_the_broker_and_nothing_that_it_acknowledged_is_lost(on_a_small_disk: KafkaServer) -> None:
    server = on_a_small_disk
    async with gateway(server.settings) as gw:
        kept: set[bytes] = set()
        with pytest.raises(BusUnavailableError):
            await fill(gw.inner, kept)
        assert kept
        async with asyncio.timeout(30):
            while alive(server.pid):
                await asyncio.sleep(0.1)
        await gw.is_out()
        resized = subprocess.run(("mount", "-o", f"remount,size={DISK_MEGABYTES * 4}m", str(server.folder / "data")), check=False)
        assert resized.returncode == 0
        await asyncio.to_thread(server.start)
        await gw.until_answered()
    assert kept <= set(await read_all(server.settings, kept))


@pytest.fixture
def ready(stopped: KafkaServer) -> Iterator[KafkaServer]:
    stopped.format()
    begin(stopped)
    yield stopped
    stopped.stop()


@asynccontextmanager
async def expired_instead(server: KafkaServer, certificate: Path) -> AsyncIterator[None]:
    """Answer in the broker's place with a certificate that is over. The broker itself refuses to start with one; it runs on until one ends."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(hang_up, "127.0.0.1", server.port, ssl=context):
        yield


async def test_a_certificate_that_has_expired_is_an_outage_until_it_is_renewed(ready: KafkaServer) -> None:
    (ready.folder / "other").mkdir()
    authority, expired = make_certificates(ready.folder / "other", "broker", life=-timedelta(minutes=5))
    both = ready.folder / "both.pem"
    both.write_bytes(Path(ready.settings.ca_file).read_bytes() + authority.read_bytes())  # its authority is trusted: its age is the fault
    settings = replace(ready.settings, ca_file=str(both))
    forgotten: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context["message"]))
    async with gateway(settings) as gw:
        await gw.inner.publish([Outgoing(OUTCOMES, b"k", b"kept")])
        await asyncio.to_thread(ready.stop)
        async with expired_instead(ready, expired):
            with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
                await asyncio.open_connection("localhost", ready.port, ssl=ssl.create_default_context(cafile=both))
            await gw.is_out()
        await asyncio.to_thread(ready.start)
        await gw.until_answered()
    assert await read_all(settings, {b"kept"}) == [b"kept"]
    gc.collect()
    assert forgotten == []  # an outage leaves no error in the log that nobody can place


PROBE = """
import asyncio, os
from gateway.app.ports import Outgoing
from gateway.app.topics import OUTCOMES
from tests.integration.buses.test_kafka_failing import Gateway
from tests.services.kafka import KafkaSettings

async def main():
    print("up", flush=True)
    gw = Gateway(KafkaSettings.from_environment(os.environ))
    async with gw.running():
        await gw.is_out()
        print("out", flush=True)
        await gw.until_answered()
        await gw.inner.publish([Outgoing(OUTCOMES, b"k", b"from afar")])
        print("in", flush=True)

asyncio.run(main())
"""


async def test_a_name_that_does_not_resolve_is_an_outage_until_it_does(ready: KafkaServer, tmp_path: Path) -> None:
    """In a mount namespace of its own, where only this process sees which names there are; there is no name server."""
    await asyncio.to_thread(ready.stop)
    make_certificates(ready.folder, "broker", hosts=("localhost", NAME))
    await asyncio.to_thread(ready.start)
    hosts, nobody = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")
    nobody.touch()
    inside = f'mount --bind "{hosts}" /etc/hosts && {{ mount --bind "{nobody}" /etc/resolv.conf || true; }} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-c", PROBE]
    afar = replace(ready.settings, bootstrap=f"{NAME}:{ready.port}").environment
    probe = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, env=dict(os.environ) | afar, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert probe.stdout is not None
    try:
        async with asyncio.timeout(2 * BACK_SECONDS):
            if await probe.stdout.readline() != b"up\n":
                not_to_be_had("no mount namespace can be made here")
            assert await probe.stdout.readline() == b"out\n"
            with hosts.open("a", encoding="utf-8") as file:
                file.write(f"127.0.0.1 {NAME}\n")
            assert await probe.stdout.readline() == b"in\n"
            assert await probe.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            probe.kill()
        await probe.wait()
    assert await read_all(ready.settings, {b"from afar"}) == [b"from afar"]
