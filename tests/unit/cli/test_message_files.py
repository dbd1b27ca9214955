"""Messages out of files: what is one, where it stands, what is wrong with it; nothing of it is quoted."""

from __future__ import annotations

import csv
import io
import json

import pytest

from gateway.cli import message_files
from gateway.cli.message_files import LINE_BYTES_MAX, ONE_BYTES_MAX, Source, event_of, find, read, without_comments
from gateway.contract.values import Family
from gateway.core.problems import Code, RefusedInputError
from tests.unit.core.schema_samples import FAMILIES, TRAVEL, schemas, shipped

CANARY = "CANARY-7f3a"


def found(tmp_path, name, raw, family=None):
    path = tmp_path / name
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    (source,), _ = find([path])
    return list(read(source, schemas(), family))


def cells(value, pointer=""):
    """Every leaf by its pointer, as a CSV has them."""
    if isinstance(value, dict):
        return {way: cell for name, item in value.items() for way, cell in cells(item, f"{pointer}/{name.replace('/', '~1')}").items()}
    if isinstance(value, list):
        return {way: cell for index, item in enumerate(value) for way, cell in cells(item, f"{pointer}/{index}").items()}
    return {pointer: json.dumps(value) if isinstance(value, bool) else str(value)}


def table(*rows):
    header = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, header)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("raw", [
    '{"a": 1} // the end', '// first\n{"a": 1}', '{ // in between\n"a": 1 // and after\n}', '\ufeff{"a": 1}', '{"a": 1}',
])  # fmt: skip
def test_a_draft_s_comments_are_passed_over(tmp_path, raw):
    (one,) = found(tmp_path, "a.json", raw)
    assert (one.value, one.problem) == ({"a": 1}, None)


def test_a_comment_in_a_text_is_text():
    raw = rb'{"u": "https://gateway.example/x", "q": "a \" // b", "n": 1} // c'
    assert json.loads(without_comments(raw)) == {"u": "https://gateway.example/x", "q": 'a " // b', "n": 1}
    assert len(without_comments(raw)) == len(raw)


@pytest.mark.parametrize(("raw", "line", "column"), [
    ('{"a": 1,\n "' + CANARY + '" 2}', 2, 16), ("{\n}\n" + CANARY, 3, 1), ('{"a": ' + CANARY + "}", 1, 7), ('{"a": NaN}', 1, 7), ("", 1, 0),
    ('{"' + CANARY + '": 1, "' + CANARY + '": 2}', 1, 34), ("/* no */ {}", 1, 1), ("# no\n{}", 1, 1), ('{"a": 1,}', 1, 9), ("{'a': 1}", 1, 2),
])  # fmt: skip
def test_what_is_no_json_is_told_by_line_and_column_and_not_quoted(tmp_path, raw, line, column):
    (one,) = found(tmp_path, "a.json", raw)
    assert (one.value, one.problem.code, one.line) == (None, Code.NOT_JSON, line)
    assert f"at line {line} column {column}" in one.problem.detail
    assert CANARY not in one.problem.detail + one.problem.expected


@pytest.mark.parametrize("raw", ["[]", '"text"', "1", "[" * 40 + "]" * 40, '{"a": 1e999}'])
def test_what_is_json_but_no_message_is_refused_without_a_place(tmp_path, raw):
    (one,) = found(tmp_path, "a.json", raw)
    assert one.value is None
    assert "column" not in one.problem.detail


