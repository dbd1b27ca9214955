"""The script that starts the broker of docker-compose.yml, run with the same programs from Maven's jars."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.services.certificates import make_certificates
from tests.services.fixtures import not_to_be_had
from tests.services.kafka import LOG4J, SHIPPED, KafkaSettings, java
from tests.services.processes import UnavailableError, free_port, stop, wait_for_port

pytestmark = pytest.mark.services
START = SHIPPED.with_name("start.sh")


def programs(home: Path) -> None:
    """Lay out what the image has under /opt/kafka/bin."""
    (home / "bin").mkdir(parents=True)
    (home / "log4j2.properties").write_text(LOG4J, encoding="utf-8")
    for name, main in (("kafka-storage.sh", "kafka.tools.StorageTool"), ("kafka-server-start.sh", "kafka.Kafka")):
        script = home / "bin" / name
        script.write_text(f'#!/bin/bash\nexec {shlex.join(java(home, main))} "$@"\n', encoding="utf-8")
        script.chmod(0o755)


def test_the_shipped_script_formats_once_and_starts_again_with_its_data(tmp_path: Path) -> None:
    try:
        programs(tmp_path / "kafka")
    except UnavailableError as exc:
        not_to_be_had(str(exc))
    secrets, settings, port, controller = tmp_path / "secrets", tmp_path / "settings", free_port(), free_port()
    secrets.mkdir()
    settings.mkdir()
    ca, server = make_certificates(secrets, "broker")
    (secrets / "kafka_admin.password").write_text("not-a-real-password", encoding="utf-8")
    text = SHIPPED.read_text(encoding="utf-8").replace("0.0.0.0:9093", f"127.0.0.1:{port}").replace("kafka:9093", f"127.0.0.1:{port}")
    text = text.replace("127.0.0.1:9094", f"127.0.0.1:{controller}").replace("/var/lib/kafka/data", f"{tmp_path}/data")
    text = text.replace("/run/secrets/kafka_server.pem", str(server)).replace("/run/secrets/kafka_ca.pem", str(ca))
    (settings / "server.properties").write_text(text, encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "KAFKA_HOME": str(tmp_path / "kafka"),
        "KAFKA_CLUSTER_ID": "Z2F0ZXdheS1vbmUtaG9zdA",
        "SECRETS_DIRECTORY": str(secrets),
        "SETTINGS_DIRECTORY": str(settings),
        "TMPDIR": str(tmp_path),
    }
    log = tmp_path / "kafka.log"
    for _ in range(2):
        with log.open("ab") as out:
            process = subprocess.Popen([shutil.which("bash") or "bash", str(START)], env=environment, stdout=out, stderr=out)
        try:
            wait_for_port(port, pid=process.pid, log=log)
            settings_of = KafkaSettings(f"127.0.0.1:{port}", str(ca), "admin", "not-a-real-password")
            admin = AdminClient(settings_of.confluent())
            assert len(admin.list_topics(timeout=20).brokers) == 1
        finally:
            stop(process.pid)
            process.returncode = 0
