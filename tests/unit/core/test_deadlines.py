"""Back-off: doubling between the profile's bounds, spread, and never before the partner asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deadlines import exhausted, next_attempt
from gateway.core.profiles import Delivery
from gateway.testing.clock import START

PROFILE = Delivery(format="native", transport="https_push", retry_base_seconds=2, retry_max_seconds=60, attempts_max=5)

DEFAULT = Delivery(format="native", transport="https_push")


@pytest.mark.parametrize(("failures", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (10_000, 60)])
def test_the_wait_doubles_up_to_the_profile_s_maximum(failures: int, seconds: int) -> None:
    assert next_attempt(START, failures, delivery=PROFILE, jitter=1, partner_asked=None) - START == timedelta(seconds=seconds)


@pytest.mark.parametrize(("jitter", "share"), [(0, 0.5), (0.5, 0.75), (1, 1)])
def test_the_wait_is_spread_over_its_upper_half(jitter: float, share: float) -> None:
    assert next_attempt(START, 3, delivery=PROFILE, jitter=jitter, partner_asked=None) - START == timedelta(seconds=8 * share)


@pytest.mark.parametrize(("asked", "seconds"), [(0, 8), (5, 8), (30, 30), (3600, 3600)])
def test_a_partner_that_asks_for_longer_gets_it(asked: int, seconds: int) -> None:
    when = next_attempt(START, 3, delivery=PROFILE, jitter=1, partner_asked=timedelta(seconds=asked))
    assert when - START == timedelta(seconds=seconds)


@pytest.mark.parametrize(("failures", "expected"), [(0, False), (4, False), (5, True), (6, True)])
def test_attempts_are_used_up_at_the_profile_s_number(failures: int, expected: bool) -> None:
    assert exhausted(failures, PROFILE) is expected


@pytest.mark.parametrize(("failures", "seconds"), [(0, 10), (1, 10), (2, 600), (3, 3600), (4, 3600), (1000, 3600)])
def test_a_schedule_of_the_profile_takes_the_place_of_doubling_and_its_last_wait_stays(failures: int, seconds: int) -> None:
    profile = replace(PROFILE, retry_schedule_seconds=(10, 600, 3600))
    assert next_attempt(START, failures, delivery=profile, jitter=1, partner_asked=None) - START == timedelta(seconds=seconds)
    assert next_attempt(START, failures, delivery=profile, jitter=0, partner_asked=None) - START == timedelta(seconds=seconds / 2)


def test_without_a_word_in_the_profile_attempts_last_over_a_long_weekend_however_the_dice_fall() -> None:
    now = START
    for failures in range(1, DEFAULT.attempts_max):
        now = next_attempt(now, failures, delivery=DEFAULT, jitter=0, partner_asked=None)
    assert timedelta(days=5) < now - START < timedelta(seconds=DEFAULT.expire_seconds)


@given(
    failures=st.integers(0, 10**6), jitter=st.floats(0, 1), base=st.integers(1, 600), most=st.integers(1, 10**6),
    asked=st.none() | st.timedeltas(timedelta(), timedelta(days=7)),
)  # fmt: skip
def test_the_next_attempt_is_later_and_not_before_the_partner_asked(
    failures: int, jitter: float, base: int, most: int, asked: timedelta | None
) -> None:
    """Whatever went before, the next attempt lies in the future, and at most the longer of two bounds away."""
    delivery = Delivery(format="native", transport="https_push", retry_base_seconds=base, retry_max_seconds=most)
    wait = next_attempt(START, failures, delivery=delivery, jitter=jitter, partner_asked=asked) - START
    assert timedelta() < wait <= max(timedelta(seconds=most), asked or timedelta())
    assert wait >= (asked or timedelta())
