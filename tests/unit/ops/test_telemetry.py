"""What operators see: fields from the allow-list, counters by name, and never a library's own words."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog

from gateway.app.ports import AsideCount
from gateway.contract.values import PartnerId
from gateway.core.circuit import Circuit
from gateway.core.delivery import State
from gateway.ops.telemetry import Metrics, Telemetry, configure
from gateway.testing.clock import START

FRANCE = PartnerId("fr-police")


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure("INFO")
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_one_json_line_of_allowed_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Telemetry(Metrics()).event("leg-delivered", partner=FRANCE, code="ok", count=2)
    (line,) = lines(capsys.readouterr().err)
    assert line.keys() == {"event", "level", "timestamp", "partner", "code", "count"}


def test_a_field_that_is_not_allowed_cannot_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError):
        Telemetry(Metrics()).event("leg-delivered", name="TEST PERSON")  # type: ignore[call-arg]  # the point of the test
    assert not capsys.readouterr().err


def test_a_library_says_who_spoke_and_never_what(capsys: pytest.CaptureFixture[str]) -> None:
    fault = ValueError("TEST PERSON, passport X0000000")
    logging.getLogger("some.library").error("could not handle %s", "TEST PERSON", exc_info=fault)
    heard = capsys.readouterr().err
    (line,) = lines(heard)
    assert (line["event"], line["code"]) == ("library", "some.library:ValueError")
    assert "PERSON" not in heard


def test_a_line_goes_to_standard_error_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, current = io.StringIO(), io.StringIO()
    teller = Telemetry(Metrics())
    monkeypatch.setattr(sys, "stderr", closed)
    teller.event("first")
    closed.close()
    monkeypatch.setattr(sys, "stderr", current)
    teller.event("second")
    assert [line["event"] for line in lines(current.getvalue())] == ["second"]


def test_metrics_count_by_partner_outcome_code_and_state() -> None:
    metrics = Metrics()
    teller = Telemetry(metrics)
    teller.event("message-accepted", partner=FRANCE)
    teller.event("message-rejected", partner=FRANCE, code="schema-invalid")
    teller.took("intake-batch", 0.5)
    metrics.show_legs({(FRANCE, State.READY): 3})
    value = metrics.registry.get_sample_value
    assert value("gateway_messages_total", {"partner": FRANCE, "outcome": "accepted"}) == 1
    assert value("gateway_rejected_total", {"code": "schema-invalid"}) == 1
    assert value("gateway_seconds_count", {"name": "intake-batch"}) == 1
    assert value("gateway_legs", {"partner": FRANCE, "state": "ready"}) == 3
    metrics.show_legs({})
    assert value("gateway_legs", {"partner": FRANCE, "state": "ready"}) is None, "what is gone is not shown"


def test_a_circuit_is_shown_where_it_stands_until_its_partner_answers() -> None:
    metrics = Metrics()
    failing = Circuit(failures=6, failing_since=START, open_until=START + timedelta(seconds=90))
    for seconds, position in ((60, "open"), (90, "half-open")):
        metrics.show_circuits({FRANCE: failing}, START + timedelta(seconds=seconds))
        shown = {position: value for (_, position), value in values(metrics, "gateway_circuit").items()}
        assert shown == {position: 1}
        assert list(values(metrics, "gateway_failing_seconds").values()) == [seconds]
    metrics.show_circuits({}, START)
    assert not values(metrics, "gateway_circuit")
    assert not values(metrics, "gateway_failing_seconds")


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(s.labels.values()): s.value for family in metrics.registry.collect() for s in family.samples if s.name == name}


def test_what_stands_aside_is_shown_by_who_must_act_and_its_age_until_it_is_gone() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    why = {"partner": FRANCE, "hold_reason": None, "reason": "ATTEMPTS"}
    dead = AsideCount(**why, state=State.DEAD, last_code="timeout", legs=2, oldest=START)
    more = AsideCount(**why, state=State.DEAD, last_code="http-503", legs=3, oldest=START + timedelta(seconds=30))
    ours = AsideCount(**why, state=State.DEAD, last_code="http-401", legs=1, oldest=START + timedelta(seconds=50))
    held = AsideCount(**{**why, "hold_reason": "MINOR", "reason": None}, state=State.HELD, last_code=None, legs=4, oldest=START)
    metrics.show_aside([dead, more, ours, held], START + timedelta(seconds=60))
    assert value("gateway_dead_legs", {"partner": FRANCE, "side": "partner"}) == 5
    assert value("gateway_dead_legs", {"partner": FRANCE, "side": "ours"}) == 1
    assert value("gateway_held_legs", {"partner": FRANCE, "reason": "MINOR"}) == 4
    assert value("gateway_oldest_aside_seconds", {"state": "dead"}) == 60
    metrics.show_aside([], START)
    assert value("gateway_dead_legs", {"partner": FRANCE, "side": "partner"}) is None
    assert value("gateway_oldest_aside_seconds", {"state": "held"}) == 0
