"""The page on delivery names every word of a profile that it explains with the value it has by itself, and every metric that exists."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from gateway.core import limits
from gateway.core.profiles import Delivery, Profile
from gateway.ops.telemetry import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "delivery.md").read_text(encoding="utf-8")
ABOUT_RETRIES = re.compile(r"window|timeout|retry|attempts|expire|circuit")
WORDS = [(f.name, f.default) for f in fields(Delivery) if ABOUT_RETRIES.match(f.name) and isinstance(f.default, int)]
TOP = [(f.name, f.default) for f in fields(Profile) if f.name in {"requests_per_minute", "urgent_per_hour"}]


def default_of(word: str) -> int:
    """Read what the page says a word is where the profile is silent."""
    for names, values in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([\d, ]+) \|", PAGE, re.MULTILINE):
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(","), strict=True):
            if name == word:
                return int(value)
    raise AssertionError(word)


@pytest.mark.parametrize(("word", "default"), WORDS)
def test_a_word_of_delivery_has_the_value_that_the_page_says(word: str, default: int) -> None:
    assert default_of(word) == default


@pytest.mark.parametrize(("word", "default"), TOP)
def test_a_limit_of_a_sender_has_the_value_that_the_page_says(word: str, default: int) -> None:
    assert default is not MISSING
    assert f"`{word}` ({default})" in PAGE


def test_every_metric_and_limit_that_the_page_names_exists() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    named = {name.removesuffix("_total") for name in re.findall(r"`(gateway_\w+)", PAGE)}
    assert len(named) > 5
    assert named <= names
    assert {name for name in re.findall(r"`([A-Z_]+_MAX)`", PAGE) if not hasattr(limits, name)} == set()
