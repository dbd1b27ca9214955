"""Faults of shape and faults of rules are told together, and no rule is brought down by what was taken out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.values import Environment, Family, Jti, PartnerId
from gateway.core.message import Message
from gateway.core.readable import readable, touches
from gateway.core.rules import RuleContext, check_all
from gateway.testing.clock import FakeClock
from tests.house import REFERENCE, ROOT, SCHEMAS, SHIPPED, TABLES

NOW = FakeClock().now()
ODD: list[Any] = [..., None, 1, -5, 1.5, "x", "", [], {}, ["x"], [None], {"a": 1}, True, [[1]], "2026-13-45", "9999-12-31", "0001-01-01"]
CONTEXT = RuleContext(reference=REFERENCE, tables=TABLES, sender=SHIPPED[PartnerId("gb-register")], environment=Environment.TEST, now=NOW)


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


def put(event: Any, path: tuple[str | int, ...], value: Any) -> Any:
    event = json.loads(json.dumps(event))
    node = event
    for part in path[:-1]:
        node = node[part]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return event


def message(family: Family, event: Any) -> Message:
    sender = PartnerId("gb-register")
    return Message(iss=sender, jti=Jti("x"), digest="", aud=PartnerId("gw-test"), iat=NOW, toe=NOW, txn="t", family=family, event=event)


@pytest.mark.parametrize("family", sorted(SCHEMAS.families), ids=lambda f: f.name)
def test_no_rule_is_brought_down_by_what_a_schema_refuses(family: Family) -> None:
    valid = json.loads(Path(ROOT / "schemas/families" / family.name / "examples/valid.json").read_text(encoding="utf-8"))
    changes = [(path, odd) for path in places(valid) if path for odd in ODD]
    for path, odd in random.Random(7).sample(changes, min(150, len(changes))):
        event = put(valid, path, odd)
        faulty = [p.pointer for p in SCHEMAS.check(family, event, on=NOW.date()) if p.is_error and p.pointer is not None]
        left = readable(event, faulty)
        if left is not None:
            assert all(p.rule or p.code for p in check_all(message(family, left), CONTEXT)), (path, odd)


@pytest.mark.parametrize(
    ("faulty", "left"),
    [
        pytest.param(["/body/a"], {"list": [{"b": 1}, {"b": 2}], "texts": ["x", "y"]}, id="a-member"),
        pytest.param(["/body/list/0"], {"a": 1, "list": [{}, {"b": 2}], "texts": ["x", "y"]}, id="an-object-of-a-list-keeps-its-place"),
        pytest.param(["/body/list/1/b"], {"a": 1, "list": [{"b": 1}, {}], "texts": ["x", "y"]}, id="a-member-of-an-item"),
        pytest.param(["/body/texts/1"], {"a": 1, "list": [{"b": 1}, {"b": 2}]}, id="a-list-of-texts-goes-as-a-whole"),
        pytest.param(["/body/not/there", ""], {"a": 1, "list": [{"b": 1}, {"b": 2}], "texts": ["x", "y"]}, id="something-missing"),
    ],
)
def test_what_is_faulty_is_taken_out(faulty: list[str], left: dict[str, Any]) -> None:
    event = {"handling": {}, "routing": {}, "subject": {}, "body": {"a": 1, "list": [{"b": 1}, {"b": 2}], "texts": ["x", "y"]}}
    before = json.dumps(event)
    found = readable(event, faulty)
    assert found is not None
    assert found["body"] == left
    assert json.dumps(event) == before, "the event itself stays as it came"


def test_without_its_parts_nothing_is_readable() -> None:
    assert readable({"handling": {}, "routing": {}, "subject": {}, "body": {}}, ["/body"]) is None


def test_a_rule_says_nothing_of_a_place_that_is_faulty_already() -> None:
    assert touches("/body/a/b", ["/body/a"])
    assert touches("/body/a", ["/body/a/b"])
    assert not touches("/body/ab", ["/body/a"])
    assert not touches(None, ["/body/a"])
