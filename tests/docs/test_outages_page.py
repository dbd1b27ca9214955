"""The page on outages names what exists: each word of both databases, each event, metric and limit."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app import inside, skew
from gateway.app.forget import REMEMBERED
from gateway.app.keeping import STANDS, TRIAL_SECONDS, TRIAL_SECONDS_MAX
from gateway.app.supervise import PAUSE_SECONDS_MAX
from gateway.buses.kafka import PUBLISH_SECONDS_MAX
from gateway.buses.requests import DEADLINE_SECONDS_MAX
from gateway.core import limits
from gateway.ops import ending
from gateway.ops.settings import Limits
from gateway.ops.telemetry import Metrics
from gateway.stores import postgres, sqlite

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "outages.md").read_text(encoding="utf-8")
FILES = [path for folder in ("app", "bootstrap", "buses", "ops") for path in (ROOT / "gateway" / folder).glob("*.py")]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
EVENTS = (
    *("store-refuses", "store-keeps", "bus-unavailable", "loop-waits", "circuit-open", "report-lost"),
    *("certificate-not-read", "certificate-expires", "certificate-ended", "key-expires", "key-ended"),
    *("clock-skew", "request-deadline-too-far", "attempt-too-late"),
)
MISSING = {f"{inside.NOBODY}-store", f"{inside.NOBODY}-{inside.CLOCK}"}  # what an edge says in /readyz


def rows_of(heading: str) -> set[str]:
    """Return the first cell of each row of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return {cell.strip() for cell in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)} - {"`code` ends with", "---"}


def test_each_word_of_sqlite_is_explained_and_no_other() -> None:
    assert rows_of("SQLite") == {*sqlite.WORDS.values(), STANDS}


def test_each_word_of_postgresql_is_explained() -> None:
    source = Path(postgres.__file__).read_text(encoding="utf-8")
    explained = rows_of("PostgreSQL")
    assert {*postgres.WORDS.values(), STANDS} <= explained
    others = explained - {*postgres.WORDS.values(), STANDS}
    assert {words for words in others if words.removesuffix(": certificate has expired") not in source} == set()


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_that_the_page_names_is_one(event: str) -> None:
    assert f"`{event}`" in PAGE or f'"{event}"' in PAGE
    assert f'"{event}"' in SOURCE


def test_every_hyphenated_name_on_the_page_is_an_event_that_is_checked() -> None:
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE)) <= {*EVENTS, *MISSING}


def test_every_metric_and_limit_on_the_page_exists() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    assert {name.removesuffix("_total") for name in re.findall(r"`(gateway_\w+)", PAGE)} <= names
    assert {name for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)*_(?:MAX|MIN))`", PAGE) if not hasattr(limits, name)} == set()


def test_the_times_on_the_page_are_those_of_the_code() -> None:
    assert (TRIAL_SECONDS, TRIAL_SECONDS_MAX, PAUSE_SECONDS_MAX, PUBLISH_SECONDS_MAX) == (2, 5, 5, 10)
    assert (inside.ASK_SECONDS, inside.ASKED_COUNT, inside.HEARD_SECONDS_MAX) == (2, 4, 8)
    assert (skew.SKEW_SECONDS_MAX, skew.AGAIN.total_seconds(), skew.COMPARE_SECONDS) == (2, 300, 30)
    assert (ending.CERTIFICATE.notice, ending.KEY.notice, ending.ENDED_AGAIN) == (timedelta(14), timedelta(30), timedelta(minutes=10))
    assert (limits.REQUEST_SKEW_SECONDS_MAX, limits.REQUEST_SECONDS_MAX, limits.IAT_SKEW_SECONDS_MAX) == (5, 60, 300)
    assert (limits.LEASE_SECONDS_MAX, DEADLINE_SECONDS_MAX, REMEMBERED.total_seconds()) == (60, 120, 60)
    assert Limits().answer_seconds == 20
    assert postgres.STATEMENT_SECONDS_MAX == 30