@pytest.mark.parametrize("name", ["a.json", "a.jwe", "a.jws", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("dots", [2, 4])
def test_a_token_is_refused_with_a_clear_word(tmp_path, name, dots):
    (one,) = found(tmp_path, name, "eyJhbGciOiJFUzI1NiJ9" + ".c2VjcmV0" * dots + "\n")
    assert (one.problem.code, one.problem.detail) == (Code.MEDIA_TYPE_WRONG, "is a signed or encrypted token")


def test_a_file_of_one_message_has_a_limit(tmp_path):
    (one,) = found(tmp_path, "a.json", b" " * (ONE_BYTES_MAX + 1))
    assert (one.problem.code, one.problem.expected) == (Code.MESSAGE_TOO_LARGE, f"at most {ONE_BYTES_MAX} bytes")


def test_lines_are_read_one_by_one_and_a_bad_one_stops_none(tmp_path):
    raw = b'{"a": 1}\n\nnone\n' + b"x" * (LINE_BYTES_MAX + 9) + b'\n// no comment here\n{"b": 2}'
    told = [(one.line, one.value, one.problem and one.problem.code) for one in found(tmp_path, "a.jsonl", raw)]
    assert told == [
        (1, {"a": 1}, None), (3, None, Code.NOT_JSON), (4, None, Code.MESSAGE_TOO_LARGE), (5, None, Code.NOT_JSON), (6, {"b": 2}, None),
    ]  # fmt: skip


def test_what_was_read_of_a_file_grows_to_its_size(tmp_path):
    raw = b'{"a": 1}\n' * 3 + b'{"a": "' + b"x" * 2 * LINE_BYTES_MAX + b'"}'
    done = [one.done for one in found(tmp_path, "a.jsonl", raw)]
    assert done == sorted(done)
    assert done[-1] == len(raw)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_row_is_the_message_that_its_cells_say(family):
    event = shipped(family, "valid")
    assert event_of(cells(event), schemas().document(family)) == event


def test_rows_name_their_line_and_family_and_what_stands_beside_the_event(tmp_path):
    event = shipped(TRAVEL, "valid")
    event["body"]["emergency_reason"] = "two\nlines, and a comma"
    row = cells(event)
    raw = table({"family": "travel-notification/1.0", "toe": "2026-11-20T10:00:00Z", **row}, row)
    first, second = found(tmp_path, "a.csv", "\ufeff" + raw, TRAVEL)
    assert first.value == {"toe": "2026-11-20T10:00:00Z", "family": "travel-notification/1.0", "event": event}
    assert second.value == {"family": "travel-notification/1.0", "event": event}
    assert (first.line, second.line) == (2, 4)


@pytest.mark.parametrize(("raw", "line", "code", "detail"), [
    pytest.param("TEST,PERSON\n", 1, Code.REQUEST_INVALID, "the name of column 1 is no pointer into an event", id="no header"),
    pytest.param(f"family,{CANARY}\n", 1, Code.REQUEST_INVALID, "the name of column 2 is no pointer into an event", id="another name"),
    pytest.param("/body/a,/body/a\n", 1, Code.REQUEST_INVALID, "the header names a column twice, or too many", id="twice"),
    pytest.param(",".join(f"/body/{n}" for n in range(2001)), 1, Code.REQUEST_INVALID, "the header names a column twice, or too many", id="many"),
    pytest.param("/body/a,/body/b\n1\n", 2, Code.REQUEST_INVALID, "the row has 1 cells", id="a short row"),
    pytest.param(f'/body/a\n"{CANARY}\n', 2, Code.REQUEST_INVALID, "not CSV, at line 2", id="an open quote"),
    pytest.param("/body/a,/body/a/b\n1,2\n", 2, Code.REQUEST_INVALID, "two columns mean one place", id="above another"),
    pytest.param("/body/a/b,/body/a\n1,2\n", 2, Code.REQUEST_INVALID, "two columns mean one place", id="below another"),
    pytest.param("/handling/codes/1\nH1\n", 2, Code.REQUEST_INVALID, "the list has a gap", id="a gap"),
    pytest.param("/handling/codes/x\nH1\n", 2, Code.REQUEST_INVALID, "the list has a gap", id="no number"),
    pytest.param("/handling/codes/00\nH1\n", 2, Code.REQUEST_INVALID, "the list has a gap", id="another spelling"),
])  # fmt: skip
def test_what_is_no_table_of_messages_is_told_and_not_quoted(tmp_path, raw, line, code, detail):
    (one,) = found(tmp_path, "a.csv", raw, TRAVEL)
    assert (one.line, one.problem.code, one.problem.detail) == (line, code, detail)
    assert CANARY not in one.problem.detail + one.problem.expected


def test_what_is_not_utf_8_is_told(tmp_path):
    (one,) = found(tmp_path, "a.csv", b"/body/a\n\xff\n", TRAVEL)
    assert (one.line, one.problem.detail) == (2, "not CSV, at line 2")


@pytest.mark.parametrize(
    ("cell", "value"), [("180", 180), ("-1", -1), ("1.5", "1.5"), ("007", "007"), ("tall", "tall"), ("9" * 19, "9" * 19)]
)
def test_a_cell_is_of_the_type_the_schema_says_where_it_can_be(cell, value):
    event = event_of({"/body/person/description/height_cm": cell}, schemas().document(TRAVEL))
    assert event == {"body": {"person": {"description": {"height_cm": value}}}}


@pytest.mark.parametrize(("cell", "value"), [("true", True), ("false", False), ("TRUE", "TRUE"), ("1", "1")])
def test_true_and_false_are_spelt_as_in_json(cell, value):
    assert event_of({"/body/emergency": cell}, schemas().document(TRAVEL)) == {"body": {"emergency": value}}


def test_a_place_the_schema_does_not_know_is_kept_for_it_to_refuse():
    assert event_of({"/body/no/0/such": "1"}, schemas().document(TRAVEL)) == {"body": {"no": {"0": {"such": "1"}}}}


def test_columns_of_one_place_are_refused_by_name():
    with pytest.raises(RefusedInputError) as caught:
        event_of({"/body/a/b": "1", "/body/a": "2"}, {})
    assert caught.value.problem.pointer == "/body/a"


def test_folders_are_searched_and_other_files_counted(tmp_path):
    for name in ("b.json", "a/c.jsonl", "a/d.CSV", "a/e.ndjson", "f.jsonc", "g.jwt", "h.pdf", "a/i.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    sources, others = find([tmp_path, tmp_path / "b.json"], but=tmp_path / "f.jsonc")
    assert [source.path.relative_to(tmp_path).as_posix() for source in sources] == ["a/c.jsonl", "a/d.CSV", "a/e.ndjson", "b.json", "g.jwt"]
    assert [source.kind for source in sources] == ["lines", "rows", "lines", "one", "one"]
    assert others == 2


def test_a_row_has_a_limit(tmp_path):
    (one,) = found(tmp_path, "a.csv", b"/body/a\n" + b"x" * (LINE_BYTES_MAX + 1), TRAVEL)
    assert (one.line, one.problem.detail) == (2, "not CSV, at line 2")
    assert str(LINE_BYTES_MAX) in one.problem.expected


def test_a_large_file_is_never_held_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 50_000)
    walk = read(Source(path, "lines", path.stat().st_size), schemas(), None)
    assert next(walk).done == 9
    assert next(walk).done == 18


def test_the_limits_leave_room_for_every_family():
    largest = max(len(cells(shipped(family, "valid"))) for family in FAMILIES)
    assert largest < message_files.COLUMNS_COUNT_MAX
    assert Family("travel-notification", "1.0") == TRAVEL
