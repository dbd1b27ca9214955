"""The long benchmarks, run so small that their figures say nothing: that they run, and measure what they say, is what is tested."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import backlog, catchup, isolation, offered
from gateway.app.ports import LegRow
from gateway.cli.devsetup import make_dev_setup
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.ops.settings import ProcessRole, load_settings
from gateway.stores.open import open_store

NEIGHBOUR = PartnerId(catchup.PARTNER)


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        pytest.param("--only isolation", isolation.Plan(), id="isolation"),
        pytest.param("--only isolation --pairs 3 --rate 5 --form scaled", isolation.Plan(pairs=3, rate=5, form="scaled"), id="pairs"),
        pytest.param("--only catchup", catchup.Plan(), id="catchup"),
        pytest.param("--only catchup --legs 7 --drain 0 --urgent-rate 2", catchup.Plan(legs=7, drain=0, urgent_rate=2), id="all-of-few"),
    ],
)
def test_the_command_line_says_what_a_plan_is(words: str, plan: object) -> None:
    assert command.plan_of(command.parser().parse_args(words.split())) == plan


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 50), (0.99, 99), (0.999, 100), (1, 100), (0.01, 1), (0.001, 1)],
)
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert offered.percentile([float(n) for n in range(100, 0, -1)], share) == expected


@pytest.mark.timeout(300)  # processes that start, on a machine that has other things to do
def test_isolation_measures_both_ways_and_in_one_of_them_two_partners_get_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    plan = isolation.Plan(pairs=2, rate=20, seconds=1, lead=0.5)
    result = isolation.run(plan, tmp_path / "run", said.append)
    assert [line.split(":")[0] for line in said] == ["pair 1 of 2, A", "pair 1 of 2, B", "pair 2 of 2, B", "pair 2 of 2, A"]
    for pair in result["pairs"]:
        assert (pair["A"]["arrivals"], pair["B"]["arrivals"]) == (16, 16), "eight of ten partners, twenty messages"
        assert pair["B"]["not_yet"] == 6, "two of ten partners, thirty messages"
        assert pair["p99"] == pytest.approx(pair["B"]["p99_ms"] / pair["A"]["p99_ms"])
    assert result["p99"]["min"] <= result["p99"]["q1"] <= result["p99"]["median"] <= result["p99"]["q3"] <= result["p99"]["max"]


@pytest.mark.timeout(300)
def test_catch_up_drains_what_was_queued_and_urgent_messages_overtake_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = catchup.Plan(legs=200, few=40, drain=0, steady=20, urgent=3, urgent_rate=4, away=0.5)
    result = catchup.run(plan, tmp_path / "run", lambda _: None)
    assert (result["few"]["drained"], result["many"]["drained"]) == (40, 200)
    many = result["many"]
    assert many["urgent"]["count"] >= 1
    assert many["urgent"]["max_ahead"] < 100, "an urgent message waited for the backlog"
    assert min(result["ratios"].values()) > 0
    assert 0 < many["memory_mib"]["queued"] <= many["memory_mib"]["most"]
    catchup.show(result)
    assert "catching up to the steady rate" in capsys.readouterr().out
    json.dumps(result)


async def test_a_backlog_is_of_rows_that_the_gateway_itself_would_have_written(tmp_path: Path) -> None:
    setup = make_dev_setup(tmp_path / "made", partners=catchup.PARTNERS, profiles={NEIGHBOUR: catchup.profile(NEIGHBOUR)})
    settings = load_settings(setup.settings[ProcessRole.EMBEDDED])
    said: list[int] = []
    queued = await backlog.fill(setup.settings[ProcessRole.EMBEDDED], setup.kit("gb-register"), NEIGHBOUR, 30, seed=1, say=said.append)
    async with open_store(settings.store.url.get_secret_value()) as store, store.reading() as work:
        assert await work.counts() == {(NEIGHBOUR, State.READY): 30}
        legs = await work.legs_after(None, 100)
        messages = await work.messages([leg.message for leg in legs])
    assert said == [30]
    assert {(NEIGHBOUR, str(leg.message.jti)) for leg in legs} == set(queued)
    assert len({leg.subject for leg in legs}) == len({row.wrapped for row in messages.values()}) == 30
    assert all(_asks_for_delivery(leg) for leg in legs)


def _asks_for_delivery(leg: LegRow) -> bool:
    return leg.attempt == 0 and leg.signed is None and leg.due_at <= datetime.now(UTC) < leg.expires_at and "identity" in leg.groups
