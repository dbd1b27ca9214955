"""The circuit of a partner: every position with everything that can be heard, and how long a pause lasts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.circuit import REST, Circuit, Heard, Position, after, heard_of
from gateway.core.delivery import Event
from gateway.core.profiles import Delivery
from gateway.testing.clock import START

NOW = START
SECOND = timedelta(seconds=1)
PROFILE = Delivery(format="native", transport="https_push", circuit_failures=3, circuit_pause_seconds=30, circuit_pause_max_seconds=100)
FAILING = Circuit(failures=2, failing_since=NOW - SECOND)
OPEN = Circuit(failures=3, failing_since=NOW - SECOND, open_until=NOW + 30 * SECOND)
HALF = Circuit(failures=3, failing_since=NOW - 31 * SECOND, open_until=NOW)
ASKED = Circuit(open_until=NOW + 60 * SECOND, asked_until=NOW + 60 * SECOND)

TABLE = [
    (REST, Heard.ANSWERED, REST),
    (REST, Heard.FAILED, Circuit(failures=1, failing_since=NOW)),
    (REST, Heard.ASKED, Circuit(open_until=NOW + 10 * SECOND, asked_until=NOW + 10 * SECOND)),
    (REST, Heard.CONTACT, REST),
    (FAILING, Heard.ANSWERED, REST),
    (FAILING, Heard.FAILED, Circuit(failures=3, failing_since=NOW - SECOND, open_until=NOW + 30 * SECOND)),
    (
        FAILING,
        Heard.ASKED,
        Circuit(failures=2, failing_since=NOW - SECOND, open_until=NOW + 10 * SECOND, asked_until=NOW + 10 * SECOND),
    ),
    (FAILING, Heard.CONTACT, Circuit(failures=2, failing_since=NOW - SECOND, woken_at=NOW)),
    (OPEN, Heard.ANSWERED, REST),
    (OPEN, Heard.FAILED, OPEN),
    (OPEN, Heard.ASKED, Circuit(failures=3, failing_since=NOW - SECOND, open_until=NOW + 30 * SECOND, asked_until=NOW + 10 * SECOND)),
    (OPEN, Heard.CONTACT, Circuit(failures=3, failing_since=NOW - SECOND, open_until=NOW, woken_at=NOW)),
    (HALF, Heard.ANSWERED, REST),
    (HALF, Heard.FAILED, Circuit(failures=4, failing_since=NOW - 31 * SECOND, open_until=NOW + 60 * SECOND)),
    (
        HALF,
        Heard.ASKED,
        Circuit(failures=3, failing_since=NOW - 31 * SECOND, open_until=NOW + 10 * SECOND, asked_until=NOW + 10 * SECOND),
    ),
    (HALF, Heard.CONTACT, Circuit(failures=3, failing_since=NOW - 31 * SECOND, open_until=NOW, woken_at=NOW)),
    (ASKED, Heard.ANSWERED, REST),
    (ASKED, Heard.FAILED, ASKED),
    (ASKED, Heard.ASKED, ASKED),
    (ASKED, Heard.CONTACT, Circuit(open_until=NOW + 60 * SECOND, asked_until=NOW + 60 * SECOND, woken_at=NOW)),
]


def test_the_table_has_every_position_with_everything_that_can_be_heard() -> None:
    assert {(before.position(NOW), heard) for before, heard, _ in TABLE} == {(p, h) for p in Position for h in Heard}


@pytest.mark.parametrize(("before", "heard", "expected"), TABLE)
def test_what_is_heard_moves_the_circuit_as_the_table_says(before: Circuit, heard: Heard, expected: Circuit) -> None:
    assert after(before, heard, now=NOW, delivery=PROFILE, asked=10 * SECOND) == expected


@pytest.mark.parametrize(
    ("circuit", "position", "window"),
    [(REST, Position.CLOSED, 16), (FAILING, Position.CLOSED, 16), (OPEN, Position.OPEN, 0), (HALF, Position.HALF_OPEN, 1)],
)
def test_the_window_is_full_closed_one_half_open_and_nothing_open(circuit: Circuit, position: Position, window: int) -> None:
    assert (circuit.position(NOW), circuit.window(NOW, 16)) == (position, window)


def test_a_pause_doubles_with_each_probe_that_fails_up_to_the_profile_s_longest() -> None:
    circuit, now, pauses = FAILING, NOW, []
    for _ in range(5):
        circuit = after(circuit, Heard.FAILED, now=now, delivery=PROFILE)
        assert circuit.open_until is not None
        pauses.append((circuit.open_until - now).total_seconds())
        now = circuit.open_until
    assert pauses == [30, 60, 100, 100, 100]


@pytest.mark.parametrize(("jitter", "seconds"), [(0, 15), (0.5, 22.5), (1, 30)])
def test_a_pause_is_spread_over_its_upper_half(jitter: float, seconds: float) -> None:
    assert after(FAILING, Heard.FAILED, now=NOW, delivery=PROFILE, jitter=jitter).open_until == NOW + timedelta(seconds=seconds)


def test_a_partner_that_comes_every_second_ends_a_pause_once_a_minute() -> None:
    woken = after(OPEN, Heard.CONTACT, now=NOW, delivery=PROFILE)
    again = after(woken, Heard.FAILED, now=NOW, delivery=PROFILE)
    assert again.position(NOW) is Position.OPEN
    for seconds in range(1, 60):
        now = NOW + seconds * SECOND
        assert after(again, Heard.CONTACT, now=now, delivery=PROFILE) == again
    assert after(again, Heard.CONTACT, now=NOW + 60 * SECOND, delivery=PROFILE).woken_at == NOW + 60 * SECOND


def test_the_last_contact_is_remembered_over_a_success() -> None:
    woken = after(OPEN, Heard.CONTACT, now=NOW, delivery=PROFILE)
    assert after(woken, Heard.ANSWERED, now=NOW, delivery=PROFILE) == Circuit(woken_at=NOW)


@pytest.mark.parametrize(
    ("event", "code", "asked", "heard"),
    [
        (Event.DELIVERED, None, None, Heard.ANSWERED),
        (Event.GAVE_UP, "invalid_request", None, Heard.ANSWERED),
        (Event.GAVE_UP, "http-413", None, Heard.ANSWERED),
        (Event.GAVE_UP, "http-422", None, Heard.ANSWERED),
        (Event.GAVE_UP, "invalid_key", None, Heard.FAILED),
        (Event.GAVE_UP, "authentication_failed", None, Heard.FAILED),
        (Event.GAVE_UP, "unknown", None, Heard.FAILED),
        (Event.FAILED, "timeout", None, Heard.FAILED),
        (Event.FAILED, "http-404", None, Heard.FAILED),
        (Event.FAILED, "http-429", None, Heard.FAILED),
        (Event.FAILED, "http-429", 5 * SECOND, Heard.ASKED),
        (Event.FAILED, "http-503", 5 * SECOND, Heard.ASKED),
    ],
)
def test_a_report_says_whether_the_endpoint_works(event: Event, code: str | None, asked: timedelta | None, heard: Heard) -> None:
    assert heard_of(event, code, asked) is heard


@given(
    steps=st.lists(st.tuples(st.sampled_from(Heard), st.integers(0, 400), st.floats(0, 1), st.integers(0, 86_400)), min_size=1, max_size=40)
)
def test_whatever_is_heard_there_is_always_a_next_attempt_and_never_before_the_partner_asked(
    steps: list[tuple[Heard, int, float, int]],
) -> None:
    """No history shuts a partner off for longer than the longest pause, or than it asked itself; a contact never ends what it asked."""
    circuit, now, asked_until = REST, NOW, NOW
    for heard, seconds, jitter, asked in steps:
        now += seconds * SECOND
        circuit = after(circuit, heard, now=now, delivery=PROFILE, jitter=jitter, asked=asked * SECOND)
        asked_until = max(asked_until, now + asked * SECOND) if heard is Heard.ASKED else asked_until
        if heard is Heard.ANSWERED:
            asked_until = now
        assert circuit.open_until is None or circuit.open_until <= max(now + 100 * SECOND, asked_until)
        assert asked_until <= now or circuit.window(now, 16) == 0
