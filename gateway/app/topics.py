"""Names of topics and consumer groups: the same words in the use cases, the buses and the access rules."""

from __future__ import annotations

from typing import Final

from gateway.contract.values import Lane, PartnerId

REQUESTS: Final = "gw.requests"
REPLIES: Final = "gw.replies"
OUTCOMES: Final = "gw.outcomes"
EVENTS: Final = "gw.events"
DELIVERIES: Final = "gw.deliveries."  # before a courier's shard and a lane

EDGE_GROUP: Final = "gw.edge"  # on the replies, with static membership
INNER_GROUPS: Final = "gw.inner."  # inner's groups start with it: one for each loop, so that no loop's rebalance stops another
REQUESTS_GROUP: Final = INNER_GROUPS + "requests"
SUBMISSIONS_GROUP: Final = INNER_GROUPS + "submissions"
OUTCOMES_GROUP: Final = INNER_GROUPS + "outcomes"


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
    return f"{DELIVERIES}{shard}.{lane}"


def courier_group(shard: str, lane: Lane) -> str:
    """Name the consumer group of a shard's couriers on one lane: a full lane must not hold up a faster one."""
    return f"gw.courier.{shard}.{lane}"
