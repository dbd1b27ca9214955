"""What comes from the future is told, once in a while and by whom; nobody's own words come into the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest

from gateway.app.skew import AGAIN, NAMES_COUNT_MAX, SKEW_SECONDS_MAX, Comparison, Skew, read, written
from gateway.ops.telemetry import WARNINGS, Metrics
from gateway.testing.clock import FakeClock


class Notes:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, float]] = []

    def event(self, name: str, *, code: str = "", seconds: float = 0, **fields: Any) -> None:
        self.events.append((name, code, seconds))


class Judge:
    def __init__(self) -> None:
        self.clock, self.notes, self.metrics = FakeClock(), Notes(), Metrics()
        self.skew = Skew(self.metrics.show_skew, self.clock, self.notes)

    def saw(self, name: str, seconds: float) -> None:
        self.skew.saw(name, self.clock.now() + timedelta(seconds=seconds))

    def shown(self, whose: str) -> float | None:
        return self.metrics.registry.get_sample_value("gateway_clock_skew_seconds", {"whose": whose})


@pytest.mark.parametrize("seconds", [-3600, -1, 0, 0.4, SKEW_SECONDS_MAX])
def test_what_is_old_or_a_little_ahead_is_shown_and_not_told(seconds: float) -> None:
    judge = Judge()
    judge.saw("edge/edge-1", seconds)
    assert judge.notes.events == []
    assert judge.shown("edge") == max(seconds, 0)


def test_what_is_from_the_future_is_told_once_in_five_minutes_for_each_process() -> None:
    judge = Judge()
    for _ in range(3):
        judge.saw("edge/edge-1", 30.4)
        judge.saw("edge/edge-2", SKEW_SECONDS_MAX + 0.6)
    assert judge.notes.events == [("clock-skew", "edge/edge-1", 30), ("clock-skew", "edge/edge-2", 3)]
    judge.clock.advance(AGAIN)
    judge.saw("edge/edge-1", 31)
    assert judge.notes.events[2:] == [("clock-skew", "edge/edge-1", 31)]
    judge.saw("edge/edge-1", 0)
    assert judge.shown("edge") == 0, "the gauge falls when the clock is set right"


@pytest.mark.parametrize("name", ["", "A Person", "edge/A Person", "database", "edge/", "edge/x\n", "inner/" + "x" * 65, "admin"])
def test_a_name_that_is_none_of_a_process_is_not_repeated(name: str) -> None:
    judge = Judge()
    judge.saw(name, 30)
    assert judge.notes.events == [("clock-skew", "unnamed", 30)]
    assert judge.shown("database") is None


def test_who_invents_names_does_not_fill_memory_nor_the_log() -> None:
    judge = Judge()
    for number in range(NAMES_COUNT_MAX + 500):
        judge.saw(f"edge/edge-{number}", 30)
    assert len(judge.notes.events) == NAMES_COUNT_MAX + 1
    assert judge.notes.events[-1] == ("clock-skew", "edge", 30)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "1e9", "٣", "9" * 15, " 1", "1\n"])
def test_a_time_that_is_none_is_not_read(text: str) -> None:
    assert read(text) is None


def test_a_time_is_read_as_it_was_written_to_the_millisecond() -> None:
    at = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
    assert read(written(at)) == at
    assert read("9" * 14) is not None


class Reading:
    """A store whose database has a clock of its own, and takes its time."""

    def __init__(self, clock: FakeClock, ahead: float, took: float) -> None:
        self.clock, self.ahead, self.took = clock, ahead, took

    def reading(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.clock.advance(seconds=self.took)

    async def database_time(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.ahead)


@pytest.mark.parametrize(
    ("ahead", "took", "shown", "told"),
    [
        (0, 0, 0, []),
        (0, 20, 0, []),  # an answer that takes long is no difference
        (1.5, 0, 1.5, []),
        (30, 0, 30, [30]),
        (30, 10, 20, [20]),
        (-30, 0, -30, [-30]),
        (-30, 10, -30, [-30]),
    ],
)
async def test_the_database_is_compared_in_both_directions(ahead: float, took: float, shown: float, told: list[int]) -> None:
    judge = Judge()
    for _ in range(2):
        await Comparison(Reading(judge.clock, ahead, took), judge.skew, judge.clock).run_once()  # type: ignore[arg-type]  # so much of a store
    assert judge.notes.events == [("clock-skew", "database", seconds) for seconds in told]
    assert judge.shown("database") == shown


def test_it_is_a_warning() -> None:
    assert "clock-skew" in WARNINGS
