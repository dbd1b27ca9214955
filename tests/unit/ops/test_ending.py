"""Certificates and keys that end: shown at each look, told once a day in time, loud when it has happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ops.ending import CERTIFICATE, DAY, ENDED_AGAIN, KEY, Ending
from gateway.ops.telemetry import WARNINGS, Metrics
from gateway.ops.tls import TlsError, end_of
from gateway.testing.certificates import Authority
from gateway.testing.clock import START, FakeClock


class Notes:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, name: str, *, code: str = "", **fields: Any) -> None:
        self.events.append((name, code))

    def took(self, name: str, seconds: float) -> None:
        """Take no note."""


class Watched:
    def __init__(self, **left: timedelta) -> None:
        self.clock, self.notes, self.metrics = FakeClock(), Notes(), Metrics()
        self.ends = {name: START + after for name, after in left.items()}
        self.ending = Ending(CERTIFICATE, lambda: self.ends, self.metrics.show_certificate, self.clock, self.notes)

    def shown(self, listener: str) -> float | None:
        return self.metrics.registry.get_sample_value("gateway_certificate_seconds_left", {"listener": listener})


async def test_what_lasts_is_shown_and_not_spoken_of() -> None:
    watched = Watched(partners=CERTIFICATE.notice)
    await watched.ending.run_once()
    assert watched.notes.events == []
    assert watched.shown("partners") == CERTIFICATE.notice.total_seconds()


async def test_below_the_notice_it_is_told_once_a_day_with_its_name_and_its_end() -> None:
    watched = Watched(partners=timedelta(days=3, hours=1), admin=timedelta(days=90))
    for _ in range(24 * 2 + 1):
        await watched.ending.run_once()
        watched.clock.advance(timedelta(hours=1))
    assert watched.notes.events == [("certificate-expires", "partners 2026-11-24T13:00Z")] * 3


async def test_one_that_has_ended_is_told_again_and_again_and_shown_below_zero() -> None:
    watched = Watched(partners=timedelta(minutes=30))
    for _ in range(91):
        await watched.ending.run_once()
        watched.clock.advance(timedelta(minutes=1))
    names = [name for name, _ in watched.notes.events]
    assert names == ["certificate-expires"] + ["certificate-ended"] * 7
    assert watched.shown("partners") == -60 * 60
    assert ENDED_AGAIN < DAY


async def test_a_renewed_one_is_quiet_and_one_renewed_for_a_few_days_is_told_at_once() -> None:
    watched = Watched(partners=-DAY)
    await watched.ending.run_once()
    watched.ends["partners"] = START + timedelta(days=2)
    await watched.ending.run_once()
    watched.ends["partners"] = START + timedelta(days=60)
    await watched.ending.run_once()
    assert [name for name, _ in watched.notes.events] == ["certificate-ended", "certificate-expires"]


@pytest.mark.parametrize("kind", [CERTIFICATE, KEY])
def test_each_word_of_an_end_is_a_warning(kind: Any) -> None:
    assert {f"{kind.name}-expires", f"{kind.name}-ended"} <= WARNINGS


def test_a_chain_ends_with_its_first_certificate_and_the_private_key_beside_it_is_no_matter(tmp_path: Path) -> None:
    authority = Authority("Throw-away authority of a test")
    chain = authority.issue(tmp_path / "chain.pem", "gateway", hosts=("localhost",), life=timedelta(days=7))
    assert timedelta(days=6) < end_of(chain) - datetime.now(UTC) <= timedelta(days=7)
    over = authority.issue(tmp_path / "over.pem", "gateway", hosts=("localhost",), life=-timedelta(minutes=1))
    assert end_of(over) < datetime.now(UTC) < end_of(authority.write(tmp_path / "ca.pem"))


@pytest.mark.parametrize("text", ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None])
def test_a_file_without_certificates_is_an_error_that_names_the_setting(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "file.pem"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(TlsError, match="tls_certificate"):
        end_of(file)
