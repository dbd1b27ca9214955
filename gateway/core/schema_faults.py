"""Explains a refusal: every fault of a message in words, with a pointer, never with the value.

The fast validator says no; this one says why. Both must agree, so what differs between them is done here as the fast one does it:
`$` is the end of text alone, and a day must exist. Work is bounded: an array is read only as far as it may be long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from gateway.core.limits import PROBLEMS_COUNT_MAX
from gateway.core.problems import Code, Problem, RuleId, bounded
from gateway.core.schema_source import EXTENSIONS, Schema
from gateway.core.schema_tree import escape

RAW_COUNT_MAX: Final = 10 * PROBLEMS_COUNT_MAX  # faults looked at: several may be one to a person
KINDS: Final = {"string": "text", "integer": "a whole number", "boolean": "true or false", "object": "an object", "array": "a list"}
_FORMATS: Final = FormatChecker(formats=())


def _date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


def _instant(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


_FORMATS.checks("date", raises=ValueError)(_date)
_FORMATS.checks("date-time", raises=ValueError)(_instant)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise ValueError(pattern)  # a schema of ours, never input: a test walks them all
    return re.compile(pattern[1:-1])


def _pattern(_: Any, pattern: str, instance: object, __: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).fullmatch(instance):
        yield ValidationError("pattern")


def _items(validator: Any, items: Schema, instance: object, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, list):
        for index, item in enumerate(instance[: schema.get("maxItems", len(instance))]):
            yield from validator.descend(item, items, path=index)


def _unique(validator: Any, unique: object, instance: object, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, list) and len(instance) <= schema["maxItems"]:
        yield from _KEYWORDS["uniqueItems"](validator, unique, instance, schema)


_KEYWORDS: Final[Mapping[str, Any]] = Draft202012Validator.VALIDATORS
_VALIDATOR: Final = extend(Draft202012Validator, {"pattern": _pattern, "items": _items, "uniqueItems": _unique})


class Explainer:
    """Finds all faults of values by one schema."""

    def __init__(self, schema: Schema) -> None:
        """Take a self-contained schema that the fast validator has compiled too."""
        self._validator = _VALIDATOR(schema, format_checker=_FORMATS)

    def accepts(self, value: object) -> bool:
        """Say whether the value has no fault: the slow verdict, which must be the fast one."""
        return next(self._validator.iter_errors(value), None) is None

    def problems(self, value: object) -> list[Problem]:
        """Return every fault once, at most `PROBLEMS_COUNT_MAX`; the last one says when there were more."""
        found: dict[tuple[str, str], Problem] = {}
        for error in islice(self._validator.iter_errors(value), RAW_COUNT_MAX):
            for problem in _explained(error):
                found.setdefault((problem.pointer or "", "unknown" if error.validator == "additionalProperties" else ""), problem)
        return bounded(list(found.values()))


def _explained(error: Any) -> Iterator[Problem]:
    pointer = "".join(f"/{escape(str(step))}" for step in error.absolute_path)
    schema: Schema = error.schema
    match error.validator:
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield _problem(f"{pointer}/{escape(name)}", "is missing", f"a value for {name}")
        case "additionalProperties" if schema.get(EXTENSIONS) is True:
            detail = "an extension that is not registered"
            expected = "a registered URI, or no extension"
            yield Problem(code=Code.RULE_BROKEN, detail=detail, expected=expected, pointer=pointer, rule=RuleId("R-GEN-19"))
        case "additionalProperties":
            yield _problem(pointer, "has an unknown property", f"only {', '.join(schema['properties'])}")
        case _:
            yield _problem(pointer, *_words(error, schema))


def _problem(pointer: str, detail: str, expected: str) -> Problem:
    return Problem(code=Code.SCHEMA_INVALID, detail=detail, expected=expected, pointer=pointer)


PLAIN: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {  # keyword: what is wrong, what would be right of its value
    "type": ("is of the wrong type", lambda wanted: " or ".join(KINDS[kind] for kind in _listed(wanted))),
    "enum": ("is not one of the values", lambda wanted: ", ".join(str(value) for value in wanted)),
    "const": ("is not the one value", str),
    "uniqueItems": ("says a thing twice", lambda _: "each entry once"),
    **{f"max{of}": ("is too long", lambda wanted: f"at most {wanted}") for of in ("Length", "Items", "Properties")},
    **{f"min{of}": ("is too short", lambda wanted: f"at least {wanted}") for of in ("Length", "Items", "Properties")},
    "minimum": ("is too small", lambda wanted: f"at least {wanted}"),
    "maximum": ("is too great", lambda wanted: f"at most {wanted}"),
}


def _words(error: Any, schema: Schema) -> tuple[str, str]:
    """Return what is wrong and what would be right. Only the schema is quoted."""
    if "x-expected" in schema and error.validator != "type":
        return "is not allowed here", schema["x-expected"]
    if error.validator in PLAIN:
        detail, right = PLAIN[error.validator]
        return detail, right(error.validator_value)
    if error.validator == "format":
        return "is no day or instant that exists", _example(schema, "a day of the calendar")
    return "has the wrong form", _example(schema, "the form that the schema describes")


def _listed(wanted: str | list[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _example(schema: Schema, otherwise: str) -> str:
    if "description" not in schema:
        return otherwise
    return f"{schema['description']} For instance {schema['examples'][0]}"
