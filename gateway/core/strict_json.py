"""JSON that has one meaning: what comes in is read once and strictly, what we write has one spelling."""

from __future__ import annotations

import math
from typing import Any

import jiter
import msgspec

from gateway.core.limits import JSON_DEPTH_MAX
from gateway.core.problems import Code, MalformedError

JsonObject = dict[str, Any]
_ENCODER = msgspec.json.Encoder(order="deterministic")


def parse(raw: bytes) -> Any:
    """Return the value that `raw` spells. Duplicate keys, NaN, infinities, trailing bytes, bad UTF-8 and depth are refused.

    Raises `MalformedError`, which never quotes the input.
    """
    try:
        value = jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        # The cause is dropped on purpose: jiter's text names the duplicate key, and that may be personal data.
        raise MalformedError("not strict JSON", code=Code.NOT_JSON, expected="RFC 8259 JSON, each key once, nothing after it") from None
    _check_values(value)
    return value


def parse_object(raw: bytes) -> JsonObject:
    """Return the object that `raw` spells. Raises `MalformedError` as `parse` does, and for any other value."""
    value = parse(raw)
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object", code=Code.NOT_JSON, expected="an object")
    return value


def canonical(value: object) -> bytes:
    """Return the one spelling we write: UTF-8, no spaces, keys sorted."""
    return _ENCODER.encode(value)


def _check_values(value: Any) -> None:
    """Refuse what jiter lets through: more depth than `JSON_DEPTH_MAX`, and numbers such as 1e999 that overflow to infinity."""
    level, depth = [value], 0
    while level:
        if depth > JSON_DEPTH_MAX:
            raise MalformedError("nested too deeply", code=Code.NOT_JSON, expected=f"at most {JSON_DEPTH_MAX} levels")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.append(None)  # an empty object is a level too
                below.extend(item.values())
            elif isinstance(item, list):
                below.append(None)
                below.extend(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise MalformedError("a number is too large", code=Code.NOT_JSON, expected="a finite number")
        level, depth = below, depth + 1
