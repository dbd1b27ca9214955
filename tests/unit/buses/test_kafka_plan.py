"""The plan of topics and access rules: nobody gets more than the table of roles says."""

from __future__ import annotations

import pytest

from gateway.buses.kafka_plan import CARRIED_MS_MAX, SEGMENT_MS_MAX, WAIVER, Operation, Plan, Shape, least, make_plan
from gateway.contract.errors import OperatorError
from gateway.contract.values import Environment, PartnerId
from gateway.core.limits import RECORD_BYTES_MAX

SHAPE = Shape(registers={PartnerId("gb-register"): 3 * 86_400, PartnerId("ie-register"): 86_400}, shards=("main", "eu"))
CARRYING = ("gw.requests", "gw.replies", "gw.deliveries.", "gw.outcomes")


@pytest.fixture
def plan() -> Plan:
    return make_plan(SHAPE, Environment.PRODUCTION)


def test_every_topic_of_the_design_is_planned_once(plan: Plan) -> None:
    names = [topic.name for topic in plan.topics]
    lanes = [f"gw.deliveries.{shard}.{lane}" for shard in ("eu", "main") for lane in ("routine", "priority", "immediate")]
    registers = [f"gw.{kind}.{partner}-register" for partner in ("gb", "ie") for kind in ("submissions", "results")]
    assert sorted(names) == sorted(["gw.requests", "gw.replies", "gw.outcomes", "gw.events", *lanes, *registers])


def test_what_passes_through_is_gone_after_a_day_and_no_segment_outlives_an_hour(plan: Plan) -> None:
    for topic in plan.topics:
        if topic.name.startswith(CARRYING):
            assert topic.ceilings["retention.ms"] <= CARRIED_MS_MAX == 24 * 3_600_000
            assert topic.ceilings["segment.ms"] <= SEGMENT_MS_MAX == 3_600_000


def test_submissions_and_results_are_kept_as_long_as_a_submission_may_be_old(plan: Plan) -> None:
    kept = {topic.name: topic.ceilings["retention.ms"] for topic in plan.topics}
    assert kept["gw.submissions.gb-register"] == kept["gw.results.gb-register"] == 3 * 86_400_000
    assert kept["gw.submissions.ie-register"] == kept["gw.results.ie-register"] == 86_400_000


def test_every_topic_takes_our_largest_record(plan: Plan) -> None:
    assert all(topic.floors["max.message.bytes"] > RECORD_BYTES_MAX for topic in plan.topics)


def test_what_a_start_asks_for_is_the_same_topics_safe_whatever_their_size() -> None:
    whole = make_plan(SHAPE, Environment.TEST)
    strict, waived = (
        make_plan(least(SHAPE, waived=waivers), Environment.TEST, waived=waivers) for waivers in (frozenset(), frozenset({WAIVER}))
    )
    assert [topic.name for topic in strict.topics] == [topic.name for topic in whole.topics]
    assert [topic.ceilings for topic in strict.topics] == [topic.ceilings for topic in whole.topics]
    assert {topic.partitions for topic in strict.topics} == {1}
    assert (strict.replicas, {topic.floors["min.insync.replicas"] for topic in strict.topics}) == (2, {2})
    assert (waived.replicas, {topic.floors["min.insync.replicas"] for topic in waived.topics}) == (1, {1})


def test_one_replica_in_sync_is_refused_unless_waived_by_name() -> None:
    alone = Shape(replicas=1, in_sync=1)
    waived = frozenset({WAIVER})
    with pytest.raises(OperatorError, match=WAIVER):
        make_plan(alone, Environment.TEST)
    with pytest.raises(OperatorError, match=WAIVER):
        make_plan(alone, Environment.TEST, waived=frozenset({"something-else"}))
    with pytest.raises(OperatorError, match=WAIVER):
        make_plan(alone, Environment.PRODUCTION, waived=waived)
    assert make_plan(alone, Environment.TEST, waived=waived).replicas == 1


def test_more_in_sync_than_there_are_replicas_is_refused() -> None:
    with pytest.raises(OperatorError):
        make_plan(Shape(replicas=1, in_sync=2), Environment.TEST)


def test_each_role_and_register_is_a_principal_of_its_own(plan: Plan) -> None:
    assert plan.principals == ["courier-eu", "courier-main", "edge", "inner", "register-gb-register", "register-ie-register"]


def test_only_inner_has_a_rule_by_prefix_or_may_delete(plan: Plan) -> None:
    assert {rule.principal for rule in plan.rules if rule.prefixed or rule.operation is Operation.DELETE} == {"inner"}


def test_only_inner_writes_replies_and_events_and_reads_submissions(plan: Plan) -> None:
    for operation, name in (
        (Operation.WRITE, "gw.replies"),
        (Operation.WRITE, "gw.events"),
        (Operation.READ, "gw.submissions.gb-register"),
    ):
        assert [rule.principal for rule in plan.rules if rule.operation is operation and rule.name == name] == ["inner"]


@pytest.mark.parametrize("name", ["", "a", "Main", "eu.routine", "*", "x" * 33, "gb_register", "ab\n"])
def test_a_name_that_could_reach_into_another_topic_is_refused(name: str) -> None:
    for shape in (Shape(shards=(name,)), Shape(registers={PartnerId(name): 60})):
        with pytest.raises(OperatorError, match="topic names"):
            make_plan(shape, Environment.TEST)
