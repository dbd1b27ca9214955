"""Reads messages out of files, one by one: JSON (with comments), JSON lines, CSV. Nothing that was read is ever quoted.

A file is never read whole unless it is one message; every limit has a name. See docs/howto/check-messages.md for the forms.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import jiter

from gateway.contract.values import Family
from gateway.core import strict_json
from gateway.core.limits import MESSAGE_BYTES_MAX
from gateway.core.problems import Code, Problem, RefusedInputError
from gateway.core.schema import Schemas
from gateway.core.schema_source import Schema

ONE_BYTES_MAX: Final = 8 * MESSAGE_BYTES_MAX  # a file of one message: blanks and comments are more than half of a draft
LINE_BYTES_MAX: Final = 4 * MESSAGE_BYTES_MAX  # of JSON lines and CSV
COLUMNS_COUNT_MAX: Final = 2000  # of a CSV header: more than the leaves of any family
INDEX_MAX: Final = 999  # of a list in a column: more than any list may be long
SUFFIXES: Final[Mapping[str, str]] = {
    ".json": "one", ".jsonc": "one", ".jws": "one", ".jwe": "one", ".jwt": "one", ".jsonl": "lines", ".ndjson": "lines", ".csv": "rows",
}  # fmt: skip
PARTS: Final = ("handling", "routing", "subject", "body", "extensions")
BESIDE: Final = ("family", "toe", "txn", "jti")  # columns beside those of the event
TOKEN: Final = re.compile(rb"\s*eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2,4}\s*\Z")
_COMMENT: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"|//[^\n]*')
_AT: Final = re.compile(r" at line (\d+) column (\d+)$")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Found:
    """One message of a file, or why it is none. `done` is how many bytes of the file were read by then."""

    line: int
    done: int
    value: Mapping[str, Any] | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file of messages."""

    path: Path
    kind: str
    size: int


def find(paths: Iterable[Path], *, but: Path | None = None) -> tuple[list[Source], int]:
    """Return the files of messages that are named or lie in named folders, and how many others lie there. Raises `OSError`."""
    found: dict[Path, Source] = {}
    others = 0
    for path in paths:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            kind = SUFFIXES.get(file.suffix.lower(), "one" if file == path else "")
            if but is not None and file.resolve() == but.resolve():
                continue
            if kind:
                found.setdefault(file, Source(file, kind, file.stat().st_size))
            else:
                others += 1
    return list(found.values()), others


def read(source: Source, schemas: Schemas, family: Family | None) -> Iterator[Found]:
    """Yield every message of a file; `family` is that of CSV rows without a column of it. Raises `OSError`."""
    with source.path.open("rb") as file:
        if source.kind == "lines":
            yield from _lines(file)
        elif source.kind == "rows":
            yield from _rows(file, schemas, family)
        else:
            yield _one(file)


def without_comments(raw: bytes) -> bytes:
    """Return JSON with each comment (`//` to the end of its line, outside of texts) blanked out: every place stays where it was."""
    return _COMMENT.sub(lambda found: found[0] if found[0].startswith(b'"') else b" " * len(found[0]), raw)


# --- JSON -----------------------------------------------------------------------------------------------------------------


def _one(file: IO[bytes]) -> Found:
    raw = file.read(ONE_BYTES_MAX + 1)
    if len(raw) > ONE_BYTES_MAX:
        return Found(1, len(raw), problem=_too_long("the file", ONE_BYTES_MAX))
    return _parsed(without_comments(raw.removeprefix(_BOM)), line=1, done=len(raw))


def _lines(file: IO[bytes]) -> Iterator[Found]:
    for line, raw, done in _cut(file):
        if raw is None:
            yield Found(line, done, problem=_too_long("the line", LINE_BYTES_MAX))
        elif raw.strip():
            yield _parsed(raw, line=line, done=done)


def _cut(file: IO[bytes]) -> Iterator[tuple[int, bytes | None, int]]:
    """Yield number, bytes and end of each line; None for the bytes of one that is too long."""
    done = number = 0
    while raw := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        done += len(raw)
        long = len(raw) > LINE_BYTES_MAX
        while len(raw) > LINE_BYTES_MAX and not raw.endswith(b"\n"):
            raw = file.readline(LINE_BYTES_MAX + 1)
            done += len(raw)
        yield number, None if long else raw.removeprefix(_BOM), done


def _parsed(raw: bytes, *, line: int, done: int) -> Found:
    if TOKEN.match(raw):
        detail, expected = "is a signed or encrypted token", "what it says, before it is signed; `gateway message show` opens a token"
        return Found(line, done, problem=Problem(code=Code.MEDIA_TYPE_WRONG, detail=detail, expected=expected))
    try:
        return Found(line, done, value=strict_json.parse_object(raw))
    except RefusedInputError as exc:
        told = exc.problem
        row, column = _position(raw)
        if row:
            line += row - 1
            told = Problem(code=told.code, detail=f"{told.detail}, at line {line} column {column}", expected=told.expected)
        return Found(line, done, problem=told)


def _position(raw: bytes) -> tuple[int, int]:
    """Return line and column of what is no JSON; zeros where it is JSON and refused for something else. The parser's text may quote it."""
    try:
        jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as exc:
        found = _AT.search(str(exc))
        return (int(found[1]), int(found[2])) if found else (0, 0)
    return 0, 0


