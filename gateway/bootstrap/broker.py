"""Kafka, as settings and profiles want it. Its libraries are loaded where it is used, and nowhere before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.app.ports import Bus, BusUnavailableError
from gateway.app.skew import Skew
from gateway.buses.kafka_plan import Shape, least, make_plan
from gateway.buses.stamped import StampedBus
from gateway.ops.profiles import Partners
from gateway.ops.settings import ProcessRole, Settings
from gateway.ops.system import SystemClock

if TYPE_CHECKING:
    from gateway.buses.kafka import KafkaAccess

SHARD: Final = "main"  # where nobody is pushed to


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return how this process's principal reaches the broker."""
    from gateway.buses.kafka import KafkaAccess  # noqa: PLC0415 -- the embedded form loads no Kafka library, and starts the sooner

    bus = settings.bus
    password = bus.password_file.read_text(encoding="utf-8").strip() if bus.password_file else ""
    return KafkaAccess(
        bootstrap=bus.bootstrap, security=bus.security, user=bus.user, password=password, ca_file=str(bus.ca_file) if bus.ca_file else None,
        static_id=settings.static_id or None,
    )  # fmt: skip


def kafka_bus(settings: Settings, skew: Skew) -> Bus:
    """Return the bus over Kafka; what comes from a clock ahead of ours is told to `skew`."""
    from gateway.buses.kafka import KafkaBus  # noqa: PLC0415 -- as above

    name = f"{settings.role}/{settings.static_id}" if settings.static_id else settings.role.value
    return StampedBus(KafkaBus(kafka_access(settings)), skew, SystemClock(), name=name)


def kafka_shape(partners: Partners) -> Shape:
    """Return what the profiles ask of a broker: a channel for each register that has one, topics for each courier's shard."""
    registers = {id_: profile.iat_age_seconds for id_, profile in partners.profiles.items() if profile.kafka_channel}
    return Shape(registers=registers, shards=sorted({way.shard for way in partners.transports.values()} or {SHARD}))


async def refuse_unsafe_topics(settings: Settings, partners: Partners) -> None:
    """Refuse a broker that loses or keeps what it must not (design.md 3.10, 3.12). Raises `TopicsWantingError`, `BusUnavailableError`."""
    if settings.role is not ProcessRole.INNER or settings.is_dev:
        return
    from gateway.buses.kafka_setup import KafkaSetup  # noqa: PLC0415 -- as above

    plan = make_plan(least(kafka_shape(partners), waived=settings.waivers), settings.environment, waived=settings.waivers)
    try:
        await asyncio.to_thread(KafkaSetup(kafka_access(settings)).refuse_wanting, plan)
    except BusUnavailableError as exc:
        raise BusUnavailableError(f"the broker at {settings.bus.bootstrap} does not answer {settings.bus.user}: {exc}") from exc
