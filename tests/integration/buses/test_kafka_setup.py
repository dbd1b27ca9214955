"""What `gateway kafka setup` makes on a real broker, what it finds wanting, and what each principal is refused after it."""

from __future__ import annotations

import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
)

from gateway.app.ports import BusUnavailableError, Outgoing
from gateway.app.topics import (
    EDGE_GROUP,
    EVENTS,
    OUTCOMES,
    OUTCOMES_GROUP,
    REPLIES,
    REQUESTS,
    REQUESTS_GROUP,
    SUBMISSIONS_GROUP,
    courier_group,
    deliveries,
    results,
    results_group,
    submissions,
)
from gateway.buses.kafka import KafkaAccess, KafkaBus
from gateway.buses.kafka_plan import WAIVER, Plan, Shape, make_plan
from gateway.buses.kafka_setup import KafkaSetup
from gateway.contract.values import Environment, Lane, PartnerId
from gateway.testing.contract_bus import read
from tests.services.kafka import KafkaSettings

pytestmark = pytest.mark.services

GB, IE = PartnerId("gb-register"), PartnerId("ie-register")
SHAPE = Shape(registers={GB: 3 * 86_400, IE: 86_400}, shards=("main", "eu"), partitions=2, edges=2, replicas=1, in_sync=1)
HOUR = 3_600_000


def found_wanting(setup: KafkaSetup, plan: Plan, expected: list[str]) -> list[str]:
    """Return what is wanting, once the broker shows what was changed."""
    end = time.monotonic() + 10
    while (found := [str(wanting) for wanting in setup.find_wanting(plan)]) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.fixture
def plan() -> Plan:
    return make_plan(SHAPE, Environment.TEST, waived=frozenset({WAIVER}))


def admin_access(kafka: KafkaSettings) -> KafkaAccess:
    return KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password=kafka.password, ca_file=kafka.ca_file)


@pytest.fixture
def setup(clean_kafka: KafkaSettings) -> KafkaSetup:
    return KafkaSetup(admin_access(clean_kafka))


def test_on_a_bare_broker_everything_is_wanting_and_checking_creates_nothing(setup: KafkaSetup, plan: Plan) -> None:
    lines = [str(wanting) for wanting in setup.find_wanting(plan)]
    assert len(lines) == len(plan.topics) + len(plan.rules)
    assert "gw.requests: wanted a topic, found none" in lines
    assert "edge may WRITE topic gw.requests: wanted a rule, found none" in lines
    assert setup.find_wanting(plan) == setup.find_wanting(plan)


def test_setup_creates_all_that_is_missing_and_a_repeat_nothing(setup: KafkaSetup, plan: Plan) -> None:
    created = setup.create_missing(plan)
    assert len(created) == len(plan.topics) + len(plan.rules)
    assert setup.find_wanting(plan) == []
    assert setup.create_missing(plan) == []


@pytest.mark.parametrize(
    ("topic", "name", "value", "expected"),
    [
        pytest.param(REQUESTS, "retention.ms", 25 * HOUR, f"at most {HOUR}", id="requests-kept-too-long"),
        pytest.param(OUTCOMES, "retention.ms", 24 * HOUR + 1, f"at most {24 * HOUR}", id="outcomes-kept-a-moment-too-long"),
        pytest.param(REPLIES, "retention.ms", -1, f"at most {HOUR}", id="replies-kept-for-ever"),
        pytest.param(deliveries("eu", Lane.IMMEDIATE), "segment.ms", 2 * HOUR, f"at most {HOUR}", id="segments-too-long"),
        pytest.param(submissions(IE), "retention.ms", 86_400_001, "at most 86400000", id="submissions-older-than-the-channel-takes"),
        pytest.param(OUTCOMES, "cleanup.policy", "compact", "delete", id="compacted"),
        pytest.param(REPLIES, "message.timestamp.type", "CreateTime", "LogAppendTime", id="writers-own-time"),
        pytest.param(EVENTS, "max.message.bytes", 1000, "at least 1016384", id="records-too-small"),
        pytest.param(REQUESTS, "unclean.leader.election.enable", "true", "false", id="lossy-election"),
    ],
)
def test_a_wrong_setting_is_found_and_left_alone(
    setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, topic: str, name: str, value: object, expected: str
) -> None:
    setup.create_missing(plan)
    admin = AdminClient(clean_kafka.confluent())
    entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for job in admin.incremental_alter_configs([changed]).values():
        job.result(timeout=20)
    expected_line = f"{topic} {name}: wanted {expected}, found {value}"
    assert found_wanting(setup, plan, [expected_line]) == [expected_line]
    assert setup.create_missing(plan) == []
    assert [str(wanting) for wanting in setup.find_wanting(plan)] == [expected_line]


