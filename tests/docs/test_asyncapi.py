"""The description of the topics and the code are the same."""

from __future__ import annotations

from pathlib import Path

import yaml

from gateway.app import topics
from gateway.contract.values import PartnerId

ROOT = Path(__file__).parents[2]
DOCUMENT = yaml.safe_load((ROOT / "schemas" / "events.asyncapi.yaml").read_text(encoding="utf-8"))


def test_the_described_topics_are_those_of_the_code() -> None:
    described = {channel["address"].format(partner="gb-register") for channel in DOCUMENT["channels"].values()}
    register = PartnerId("gb-register")
    assert described == {topics.submissions(register), topics.results(register), topics.EVENTS}


def test_every_operation_names_a_channel() -> None:
    named = {operation["channel"]["$ref"].rpartition("/")[2] for operation in DOCUMENT["operations"].values()}
    assert named == set(DOCUMENT["channels"])