def _too_long(what: str, most: int) -> Problem:
    return Problem(code=Code.MESSAGE_TOO_LARGE, detail=f"{what} is too long", expected=f"at most {most} bytes")


# --- CSV ------------------------------------------------------------------------------------------------------------------


def _rows(file: IO[bytes], schemas: Schemas, family: Family | None) -> Iterator[Found]:
    done = 0

    def texts() -> Iterator[str]:
        nonlocal done
        for _, raw, done in _cut(file):  # noqa: B007 -- it is read outside
            if raw is None:
                raise csv.Error
            yield raw.decode("utf-8")

    reader = csv.reader(texts(), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for row in reader:
            if header is None:
                header = row
                if fault := _header_fault(header):
                    yield Found(1, done, problem=fault)
                    return
            elif row:
                yield _row(header, row, line=line, done=done, schemas=schemas, family=family)
            line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError):
        expected = f"UTF-8, RFC 4180, lines of at most {LINE_BYTES_MAX} bytes"
        yield Found(line, done, problem=Problem(code=Code.REQUEST_INVALID, detail=f"not CSV, at line {line}", expected=expected))


def _header_fault(header: Sequence[str]) -> Problem | None:
    """Say what is wrong with the first line. It is not quoted: where it is missing it is a message."""
    wrong = [
        number for number, name in enumerate(header, 1) if name not in BESIDE and name.split("/")[1:2] not in [[part] for part in PARTS]
    ]
    expected = f"JSON Pointers such as /body/person/names/0/family, and {', '.join(BESIDE)}"
    if wrong:
        return Problem(code=Code.REQUEST_INVALID, detail=f"the name of column {wrong[0]} is no pointer into an event", expected=expected)
    if len(set(header)) < len(header) or len(header) > COLUMNS_COUNT_MAX:
        expected = f"each column once, at most {COLUMNS_COUNT_MAX}"
        return Problem(code=Code.REQUEST_INVALID, detail="the header names a column twice, or too many", expected=expected)
    return None


def _row(header: Sequence[str], row: Sequence[str], *, line: int, done: int, schemas: Schemas, family: Family | None) -> Found:
    if len(row) != len(header):
        detail, expected = f"the row has {len(row)} cells", f"as many as the header: {len(header)}"
        return Found(line, done, problem=Problem(code=Code.REQUEST_INVALID, detail=detail, expected=expected))
    cells = {name: cell for name, cell in zip(header, row, strict=True) if cell}
    name, _, version = cells.get("family", "").partition("/")
    of = Family(name, version) if name else family
    document = schemas.document(of) if of is not None and schemas.knows(of) else {}
    beside: dict[str, Any] = {name: cells.pop(name) for name in BESIDE if name in cells}
    if of is not None:
        beside["family"] = f"{of.name}/{of.version}"
    try:
        return Found(line, done, value={**beside, "event": event_of(cells, document)})
    except RefusedInputError as exc:
        return Found(line, done, problem=exc.problem)


def event_of(cells: Mapping[str, str], schema: Schema) -> dict[str, Any]:
    """Return the event of a row: each cell at its pointer, of the type that the schema says. Raises `RefusedInputError`."""
    tree: dict[Any, Any] = {}
    for pointer, cell in cells.items():
        node, below = tree, schema
        *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
        for step in steps:
            node, below = _inside(node, step, pointer), _below(below, step)
        if last in node:
            raise _crossed(pointer)
        node[last] = _typed(cell, _below(below, last))
    event: dict[str, Any] = _lists(tree, schema, "")
    return event


def _inside(node: dict[Any, Any], step: str, pointer: str) -> dict[Any, Any]:
    inner = node.setdefault(step, {})
    if not isinstance(inner, dict):
        raise _crossed(pointer)
    return inner


def _crossed(pointer: str) -> RefusedInputError:
    """A column whose place another column is above or below of."""
    expected = "one column for it, or columns for its members"
    return RefusedInputError(Problem(code=Code.REQUEST_INVALID, detail="two columns mean one place", expected=expected, pointer=pointer))


def _below(schema: Schema, step: str) -> Schema:
    found: Schema = schema.get("items", {}) if schema.get("type") == "array" else schema.get("properties", {}).get(step, {})
    return found


def _typed(cell: str, schema: Schema) -> Any:
    kinds = schema.get("type", "string")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if kinds & {"integer", "number"} and _NUMBER.fullmatch(cell):
        return int(cell)
    if "boolean" in kinds and cell in {"true", "false"}:
        return cell == "true"
    return cell  # what does not fit its type the schema refuses, at this pointer


def _lists(node: Any, schema: Schema, pointer: str) -> Any:
    """Return a tree with lists where the schema has them. Raises `RefusedInputError` for a list with a gap."""
    if not isinstance(node, dict):
        return node
    if schema.get("type") != "array":
        return {step: _lists(value, _below(schema, step), f"{pointer}/{step}") for step, value in node.items()}
    if sorted(node) != sorted(map(str, range(min(len(node), INDEX_MAX + 1)))):
        detail, expected = "the list has a gap", "0, 1, 2, … each with a cell"
        raise RefusedInputError(Problem(code=Code.REQUEST_INVALID, detail=detail, expected=expected, pointer=pointer))
    return [_lists(node[str(index)], _below(schema, ""), f"{pointer}/{index}") for index in range(len(node))]
