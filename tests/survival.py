"""What of a message must arrive: everything, save the field groups that the copy says were withheld."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from gateway.contract.values import Family
from gateway.core.groups import ALWAYS
from tests.house import SCHEMAS
from tests.unit.core.schema_samples import leaves

Leaf = tuple[str, Any]
REWRITTEN: Final = ("/handling/data_quality", "/routing/recipients")  # a view names what groups it has, and of the recipients its own alone
ADDED: Final = frozenset({"original", "previous", "prior_undelivered", "withheld", "lead_time", "checkpoint", "marks"})  # by a delivery
SAID_ANEW: Final = (
    "/handling/classification",
    "/routing/action_requested",
    "/subject/iss",
)  # a minor's mark, a default, whose subject it is


def groups(value: Any, schema: Any, group: str | None = None, pointer: str = "") -> dict[str, str | None]:
    """Pointer and group of every leaf, read off the schema: the outermost `x-field-group` wins."""
    group = group or schema.get("x-field-group")
    if isinstance(value, dict) and "properties" in schema:
        below = [groups(item, schema["properties"][name], group, f"{pointer}/{name}") for name, item in value.items()]
    elif isinstance(value, list) and "items" in schema:
        rest = schema.get("x-field-group-rest")
        below = [
            groups(item, schema["items"], group or (rest if index else None), f"{pointer}/{index}") for index, item in enumerate(value)
        ]
    else:
        return {pointer: group}
    return {at: of for each in below for at, of in each.items()}


def anywhere(pointer: str) -> str:
    """Leave the places in lists open: an item of which nothing is left goes, and those behind it move up."""
    return re.sub(r"/[0-9]+(?=/|$)", "/*", pointer)


def counted(event: Any) -> Counter[Leaf]:
    """Every leaf of an event, apart from what a view writes anew."""
    return Counter((anywhere(at), value) for at, value in leaves(event) if not at.startswith(REWRITTEN))


def groups_of_leaves(family: Family, event: Mapping[str, Any]) -> dict[Leaf, set[str | None]]:
    """The field groups of each leaf."""
    of, found = groups(event, SCHEMAS.document(family)), dict[Leaf, set[str | None]]()
    for at, value in leaves(event):
        found.setdefault((anywhere(at), value), set()).add(of[at])
    return found


def check_survival(family: Family, sent: Mapping[str, Any], got: Mapping[str, Any]) -> set[str]:
    """Assert that a delivered event is what was sent, apart from groups it says were withheld; return these."""
    assert SCHEMAS.check_delivery(family, got) == []
    assert all(entry["group"] and entry["reason"] for entry in got["withheld"])
    withheld = {entry["group"] for entry in got["withheld"]}
    was, is_ = _said(sent), _said({name: value for name, value in got.items() if name not in ADDED})
    of = groups_of_leaves(family, sent)
    assert is_ <= was, is_ - was
    assert not {leaf for leaf in was - is_ if not of[leaf] & withheld}
    assert not withheld & ALWAYS
    return withheld


def _said(event: Mapping[str, Any]) -> Counter[Leaf]:
    return Counter({leaf: times for leaf, times in counted(event).items() if not leaf[0].startswith(SAID_ANEW)})
