"""What must be on the broker: topics with their settings, access rules and principals. Pure: `kafka_setup.py` makes it so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gateway.app import topics
from gateway.contract.errors import OperatorError
from gateway.contract.values import LANES, Environment, PartnerId
from gateway.core.limits import RECORD_BYTES_MAX
from gateway.ops.settings import IN_SYNC_REPLICAS

HOUR_MS: Final = 3_600_000
CARRIED_MS_MAX: Final = 24 * HOUR_MS  # P11: what only passes through is gone after a day
SEGMENT_MS_MAX: Final = HOUR_MS  # an active segment is not deleted while it is written to
ASKED_MS: Final = HOUR_MS  # questions and answers are worthless after two minutes
EVENTS_MS: Final = 7 * 24 * HOUR_MS  # no personal data; the log itself is in the database
REPLICAS_IN_SYNC_MIN: Final = 2  # an acknowledged record must survive the loss of one broker
RECORD_WITH_HEADERS_BYTES: Final = RECORD_BYTES_MAX + 16 * 1024

NAME: Final = re.compile("[a-z0-9-]{2,32}")  # of a partner or shard: a dot would let one name reach into another

WAIVER: Final = IN_SYNC_REPLICAS  # names the one check that may be waived: one broker, no second copy


class Operation(StrEnum):
    """What a principal may do."""

    READ = "READ"
    WRITE = "WRITE"
    DELETE = "DELETE"  # of records that are answered; inner alone
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One permission. Nothing else is allowed: the broker refuses what no rule names."""

    principal: str
    operation: Operation
    kind: str  # TOPIC or GROUP
    name: str
    prefixed: bool = False

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.principal} may {self.operation} {self.kind.lower()} {self.name}{'*' if self.prefixed else ''}"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be. `settings` are exact; `ceilings` may be lower, `floors` higher."""

    name: str
    partitions: int
    ceilings: Mapping[str, int]
    floors: Mapping[str, int]
    settings: Mapping[str, str]

    @property
    def config(self) -> dict[str, str]:
        """Return what the topic is created with."""
        return {**self.settings, **{name: str(value) for name, value in {**self.ceilings, **self.floors}.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the plan is made for."""

    registers: Mapping[PartnerId, int] = field(default_factory=dict)  # with a Kafka channel: age limit of its submissions, seconds
    shards: Sequence[str] = ("main",)
    edges: int = 12  # partitions of the replies: at least as many as edges
    partitions: int = 6  # of the other shared topics
    replicas: int = 3
    in_sync: int = REPLICAS_IN_SYNC_MIN


@dataclass(frozen=True, slots=True)
class Plan:
    """All that must be there."""

    topics: tuple[Topic, ...]
    rules: tuple[Rule, ...]
    replicas: int

    @property
    def principals(self) -> list[str]:
        """Return who has rules."""
        return sorted({rule.principal for rule in self.rules})


def least(shape: Shape, *, waived: frozenset[str] = frozenset()) -> Shape:
    """Return what a start of inner asks of the broker: the same topics, safe, however many partitions they were given."""
    in_sync = 1 if WAIVER in waived else REPLICAS_IN_SYNC_MIN
    return replace(shape, edges=1, partitions=1, replicas=in_sync, in_sync=in_sync)


def make_plan(shape: Shape, environment: Environment, *, waived: frozenset[str] = frozenset()) -> Plan:
    """Lay the plan out.

    Raises `OperatorError` for fewer than two in-sync replicas, unless waived by name outside PRODUCTION, and for impossible names.
    """
    if shape.in_sync < REPLICAS_IN_SYNC_MIN and (WAIVER not in waived or environment is Environment.PRODUCTION):
        raise OperatorError(
            f"min.insync.replicas {shape.in_sync} loses acknowledged records with one broker: "
            f"use {REPLICAS_IN_SYNC_MIN} (outside PRODUCTION it may be waived by name: {WAIVER})"
        )
    for name in (*shape.registers, *shape.shards):
        if NAME.fullmatch(name) is None:
            raise OperatorError(f"{name!r} goes into topic names: use 2 to 32 of a-z, 0-9 and -")
    if shape.replicas < shape.in_sync:
        raise OperatorError(f"{shape.replicas} replicas can never be {shape.in_sync} in sync")
    shards = sorted(shape.shards)
    return Plan(tuple(_topics(shape, shards)), tuple(sorted(_rules(shape, shards))), shape.replicas)


def _topics(shape: Shape, shards: Iterable[str]) -> Iterable[Topic]:
    def topic(name: str, partitions: int, retention_ms: int, segment_ms: int = SEGMENT_MS_MAX) -> Topic:
        ceilings = {"retention.ms": retention_ms, "segment.ms": segment_ms}
        floors = {"min.insync.replicas": shape.in_sync, "max.message.bytes": RECORD_WITH_HEADERS_BYTES}
        # A writer's own time stamps could put off deletion for years, or a lagging replica lose what was acknowledged.
        exact = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", "unclean.leader.election.enable": "false"}
        return Topic(name, partitions, ceilings, floors, exact)

    yield topic(topics.REQUESTS, shape.partitions, ASKED_MS)
    yield topic(topics.REPLIES, shape.edges, ASKED_MS)
    yield topic(topics.OUTCOMES, shape.partitions, CARRIED_MS_MAX)
    yield topic(topics.EVENTS, 1, EVENTS_MS, segment_ms=CARRIED_MS_MAX)  # one partition: the order is that of the log
    for shard in shards:
        for lane in LANES:
            yield topic(topics.deliveries(shard, lane), shape.partitions, CARRIED_MS_MAX)
    for partner, seconds in sorted(shape.registers.items()):
        for name in (topics.submissions(partner), topics.results(partner)):
            yield topic(name, 1, seconds * 1000)


def _rules(shape: Shape, shards: Iterable[str]) -> Iterable[Rule]:
    read, write = Operation.READ, Operation.WRITE
    yield Rule("edge", write, "TOPIC", topics.REQUESTS)
    yield Rule("edge", read, "TOPIC", topics.REPLIES)
    yield Rule("edge", read, "GROUP", topics.EDGE_GROUP)

    yield Rule("inner", read, "GROUP", topics.INNER_GROUPS, prefixed=True)
    yield Rule("inner", read, "TOPIC", topics.REQUESTS)
    yield Rule("inner", write, "TOPIC", topics.REPLIES)
    yield Rule("inner", read, "TOPIC", topics.OUTCOMES)
    yield Rule("inner", write, "TOPIC", topics.EVENTS)
    yield Rule("inner", Operation.DESCRIBE_CONFIGS, "TOPIC", "gw.", prefixed=True)  # to refuse a start on unsafe topics

    for shard in shards:
        principal = f"courier-{shard}"
        yield Rule(principal, write, "TOPIC", topics.OUTCOMES)
        for lane in LANES:
            yield Rule("inner", write, "TOPIC", topics.deliveries(shard, lane))
            yield Rule(principal, read, "TOPIC", topics.deliveries(shard, lane))
            yield Rule(principal, read, "GROUP", topics.courier_group(shard, lane))

    for partner in shape.registers:
        principal = f"register-{partner}"
        yield Rule("inner", read, "TOPIC", topics.submissions(partner))
        yield Rule("inner", Operation.DELETE, "TOPIC", topics.submissions(partner))
        yield Rule("inner", write, "TOPIC", topics.results(partner))
        yield Rule(principal, write, "TOPIC", topics.submissions(partner))
        yield Rule(principal, read, "TOPIC", topics.results(partner))
        yield Rule(principal, read, "GROUP", topics.results_group(partner))
