"""The real clock and dice: time with its zone, ids as RFC 9562 says, keys that do not repeat."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122, UUID

from gateway.ops.system import SystemClock, SystemDice, Uuid7

RFC_TIME = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)  # RFC 9562, appendix A.6


def test_the_clock_says_its_zone_and_does_not_stand_still() -> None:
    clock = SystemClock()
    before = clock.now()
    assert before.tzinfo is UTC
    while clock.now() == before:
        pass
    assert timedelta() < clock.now() - before < timedelta(seconds=10)


def test_an_id_is_the_one_of_the_rfc_for_its_time_and_bits() -> None:
    tail = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert Uuid7(lambda _: tail).at(RFC_TIME) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_ids_have_version_variant_and_time() -> None:
    dice = SystemDice()
    for n in range(200):
        now = RFC_TIME + timedelta(milliseconds=n)
        made = UUID(dice.uuid7(now))
        assert (made.version, made.variant) == (7, RFC_4122)
        assert made.int >> 80 == int(now.timestamp() * 1000)


def test_ids_of_one_millisecond_ascend_and_are_not_neighbours() -> None:
    dice = SystemDice()
    made = [dice.uuid7(RFC_TIME) for _ in range(5000)]
    assert made == sorted(set(made))
    steps = [UUID(after).int - UUID(before).int for before, after in pairwise(made)]
    assert len(set(steps)) > 4900


def test_ids_ascend_when_the_clock_goes_back() -> None:
    dice = SystemDice()
    made = [dice.uuid7(RFC_TIME - timedelta(seconds=n)) for n in range(100)]
    assert made == sorted(set(made))


def test_a_full_tail_carries_into_the_next_millisecond() -> None:
    made = Uuid7(lambda bits: (1 << bits) - 1)
    first, second = UUID(made.at(RFC_TIME)), UUID(made.at(RFC_TIME))
    assert second.int >> 80 == (first.int >> 80) + 1
    assert (second.version, second.variant) == (7, RFC_4122)


def test_threads_never_get_one_id_twice() -> None:
    dice = SystemDice()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: dice.uuid7(RFC_TIME), range(4000)))
    assert len(set(made)) == len(made)


def test_keys_are_32_bytes_and_do_not_repeat() -> None:
    dice = SystemDice()
    keys = {dice.key() for _ in range(100)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 100


def test_jitter_lies_between_nought_and_one_and_spreads() -> None:
    dice = SystemDice()
    thrown = [dice.jitter() for _ in range(1000)]
    assert 0 <= min(thrown) < 0.1
    assert 0.9 < max(thrown) <= 1
