"""JSON that has one meaning: what comes in is read once and strictly, what we write has one spelling."""

from __future__ import annotations

import math
from typing import Any

import jiter
import msgspec

from gateway.contract.errors import InvariantError
from gateway.core.limits import JSON_DEPTH_MAX
from gateway.core.problems import Code, MalformedError

JsonObject = dict[str, Any]
_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(JsonObject)
_LOOKED_AT = frozenset({dict, list, float})


def parse(raw: bytes) -> Any:
    """Return the value that `raw` spells. Duplicate keys, NaN, infinities, trailing bytes, bad UTF-8 and depth are refused.

    Raises `MalformedError`, which never quotes the input.
    """
    try:
        value = jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
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


def reread(raw: bytes) -> JsonObject:
    """Return the object in bytes that `parse_object` has taken before, or that we wrote. Nothing of it is judged again.

    Raises `InvariantError` for what is no JSON object.
    """
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError as exc:
        raise InvariantError("not what was written") from exc


def canonical(value: object) -> bytes:
    """Return the one spelling we write: UTF-8, no spaces, keys sorted."""
    return _ENCODER.encode(value)


def _check_values(value: Any) -> None:
    """Refuse what jiter lets through: more depth than `JSON_DEPTH_MAX`, and numbers such as 1e999 that overflow to infinity."""
    level, depth = [value] if type(value) in _LOOKED_AT else [], 1
    while level:
        below: list[Any] = []
        for item in level:
            if type(item) is float:
                if not math.isfinite(item):
                    raise MalformedError("a number is too large", code=Code.NOT_JSON, expected="a finite number")
                continue
            if depth > JSON_DEPTH_MAX:
                raise MalformedError("nested too deeply", code=Code.NOT_JSON, expected=f"at most {JSON_DEPTH_MAX} levels")
            below += [held for held in (item.values() if type(item) is dict else item) if type(held) in _LOOKED_AT]
        level, depth = below, depth + 1
