"""So many in so long: all at once where nothing was taken, then one by one, and never more than that however it is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rates import Rate
from gateway.testing.clock import START

SECOND = timedelta(seconds=1)
RATE = Rate(6, 60)


def take_all(rate: Rate, whole_at: datetime | None, now: datetime) -> tuple[datetime | None, int]:
    """Take as many as may be taken at one moment."""
    taken = 0
    while not rate.wait(whole_at, now):
        whole_at, taken = rate.after(whole_at, now), taken + 1
    return whole_at, taken


@pytest.mark.parametrize(("seconds", "more"), [(0, 0), (9, 0), (10, 1), (25, 2), (60, 6), (600, 6)])
def test_what_was_taken_comes_back_one_by_one_up_to_all_of_it(seconds: int, more: int) -> None:
    whole_at, taken = take_all(RATE, None, START)
    assert taken == 6
    assert take_all(RATE, whole_at, START + seconds * SECOND)[1] == more


@pytest.mark.parametrize(("seconds", "wait"), [(0, 10), (4, 6), (10, 0), (11, 0)])
def test_who_has_to_wait_is_told_how_long(seconds: int, wait: int) -> None:
    whole_at, _ = take_all(RATE, None, START)
    assert RATE.wait(whole_at, START + seconds * SECOND) == wait * SECOND


@given(gaps=st.lists(st.integers(0, 30_000), min_size=1, max_size=60), count=st.integers(1, 20))
def test_in_no_span_of_time_is_more_taken_than_twice_the_count(gaps: list[int], count: int) -> None:
    """Whatever the moments, in the seconds of the rate at most the count that was saved up and the count that came back is taken."""
    rate, whole_at, now = Rate(count, 60), None, START
    taken: list[datetime] = []
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        if not rate.wait(whole_at, now):
            whole_at = rate.after(whole_at, now)
            taken.append(now)
        assert rate.wait(whole_at, now) <= timedelta(seconds=60)
    for start in taken:
        assert sum(start <= at < start + 60 * SECOND for at in taken) <= 2 * count
