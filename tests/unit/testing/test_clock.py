"""A clock that is told the time, and dice that repeat."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from gateway.contract.errors import InvariantError
from gateway.testing.clock import START, FakeClock, SeededDice


def test_the_clock_stands_until_it_is_advanced() -> None:
    clock = FakeClock()
    assert clock.now() == clock.now() == START
    assert clock.advance(timedelta(minutes=1), seconds=2) == clock.now() == START + timedelta(seconds=62)


def test_the_clock_does_not_go_back() -> None:
    with pytest.raises(InvariantError):
        FakeClock().advance(seconds=-1)


def test_dice_with_one_seed_fall_alike_and_with_another_do_not() -> None:
    def throw(seed: int) -> list[object]:
        dice = SeededDice(seed)
        return [dice.uuid7(START), dice.key(), dice.jitter(), dice.uuid7(START)]

    assert throw(1) == throw(1)
    assert not set(throw(1)) & set(throw(2))


def test_seeded_ids_are_uuids_of_their_time_and_ascend() -> None:
    dice = SeededDice()
    made = [dice.uuid7(START) for _ in range(100)]
    assert made == sorted(set(made))
    assert {UUID(one).version for one in made} == {7}
