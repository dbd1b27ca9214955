"""Both forms of the gateway, started once; a test that asks for `gw` runs on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.deployment import Deployment, embedded, reset, scaled_out
from tests.services.fixtures import KafkaSettings, not_to_be_had
from tests.services.kafka import kafka_service, wipe
from tests.services.postgres import PostgresSettings, create_database, drop_database
from tests.services.processes import UnavailableError

FORMS = ["embedded", pytest.param("scaled", marks=pytest.mark.services)]


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder) as one:
            yield one
        return
    kafka: KafkaSettings = request.getfixturevalue("kafka")
    postgres: PostgresSettings = request.getfixturevalue("postgres")
    wipe(kafka)
    database = asyncio.run(create_database(postgres))
    try:
        with scaled_out(folder, kafka, postgres, database) as one:
            yield one
    finally:
        asyncio.run(drop_database(postgres, database))


@pytest.fixture
def gw(deployed: Deployment) -> Iterator[Deployment]:
    """The gateway in one of its forms, with partners that behave well."""
    yield deployed
    reset(deployed)


@pytest.fixture
def scaled(deployed: Deployment) -> Deployment:
    """The scaled-out form alone."""
    return deployed


@pytest.fixture(scope="session")
def broker_apart() -> Iterator[KafkaSettings]:
    """A broker apart from the shared one: the gateway on that runs until all tests have ended, and would answer and carry for others."""
    try:
        with kafka_service() as settings:
            yield settings
    except UnavailableError as exc:
        not_to_be_had(str(exc))


@pytest.fixture
def own_broker(broker_apart: KafkaSettings) -> KafkaSettings:
    """The broker apart, without anything of an earlier test."""
    wipe(broker_apart)
    return broker_apart


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print though the test passes: where the numbers are what one wants to know."""

    def on_the_terminal(line: str) -> None:
        with capsys.disabled():
            print(line)  # noqa: T201 -- see above

    on_the_terminal("")
    return on_the_terminal


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on both forms; one that asks for `scaled` on that form alone."""
    if "deployed" in metafunc.fixturenames:
        metafunc.parametrize("deployed", FORMS[1:] if "scaled" in metafunc.fixturenames else FORMS, indirect=True, scope="session")
