"""The shipped schemas and lists, loaded once, and events made from the schemas' own examples."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.contract.values import Family
from gateway.core.reference import Reference
from gateway.core.schema import Schemas
from gateway.ops.reference import load_reference, load_schema_files, load_schemas

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "schemas"
TRAVEL = Family("travel-notification", "1.0")
ACKNOWLEDGEMENT = Family("acknowledgement", "1.0")
DAY = date(2026, 11, 20)
WINDOW = "https://gateway.example/extensions/arrival-window/1.0"


@lru_cache(maxsize=1)
def reference() -> Reference:
    return load_reference(FOLDER)


@lru_cache(maxsize=1)
def schemas() -> Schemas:
    return load_schemas(FOLDER, reference())


@lru_cache(maxsize=1)
def files():
    return load_schema_files(FOLDER)


FAMILIES = (TRAVEL, ACKNOWLEDGEMENT, *sorted(files().families.keys() - {TRAVEL, ACKNOWLEDGEMENT}))


def shipped(family: Family, name: str) -> dict[str, Any]:
    path = FOLDER / "families" / family.name / "examples" / f"{name}.json"
    event: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return event


def expected(family: Family) -> dict[str, list[tuple[str, str]]]:
    """What examples/expected.toml says of the examples: (rule or code, pointer) of each problem."""
    text = (FOLDER / "families" / family.name / "examples" / "expected.toml").read_text(encoding="utf-8")
    return {
        name: [(said, pointer) for said, _, pointer in (line.partition(" ") for line in lines)]
        for name, lines in tomllib.loads(text).items()
    }


def full(family: Family) -> dict[str, Any]:
    """An event with every property of the schema in it."""
    event: dict[str, Any] = _full(schemas().document(family))
    event["extensions"] = {WINDOW: files().extensions[WINDOW]["examples"][0]}
    if family == TRAVEL:
        event["handling"]["onward_to"] = [{"country": "FR"}]
        event["routing"]["recipients"] = [{"partner": "fr-police", "role": "NAMED"}]
    event["handling"]["data_quality"] = [{"group": g, "kind": "FACT"} for g in sorted(schemas().cut(family, event, frozenset())[1])]
    return event


def _full(node: Mapping[str, Any]) -> Any:
    if node.get("x-extensions") or "minProperties" in node:
        return node["examples"][0]
    if "properties" in node:
        return {name: _full(child) for name, child in node["properties"].items()}
    if "contains" in node:
        return [_full(node["items"]) | {"kind": "LEGAL"}]
    if node["type"] == "array":
        return [_full(node["items"])]
    return node["examples"][0]


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Pointer and value of everything in an event that is no container."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{pointer}/{index}")
    else:
        yield pointer, value
