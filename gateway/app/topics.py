"""Names of topics and consumer groups: the same words in the use cases, the buses and the access rules."""

from __future__ import annotations

from typing import Final

from gateway.contract.values import Lane, PartnerId

REQUESTS: Final = "gw.requests"
REPLIES: Final = "gw.replies"
OUTCOMES: Final = "gw.outcomes"
EVENTS: Final = "gw.events"

EDGE_GROUP: Final = "gw.edge"  # on the replies, with static membership
INNER_GROUP: Final = "gw.inner"  # on requests, submissions and outcomes


def submissions(partner: PartnerId) -> str:
    """Name the topic a register submits to. The topic is the channel: whoever may write to it is that register."""
    return f"gw.submissions.{partner}"


def results(partner: PartnerId) -> str:
    """Name the topic on which a register finds receipts, rejections and acknowledgements."""
    return f"gw.results.{partner}"


def results_group(partner: PartnerId) -> str:
    """Name the one consumer group a register may use."""
    return f"gw.register.{partner}"


def deliveries(shard: str, lane: Lane) -> str:
    """Name the topic that carries a courier shard's work of one lane."""
    return f"gw.deliveries.{shard}.{lane}"


def courier_group(shard: str) -> str:
    """Name the consumer group of a shard's couriers."""
    return f"gw.courier.{shard}"
