"""How a profile says when to try again, when to leave a partner alone, and how much may come from it."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from gateway.contract.manifest import Manifest, parse
from gateway.contract.values import Lane, PartnerId
from gateway.core.profiles import Profile
from gateway.core.quiet import QuietHours
from gateway.ops.faults import ConfigurationError
from gateway.ops.profiles import Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas

ROOT = Path(__file__).parents[3]
REFERENCE = load_reference(ROOT / "schemas")
VOCABULARY = Vocabulary.of(load_schemas(ROOT / "schemas", REFERENCE), REFERENCE)
ADAPTERS: dict[str, Manifest] = {
    m.id: m for m in (parse(p.read_text(encoding="utf-8"), str(p)) for p in (ROOT / "adapters").glob("*/*/manifest.toml"))
}
PLAIN = (ROOT / "partners" / "nl-border.toml").read_text(encoding="utf-8")
PUSHED = (ROOT / "partners" / "fr-police.toml").read_text(encoding="utf-8")
QUIET = '[[delivery.quiet]]\nzone = "Europe/Paris"\nstarts = "22:00"\nends = "06:00"\n'


def load(folder: Path, delivery: str = "", quiet: str = "", top: str = "") -> Profile:
    """Load a pushed partner with more in its delivery table, and tables of quiet hours after it."""
    text = top + PUSHED.replace('transport = "https_push"\n', f'transport = "https_push"\n{delivery}', 1) + "\n" + quiet
    (folder / "fr-police.toml").write_text(text, encoding="utf-8")
    return load_partners(folder, vocabulary=VOCABULARY, adapters=ADAPTERS).profiles[PartnerId("fr-police")]


def test_every_word_about_retries_is_read(tmp_path: Path) -> None:
    words = "retry_schedule_seconds = [10, 600, 86400]\ncircuit_failures = 2\ncircuit_pause_seconds = 5\ncircuit_pause_max_seconds = 60\n"
    delivery = load(tmp_path, words).delivery
    assert delivery is not None
    assert delivery.retry_schedule_seconds == (10, 600, 86400)
    assert (delivery.circuit_failures, delivery.circuit_pause_seconds, delivery.circuit_pause_max_seconds) == (2, 5, 60)


def test_quiet_hours_are_read_with_every_day_and_the_slowest_lane_where_nothing_else_is_said(tmp_path: Path) -> None:
    more = '[[delivery.quiet]]\nzone = "UTC"\nstarts = "00:00"\nends = "00:00"\ndays = ["SUN"]\nlanes = ["routine", "priority"]\n'
    delivery = load(tmp_path, quiet=QUIET + more).delivery
    assert delivery is not None
    assert delivery.quiet == (
        QuietHours(zone="Europe/Paris", starts=time(22), ends=time(6)),
        QuietHours(zone="UTC", starts=time(0), ends=time(0), days=frozenset({"SUN"}), lanes=frozenset({Lane.ROUTINE, Lane.PRIORITY})),
    )


@pytest.mark.parametrize(
    ("delivery", "quiet", "expected"),
    [
        pytest.param("retry_schedule_seconds = [10, 0]\n", "", "delivery.retry_schedule_seconds.1: ", id="no wait"),
        pytest.param("circuit_failures = 0\n", "", "delivery.circuit_failures: ", id="open from the start"),
        pytest.param("circuit_pause_seconds = 901\n", "", "delivery.circuit_pause_seconds: is above circuit_pause_max_seconds", id="above"),
        pytest.param(
            "retry_base_seconds = 20000\n", "", "delivery.retry_base_seconds: is above retry_max_seconds", id="first above longest"
        ),
        pytest.param("", QUIET.replace("Paris", "Lutetia"), "delivery.quiet.0.zone: unknown time zone", id="zone"),
        pytest.param("", QUIET.replace("22:00", "24:00"), "delivery.quiet.0.starts: ", id="no such hour"),
        pytest.param("", QUIET.replace("06:00", "6:00"), "delivery.quiet.0.ends: ", id="one digit"),
        pytest.param("", QUIET + 'days = ["SONNTAG"]\n', "delivery.quiet.0.days.0: ", id="day"),
        pytest.param("", QUIET + "days = []\n", "delivery.quiet.0.days: ", id="no day"),
        pytest.param("", QUIET + 'lanes = ["fast"]\n', "delivery.quiet.0.lanes.0: ", id="lane"),
    ],
)
def test_one_change_from_right_is_refused(tmp_path: Path, delivery: str, quiet: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, delivery, quiet)
    (fault,) = caught.value.faults
    assert expected in str(fault)


def test_an_inbox_has_no_quiet_hours_for_nobody_calls_it(tmp_path: Path) -> None:
    (tmp_path / "nl-border.toml").write_text(PLAIN + "\n" + QUIET, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="nobody calls an inbox"):
        load_partners(tmp_path, vocabulary=VOCABULARY, adapters=ADAPTERS)