def test_too_few_partitions_and_replicas_are_found(setup: KafkaSetup, clean_kafka: KafkaSettings) -> None:
    admin = AdminClient(clean_kafka.confluent())
    admin.create_topics([NewTopic(REQUESTS, 1, 1)])[REQUESTS].result(timeout=20)
    lines = [str(wanting) for wanting in setup.topics_wanting(make_plan(Shape(), Environment.TEST))]
    assert {
        "gw.requests: wanted 6 partitions or more, found 1",
        "gw.requests: wanted 3 replicas or more, found 1",
        "gw.requests min.insync.replicas: wanted at least 2, found 1",
    } <= set(lines)


@pytest.mark.parametrize(
    ("principal", "kind", "name", "pattern", "operation", "line"),
    [
        pytest.param("edge", "TOPIC", OUTCOMES, "LITERAL", "READ", "User:edge may READ topic gw.outcomes", id="edge-reads-outcomes"),
        pytest.param("*", "TOPIC", "*", "LITERAL", "WRITE", "User:* may WRITE topic *", id="everybody-writes-everything"),
        pytest.param("spy", "TOPIC", "gw.del", "PREFIXED", "READ", "User:spy may READ topic gw.del*", id="prefix-within-ours"),
        pytest.param("spy", "TOPIC", "g", "PREFIXED", "ALL", "User:spy may ALL topic g*", id="prefix-around-ours"),
        pytest.param("spy", "GROUP", REQUESTS_GROUP, "LITERAL", "DELETE", "User:spy may DELETE group gw.inner.requests", id="group"),
    ],
)
def test_a_rule_too_many_is_found(
    setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, principal: str, kind: str, name: str, pattern: str, operation: str, line: str
) -> None:
    setup.create_missing(plan)
    binding = AclBinding(
        ConfigResource.Type[kind],
        name,
        ResourcePatternType[pattern],
        f"User:{principal}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )
    admin = AdminClient(clean_kafka.confluent())
    admin.create_acls([binding])[binding].result(timeout=20)
    expected = [f"{line}: wanted no such rule, found one"]
    assert found_wanting(setup, plan, expected) == expected


def test_monitoring_may_see_names_and_another_system_its_own_topics(setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings) -> None:
    setup.create_missing(plan)
    topic, literal, allow = ConfigResource.Type.TOPIC, ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    bindings = [
        AclBinding(topic, "*", literal, "User:monitor", "*", AclOperation.DESCRIBE, allow),
        AclBinding(topic, "payroll", literal, "User:payroll", "*", AclOperation.ALL, allow),
    ]
    admin = AdminClient(clean_kafka.confluent())
    for job in admin.create_acls(bindings).values():
        job.result(timeout=20)
    assert setup.find_wanting(plan) == []


def test_passwords_are_kept_private_and_used_again(setup: KafkaSetup, plan: Plan, tmp_path: Path) -> None:
    assert setup.create_users(plan, tmp_path) == plan.principals
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"{principal}.password" for principal in plan.principals]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    before = [file.read_text(encoding="utf-8") for file in files]
    assert len(set(before)) == len(files)
    assert setup.create_users(plan, tmp_path) == []
    assert [file.read_text(encoding="utf-8") for file in files] == before


def test_a_principal_without_the_right_to_administer_is_told_so(
    setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, tmp_path: Path
) -> None:
    setup.create_missing(plan)
    setup.create_users(plan, tmp_path)
    with pytest.raises(BusUnavailableError, match="authorization"):
        KafkaSetup(as_principal(clean_kafka, "edge", tmp_path)).find_wanting(plan)


def test_inner_may_check_the_topics_at_its_start(setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, tmp_path: Path) -> None:
    setup.create_missing(plan)
    setup.create_users(plan, tmp_path)
    assert KafkaSetup(as_principal(clean_kafka, "inner", tmp_path)).topics_wanting(plan) == []


# --- who may what -----------------------------------------------------------------------------------------------------

