"""Logs and metrics. `Fields` is the allow-list: a name or a body has no field to sit in (P10)."""

from __future__ import annotations

import logging
import sys
from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.app.ports import AsideCount
from gateway.contract.values import Jti, LegId, PartnerId
from gateway.core.circuit import Circuit
from gateway.core.deadletters import side_of
from gateway.core.delivery import State

COUNTED: Final = frozenset({"message-accepted", "message-repeated", "message-rejected", "message-untrusted", "request-untrusted"})
WARNINGS: Final = frozenset(
    {
        *("loop-waits", "record-unreadable", "report-ignored", "report-lost", "message-quarantined", "drain-incomplete", "leg-dead"),
        *("leg-not-sealed", "sender-not-told", "request-failed", "events-overtaken", "answered-not-deleted", "command-refused"),
        *("circuit-open", "partner-asked-to-wait", "store-refuses", "bus-unavailable"),
        *("clock-skew", "certificate-expires", "certificate-ended", "certificate-not-read", "key-expires", "key-ended"),
        *("safeguarding-unanswered", "safeguarding-lapsed", "escalation-incomplete"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a log line may say."""

    partner: PartnerId | None = None
    jti: Jti | None = None
    leg_id: LegId | None = None
    code: str | None = None
    count: int | None = None
    seconds: float | None = None


def configure(level: str, *, json: bool = True) -> None:
    """Send every log line, ours and libraries', to standard error as one JSON object."""
    renderer: Any = structlog.processors.JSONRenderer(sort_keys=True) if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


class _StandardError:
    """Standard error as it is when a line is written: it may have been replaced, and the old one closed, since start."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Libraries(logging.Handler):
    """Lets libraries say only which logger spoke and how loud: their texts may quote content."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else record.levelname
        structlog.get_logger().warning("library", code=f"{record.name}:{kind}")


class Metrics:
    """Prometheus metrics of one process, with a registry of their own."""

    def __init__(self) -> None:
        """Register all metrics."""
        self.registry = CollectorRegistry()
        self.events = Counter("gateway_events", "Things that happened, by name", ["name"], registry=self.registry)
        self.messages = Counter("gateway_messages", "Messages by partner and outcome", ["partner", "outcome"], registry=self.registry)
        self.rejected = Counter("gateway_rejected", "Rejected messages by problem code", ["code"], registry=self.registry)
        self.legs = Gauge("gateway_legs", "Legs by partner and state", ["partner", "state"], registry=self.registry)
        self.queue = Gauge("gateway_queue_depth", "Submissions waiting for a transaction", registry=self.registry)
        self.oldest = Gauge("gateway_oldest_due_seconds", "Age of the oldest leg that is due", registry=self.registry)
        self.overdue = Gauge("gateway_overdue", "Watched deadlines that are past and not met, by kind", ["kind"], registry=self.registry)
        self.held = Gauge("gateway_held_legs", "Legs that wait for a person, by reason", ["partner", "reason"], registry=self.registry)
        self.dead = Gauge("gateway_dead_legs", "Dead letters, by who must act", ["partner", "side"], registry=self.registry)
        self.aside = Gauge("gateway_oldest_aside_seconds", "Age of the oldest held and dead leg", ["state"], registry=self.registry)
        self.limited = Counter("gateway_limited", "What went over a limit", ["partner", "limit"], registry=self.registry)
        self.asked = Counter("gateway_asked_to_wait", "Answers of partners that ask us to wait", ["partner"], registry=self.registry)
        self.circuits = Gauge("gateway_circuit", "1 where the circuit of a partner stands", ["partner", "position"], registry=self.registry)
        self.failing = Gauge(
            "gateway_failing_seconds", "Since when a partner's endpoint has not answered", ["partner"], registry=self.registry
        )
        self.certificates = Gauge(
            "gateway_certificate_seconds_left", "Until the certificate of a listener ends", ["listener"], registry=self.registry
        )
        self.keys = Gauge(
            "gateway_key_seconds_left", "Until the last key of a use ends, its successors counted", ["use"], registry=self.registry
        )
        self.skew = Gauge(
            "gateway_clock_skew_seconds", "By how much another's clock is ahead of ours, at least", ["whose"], registry=self.registry
        )
        self.seconds = Histogram("gateway_seconds", "Durations by name", ["name"], registry=self.registry)

    def show_legs(self, counts: Mapping[tuple[PartnerId, Any], int]) -> None:
        """Replace the gauge of legs by what the store counted."""
        self.legs.clear()
        for (partner, state), count in counts.items():
            self.legs.labels(partner, str(state)).set(count)

    def show_circuits(self, troubles: Mapping[PartnerId, Circuit], now: datetime) -> None:
        """Replace the gauges of circuits that are not at rest: a partner that answers has none."""
        self.circuits.clear()
        self.failing.clear()
        for partner, circuit in troubles.items():
            self.circuits.labels(partner, circuit.position(now).value).set(1)
            if circuit.failing_since is not None:
                self.failing.labels(partner).set((now - circuit.failing_since).total_seconds())

    def show_certificate(self, listener: str, seconds: float) -> None:
        """Show how long the certificate of a listener is good."""
        self.certificates.labels(listener).set(seconds)

    def show_key(self, use: str, seconds: float) -> None:
        """Show how long there is a key of a use."""
        self.keys.labels(use).set(seconds)

    def show_skew(self, whose: str, seconds: float) -> None:
        """Show by how much the clock of a role, or of the database, is ahead of ours; below zero: behind."""
        self.skew.labels(whose).set(seconds)

    def show_overdue(self, counts: Mapping[str, int]) -> None:
        """Replace the gauge of missed deadlines by what the store counted."""
        self.overdue.clear()
        for kind, count in counts.items():
            self.overdue.labels(kind).set(count)

    def show_aside(self, counts: Iterable[AsideCount], now: datetime) -> None:
        """Replace the gauges of what stands aside by what the store counted."""
        held: Counts[tuple[str, str]] = Counts()
        dead: Counts[tuple[str, str]] = Counts()
        oldest = {State.HELD: 0.0, State.DEAD: 0.0}
        for count in counts:
            if count.state is State.HELD:
                held[count.partner, str(count.hold_reason)] += count.legs
            else:
                dead[count.partner, side_of(count.reason, count.last_code).value] += count.legs
            oldest[count.state] = max(oldest[count.state], (now - count.oldest).total_seconds())
        for gauge, found in ((self.held, held), (self.dead, dead)):
            gauge.clear()
            for labels, legs in found.items():
                gauge.labels(*labels).set(legs)
        for state, seconds in oldest.items():
            self.aside.labels(state.value).set(seconds)


class Telemetry:
    """Implements the telemetry port: one log line and its counters for each event."""

    def __init__(self, metrics: Metrics) -> None:
        """Count in `metrics`."""
        self._metrics, self._log = metrics, structlog.get_logger()

    def event(  # noqa: PLR0913 -- each parameter is one allowed field
        self,
        name: str,
        *,
        partner: PartnerId | None = None,
        jti: Jti | None = None,
        leg_id: LegId | None = None,
        code: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Report something that happened."""
        fields = Fields(partner=partner, jti=jti, leg_id=leg_id, code=code, count=count, seconds=seconds)
        say = self._log.warning if name in WARNINGS else self._log.info
        say(name, **{key: value for key, value in asdict(fields).items() if value is not None})
        self._metrics.events.labels(name).inc(count or 1)
        if name in COUNTED and partner is not None:
            self._metrics.messages.labels(partner, name.removeprefix("message-")).inc()
        if name == "rate-limited" and partner is not None:
            self._metrics.limited.labels(partner, code or "").inc()
        if name == "partner-asked-to-wait" and partner is not None:
            self._metrics.asked.labels(partner).inc()
        if name == "message-rejected" and code is not None:
            self._metrics.rejected.labels(code).inc()
        if seconds is not None:
            self.took(name, seconds)

    def took(self, name: str, seconds: float) -> None:
        """Report how long something took."""
        self._metrics.seconds.labels(name).observe(seconds)
