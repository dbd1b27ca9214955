"""A real Apache Kafka for tests: one KRaft node from its Maven jars, SASL_SSL with SCRAM-SHA-512, StandardAuthorizer.

`python -m tests.services.kafka` starts one and keeps it until Ctrl-C.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ConfigResource, ResourcePatternType

from tests.services.certificates import make_certificates
from tests.services.processes import UnavailableError, free_port, stop, wait_for_port

POM = Path(__file__).with_name("pom.xml")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "notification-gateway"
ADMIN = "admin"
SHIPPED = Path(__file__).parents[2] / "deploy" / "kafka" / "server.properties"  # what docker-compose.yml starts
JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required"
LOG4J = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
"""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach the broker as its first principal, which may do everything."""

    bootstrap: str
    ca_file: str
    user: str = ADMIN
    password: str = field(default="", repr=False)
    pid: int = 0  # 0: not ours to stop
    folder: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the broker that the environment names, if it names one."""
        bootstrap = environment.get("GATEWAY_TEST_KAFKA_BOOTSTRAP")
        if not bootstrap:
            return None
        ca, user, password = (environment[f"GATEWAY_TEST_KAFKA_{name}"] for name in ("CA", "USER", "PASSWORD"))
        return cls(bootstrap, ca, user, password)

    @property
    def environment(self) -> dict[str, str]:
        """What `from_environment` reads: lets another test run use this broker."""
        values = {"BOOTSTRAP": self.bootstrap, "CA": self.ca_file, "USER": self.user, "PASSWORD": self.password}
        return {f"GATEWAY_TEST_KAFKA_{name}": value for name, value in values.items()}

    def confluent(self, user: str = "", password: str = "") -> dict[str, str | int | float | bool]:
        """Return the settings as librdkafka names them; for another principal where `user` is given."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user or self.user,
            "sasl.password": password if user else self.password,
            "ssl.ca.location": self.ca_file,
        }


def kafka_version() -> str:
    """Return the version that `pom.xml` pins."""
    found = re.search(r"<kafka\.version>([\w.]+)</kafka\.version>", POM.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"{POM} pins no kafka.version")
    return found[1]


def kafka_jars() -> Path:
    """Return the folder with the broker's jars; Maven fetches them once. Raises `UnavailableError`."""
    ready = CACHE / f"kafka-{kafka_version()}"
    if ready.is_dir():
        return ready
    mvn = shutil.which("mvn")
    if mvn is None:
        raise UnavailableError("Kafka: no `mvn` to fetch the broker's jars with")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as part:
        jars = Path(part) / "jars"
        command = [mvn, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            raise UnavailableError(f"Kafka: Maven could not fetch the jars:\n{done.stdout[-2000:]}")
        try:
            jars.rename(ready)  # in one step: a broken fetch leaves nothing that looks ready
        except OSError:
            if not ready.is_dir():  # else another run was quicker
                raise
    return ready


def java(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs one of the broker's programs. Raises `UnavailableError`."""
    program = shutil.which("java")
    if program is None:
        raise UnavailableError("Kafka: no `java` on PATH (17 or later)")
    options = [
        "-Xms256m",
        "-Xmx768m",
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={folder}/log4j2.properties",
    ]
    return [program, *options, "-cp", f"{kafka_jars()}/*", *arguments]


class KafkaServer:
    """One broker in a folder of its own; can be stopped, killed and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "kafka.log"
        self.pid = 0
        self._password = secrets.token_urlsafe(18)

    @property
    def settings(self) -> KafkaSettings:
        """How to reach it."""
        return KafkaSettings(f"localhost:{self.port}", str(self.folder / "ca.pem"), ADMIN, self._password, self.pid, str(self.folder))

    def format(self) -> None:
        """Write certificates and properties, and format the data folder with the first principal in it."""
        make_certificates(self.folder, "broker")
        text = "\n".join(f"{name}={value}" for name, value in self._properties().items())
        (self.folder / "server.properties").write_text(text, encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(LOG4J, encoding="utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        scram = f"SCRAM-SHA-512=[name={ADMIN},password={self._password}]"
        tool = [
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            f"{self.folder}/server.properties",
            "--add-scram",
            scram,
        ]
        done = subprocess.run(java(self.folder, *tool), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")

    def _properties(self) -> dict[str, str]:
        """Return the shipped settings with ports and folders of this run, and what makes a small broker quick."""
        lines = [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        controller = f"127.0.0.1:{free_port()}"
        return dict(line.split("=", 1) for line in lines) | {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"SASL_SSL://127.0.0.1:{self.port},CONTROLLER://{controller}",
            "advertised.listeners": f"SASL_SSL://127.0.0.1:{self.port}",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f'{JAAS} username="{ADMIN}" password="{self._password}";',
            "ssl.keystore.location": f"{self.folder}/server.pem",
            "ssl.truststore.location": f"{self.folder}/ca.pem",
            "log.dirs": f"{self.folder}/data",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "1",
        }

    def start(self) -> None:
        """Start the broker and return when it takes connections."""
        command = java(self.folder, "kafka.Kafka", f"{self.folder}/server.properties")
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = process.pid
        process.returncode = 0  # collected by processes.alive: Popen must not warn about it
        wait_for_port(self.port, pid=self.pid, log=self.log)

    def stop(self) -> None:
        """Stop it in order."""
        stop(self.pid)

    def kill(self) -> None:
        """End it as a power cut would."""
        stop(self.pid, by=signal.SIGKILL)


def wipe(settings: KafkaSettings) -> None:
    """Delete our topics, all groups without members and all access rules: the next test starts with a bare broker."""
    admin = AdminClient(settings.confluent())
    every = AclBindingFilter(ConfigResource.Type.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    topics = _our_topics(admin)
    groups = [group.group_id for group in admin.list_consumer_groups().result(timeout=20).valid]
    jobs = [*admin.delete_acls([every]).values()]
    jobs += admin.delete_topics(topics).values() if topics else ()
    for job in jobs:
        job.result(timeout=20)
    for job in (admin.delete_consumer_groups(groups) if groups else {}).values():
        job.exception(timeout=20)  # a group whose members have not left yet stays
    end = time.monotonic() + 20
    while (_our_topics(admin) or admin.describe_acls(every).result(timeout=20)) and time.monotonic() < end:
        time.sleep(0.05)  # the broker follows its controller


def _our_topics(admin: AdminClient) -> list[str]:
    return [name for name in admin.list_topics(timeout=20).topics if name.startswith("gw.")]


@contextmanager
def kafka_service(folder: Path | None = None) -> Iterator[KafkaSettings]:
    """Start a broker, stop it at the end. Raises `UnavailableError` where this machine cannot run one."""
    kafka_jars()
    with tempfile.TemporaryDirectory(prefix="gateway-kafka-", dir=folder) as name:
        server = KafkaServer(Path(name))
        server.format()
        try:
            server.start()
            yield server.settings
        finally:
            if server.pid:
                server.stop()


def main(arguments: list[str]) -> None:
    """Run one until Ctrl-C and print how to reach it; with `--fetch` only fetch the jars, so that no test waits for that."""
    if arguments == ["--fetch"]:
        try:
            print(f"Apache Kafka {kafka_version()} in {kafka_jars()}")  # noqa: T201
        except UnavailableError as exc:
            print(exc)  # noqa: T201 -- the tests that need it will skip or fail with the same words
        return
    with kafka_service() as settings:
        print("\n".join(f"{key}={value}" for key, value in asdict(settings).items()))  # noqa: T201
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