WORK, EU_WORK = deliveries("main", Lane.ROUTINE), deliveries("eu", Lane.ROUTINE)
WORKERS, EU_WORKERS = courier_group("main", Lane.ROUTINE), courier_group("eu", Lane.ROUTINE)
TOPICS = (REQUESTS, REPLIES, OUTCOMES, EVENTS, WORK, EU_WORK, submissions(GB), submissions(IE), results(GB), results(IE))
MAY_WRITE = {
    "edge": {REQUESTS},
    "inner": {REPLIES, EVENTS, WORK, EU_WORK, results(GB), results(IE)},
    "courier-main": {OUTCOMES},
    "courier-eu": {OUTCOMES},
    f"register-{GB}": {submissions(GB)},
    f"register-{IE}": {submissions(IE)},
}
MAY_READ = {
    "edge": {(REPLIES, EDGE_GROUP)},
    "inner": {
        (REQUESTS, REQUESTS_GROUP),
        (OUTCOMES, OUTCOMES_GROUP),
        (submissions(GB), SUBMISSIONS_GROUP),
        (submissions(IE), SUBMISSIONS_GROUP),
    },
    "courier-main": {(WORK, WORKERS)},
    "courier-eu": {(EU_WORK, EU_WORKERS)},
    f"register-{GB}": {(results(GB), results_group(GB))},
    f"register-{IE}": {(results(IE), results_group(IE))},
}
OTHERS_GROUP = {
    "edge": REQUESTS_GROUP,
    "inner": EDGE_GROUP,
    "courier-main": EU_WORKERS,
    "courier-eu": WORKERS,
    f"register-{GB}": results_group(IE),
    f"register-{IE}": results_group(GB),
}


def as_principal(kafka: KafkaSettings, principal: str, passwords: Path) -> KafkaAccess:
    password = (passwords / f"{principal}.password").read_text(encoding="utf-8")
    return KafkaAccess(bootstrap=kafka.bootstrap, user=principal, password=password, ca_file=kafka.ca_file)


@pytest.fixture(params=sorted(MAY_WRITE))
async def principal(
    request: pytest.FixtureRequest, setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, tmp_path: Path
) -> AsyncIterator[tuple[str, KafkaBus]]:
    setup.create_missing(plan)
    setup.create_users(plan, tmp_path)
    bus = KafkaBus(as_principal(clean_kafka, request.param, tmp_path))
    yield request.param, bus
    await bus.close()


def refused(exc: BusUnavailableError) -> bool:
    """Say whether an access rule said no: silence or a lost connection is no refusal."""
    return "AuthorizationFailed" in str(exc)


async def may_write(bus: KafkaBus, topic: str) -> bool:
    try:
        await bus.publish([Outgoing(topic, b"k", b"v")])
    except BusUnavailableError as exc:
        if not refused(exc):
            raise
        return False
    return True


async def may_read(bus: KafkaBus, topic: str, group: str) -> bool:
    try:
        async with bus.subscribe([topic], group=group) as reader:
            await reader.batch(max_records=1, wait_seconds=0.2)
    except BusUnavailableError as exc:
        if not refused(exc):
            raise
        return False
    return True


async def test_a_principal_may_write_to_its_own_topics_and_to_no_other(principal: tuple[str, KafkaBus]) -> None:
    name, bus = principal
    assert {topic for topic in TOPICS if await may_write(bus, topic)} == MAY_WRITE[name]


async def test_a_principal_may_read_its_own_topics_and_no_other(principal: tuple[str, KafkaBus]) -> None:
    name, bus = principal
    groups = dict(MAY_READ[name])
    any_own_group = next(iter(groups.values()))
    seen = {topic for topic in TOPICS if await may_read(bus, topic, groups.get(topic, any_own_group))}
    assert seen == set(groups)


async def test_a_principal_may_not_join_the_group_of_another(principal: tuple[str, KafkaBus]) -> None:
    name, bus = principal
    own_topic = next(iter(MAY_READ[name]))[0]
    assert not await may_read(bus, own_topic, OTHERS_GROUP[name])


async def test_inner_alone_deletes_what_is_answered(setup: KafkaSetup, plan: Plan, clean_kafka: KafkaSettings, tmp_path: Path) -> None:
    setup.create_missing(plan)
    setup.create_users(plan, tmp_path)
    register, inner = (KafkaBus(as_principal(clean_kafka, name, tmp_path)) for name in (f"register-{GB}", "inner"))
    await register.publish([Outgoing(submissions(GB), b"k", value) for value in (b"one", b"two")])
    async with inner.subscribe([submissions(GB)], group=SUBMISSIONS_GROUP) as reader:
        first, _ = await read(reader, 2)
    with pytest.raises(BusUnavailableError, match="AuthorizationFailed"):
        await register.forget([first])
    await inner.forget([first])
    async with inner.subscribe([submissions(GB)], group=SUBMISSIONS_GROUP) as reader:
        assert [record.value for record in await read(reader, 1)] == [b"two"]
    for bus in (register, inner):
        await bus.close()
