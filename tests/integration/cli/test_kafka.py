"""`gateway kafka setup`: exit codes, what it says, and what must not exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from gateway.buses.kafka_plan import WAIVER
from gateway.cli.kafka import app
from tests.services.kafka import KafkaSettings
from tests.services.processes import free_port

ALONE = ("--replicas", "1", "--in-sync", "1", "--partitions", "2", "--edges", "2")
WAIVED = ("--environment", "TEST", "--waive", WAIVER)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["setup", *arguments])


def reach(kafka: KafkaSettings, folder: Path) -> tuple[str, ...]:
    password = folder / "admin.password"
    password.write_text(kafka.password, encoding="utf-8")
    return ("--bootstrap", kafka.bootstrap, "--user", kafka.user, "--password-file", str(password), "--ca-file", kafka.ca_file)


@pytest.mark.services
def test_check_reports_and_creates_nothing_then_setup_creates_and_check_is_content(clean_kafka: KafkaSettings, tmp_path: Path) -> None:
    users = tmp_path / "users"
    common = (*reach(clean_kafka, tmp_path), *ALONE, *WAIVED, "--register", "gb-register=86400", "--create-users", str(users))
    admin = AdminClient(clean_kafka.confluent())

    checked = run(*common, "--check")
    assert checked.exit_code == 1
    assert "wanting: gw.submissions.gb-register: wanted a topic, found none" in checked.stderr
    assert not users.exists()
    assert [name for name in admin.list_topics(timeout=10).topics if name.startswith("gw.")] == []

    made = run(*common)
    assert made.exit_code == 0
    assert "created: topic gw.requests" in made.stdout
    assert sorted(file.name for file in users.iterdir()) == [
        f"{name}.password" for name in ("courier-main", "edge", "inner", "register-gb-register")
    ]
    assert not any(file.read_text(encoding="utf-8") in made.output for file in users.iterdir())

    again = run(*common, "--check")
    assert (again.exit_code, again.stderr) == (0, "")


@pytest.mark.services
def test_a_broker_with_one_copy_is_wanting_in_production(clean_kafka: KafkaSettings, tmp_path: Path) -> None:
    assert run(*reach(clean_kafka, tmp_path), *ALONE, *WAIVED).exit_code == 0
    production = run(*reach(clean_kafka, tmp_path), "--check", "--partitions", "2", "--edges", "2")
    assert production.exit_code == 1
    assert "wanting: gw.requests: wanted 3 replicas or more, found 1" in production.stderr
    assert "wanting: gw.requests min.insync.replicas: wanted at least 2, found 1" in production.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(ALONE, WAIVER, id="one-replica-without-a-waiver"),
        pytest.param((*ALONE, "--waive", WAIVER), WAIVER, id="a-waiver-in-production"),
        pytest.param((*ALONE, "--environment", "TEST", "--waive", "all"), WAIVER, id="a-waiver-of-another-name"),
        pytest.param(("--register", "GB.register"), "topic names", id="a-register-with-a-dot"),
        pytest.param(("--register", "gb-register=soon"), "soon", id="an-age-that-is-no-number"),
    ],
)
def test_an_impossible_wish_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    nobody = KafkaSettings(f"127.0.0.1:{free_port()}", str(tmp_path / "admin.password"))
    result = run(*reach(nobody, tmp_path), *arguments)
    assert result.exit_code == 2
    assert says in result.stderr.replace("\n", "")


@pytest.mark.services
def test_a_wrong_password_is_no_answer(clean_kafka: KafkaSettings, tmp_path: Path) -> None:
    arguments = reach(clean_kafka, tmp_path)
    (tmp_path / "admin.password").write_text("wrong", encoding="utf-8")
    result = run(*arguments, *ALONE, *WAIVED)
    assert result.exit_code == 4
    assert "the broker does not answer" in result.stderr
