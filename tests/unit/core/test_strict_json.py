from __future__ import annotations

import pytest

from gateway.contract.errors import InvariantError
from gateway.core import strict_json
from gateway.core.limits import JSON_DEPTH_MAX
from gateway.core.problems import Code, MalformedError

DEEPEST = b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(b'{"a":1,"a":1}', id="key twice"),
        pytest.param(b'{"a":1,"\\u0061":1}', id="key twice in two spellings"),
        pytest.param(b'{"o":{"a":1,"a":1}}', id="key twice below"),
        pytest.param(b"{} {}", id="trailing value"),
        pytest.param(b"{}\x00", id="trailing NUL"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[Infinity]", id="Infinity"),
        pytest.param(b"[-Infinity]", id="-Infinity"),
        pytest.param(b"1e999", id="1e999"),
        pytest.param(b'{"a":[{"b":-1e999}]}', id="-1e999 below"),
        pytest.param(b"1" * 400 + b".0", id="a long float"),
        pytest.param(b"[" + DEEPEST + b"]", id="one level too deep"),
        pytest.param(b'{"a":' * 150 + b"1" + b"}" * 150, id="far too deep"),
        pytest.param(b"[" * 100_000, id="a parser attack"),
        pytest.param(b'"\xff"', id="bad UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate in UTF-8"),
        pytest.param(b'"\\ud800"', id="lone surrogate"),
        pytest.param(b'"\n"', id="raw newline in a string"),
        pytest.param(b"[1,]", id="trailing comma"),
        pytest.param(b"// x\n1", id="comment"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b"'a'", id="single quotes"),
    ],
)
def test_json_with_no_single_meaning_is_refused(raw):
    with pytest.raises(MalformedError) as caught:
        strict_json.parse(raw)
    assert caught.value.problem.code is Code.NOT_JSON


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":[1,2.5,true,null,"\xc3\xb6"]}', {"a": [1, 2.5, True, None, "ö"]}),
        (b" 1e308 ", 1e308),
        (b'{"a":{"a":1},"b":{"a":1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b'"\\ud83d\\ude00"', "😀"),
    ],
)
def test_json_with_one_meaning_is_read(raw, value):
    assert strict_json.parse(raw) == value


def test_the_greatest_depth_is_read():
    assert strict_json.canonical(strict_json.parse(DEEPEST)) == DEEPEST


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"a"', b"null"])
def test_anything_but_an_object_is_refused_where_one_is_asked_for(raw):
    with pytest.raises(MalformedError):
        strict_json.parse_object(raw)


def test_what_we_write_does_not_depend_on_the_order_of_keys():
    assert strict_json.canonical({"b": 1, "a": {"d": "ö", "c": None}}) == '{"a":{"c":null,"d":"ö"},"b":1}'.encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"b":-0.0,"a":[1,2.5,1e3,5e-324,true,null]}', id="numbers"),
        pytest.param(b'{"n":123456789012345678901234567890,"m":-9223372036854775809}', id="numbers above 64 bits"),
        pytest.param('{"t":"\\ud83d\\ude00 \\u0000 试验"}'.encode(), id="text"),
        pytest.param(b' { "a" : [ ] } ', id="spaces"),
    ],
)
def test_what_was_read_once_is_read_again_as_the_same(raw):
    first, again = strict_json.parse_object(raw), strict_json.reread(raw)
    assert repr(again) == repr(first)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"a":1} {}', b'"text"'])
def test_what_we_cannot_have_written_is_not_read_again(raw):
    with pytest.raises(InvariantError):
        strict_json.reread(raw)
