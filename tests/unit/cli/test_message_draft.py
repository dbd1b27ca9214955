"""`gateway message draft`, `sample` and `latin`: what they write is right, and says what it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.message_draft import WIDTH, write
from gateway.cli.message_files import find, read, without_comments
from gateway.cli.message_ground import Ground, Judge, Senders
from gateway.cli.message_sample import FAMILIES as SAMPLED
from gateway.core.rules import RULES
from tests.house import REFERENCE, SCHEMAS, TABLES
from tests.unit.core.schema_samples import FAMILIES, FOLDER, TRAVEL

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GROUND = Ground(REFERENCE, SCHEMAS, TABLES)


def run(*arguments):
    return CliRunner().invoke(app, ["message", *map(str, arguments)], catch_exceptions=False)


def drafted(family, *, optional=True, comments=True, now=NOW):
    return "\n".join(write(GROUND, family, optional=optional, comments=comments, now=now)) + "\n"


def errors(text, now):
    value = json.loads(without_comments(text.encode()))
    return [p for p in Judge(GROUND, Senders("GB"), now).judge(value)[1] if p.is_error]


def members(node, schema, way=""):
    """Every member that a draft holds, and that its schema has."""
    for name, child in schema.get("properties", {}).items():
        yield f"{way}/{name}", child
        if isinstance(node, dict) and name in node:
            yield from members(node[name], child, f"{way}/{name}")
    if isinstance(node, list) and node:
        yield from members(node[0], schema.get("items", {}), f"{way}/0")


@pytest.mark.parametrize("optional", [True, False], ids=["optional", "required"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_draft_of_every_family_passes_the_check_unchanged(family, optional, tmp_path):
    text = drafted(family, optional=optional)
    (tmp_path / "draft.json").write_text(text, encoding="utf-8")
    ((source,), _) = find([tmp_path / "draft.json"])
    (one,) = read(source, SCHEMAS, None)
    assert [p for p in Judge(GROUND, Senders("GB"), NOW).judge(one.value)[1] if p.is_error] == []
    assert errors(text, NOW + timedelta(hours=30)) == [], "nor a day later"


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_draft_of_today_is_right_by_the_codes_of_today(family):
    now = datetime.now(UTC)
    assert errors(drafted(family, optional=False, now=now), now) == []


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_field_is_explained_and_every_rule_named(family):
    text = drafted(family)
    words = " ".join(line.strip().removeprefix("//").strip() for line in text.splitlines() if line.strip().startswith("//"))
    event = json.loads(without_comments(text.encode()))["event"]
    for way, node in members(event, SCHEMAS.document(family)):
        assert " ".join(f"{node['title']}: {node['description']}".split()) in words, way
    for one in RULES.values():
        if one.applies_to(family.name) and one.kind in {"message", "schema"}:
            assert f"{one.id} {one.effect}: " in words
    assert not [line for line in text.splitlines() if line.strip().startswith("//") and len(line) > WIDTH + 20]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_what_is_required_alone_is_less_and_nothing_of_it_can_go(family):
    whole = json.loads(without_comments(drafted(family).encode()))["event"]
    bare = json.loads(without_comments(drafted(family, optional=False).encode()))["event"]
    assert len(json.dumps(bare)) < len(json.dumps(whole))
    for name in bare["body"]:
        less = {**bare, "body": {other: value for other, value in bare["body"].items() if other != name}}
        assert errors(json.dumps({"family": f"{family.name}/{family.version}", "event": less}), NOW), name


@pytest.mark.parametrize(("family", "member", "value"), [
    ("intelligence-report", "kind", "intelligence"), ("support-referral", "identity_mode", "IDENTIFIED"), ("correction", "kind", "CORRECT"),
    ("supervision-transfer", "stage", "PROPOSED"), ("travel-notification", "notification_basis", "DECLARED"),
])  # fmt: skip
def test_a_draft_is_of_the_usual_case_of_its_family(family, member, value):
    body = json.loads(drafted(GROUND.family(family), comments=False))["event"]["body"]
    assert body[member] == value


def test_without_comments_a_draft_is_plain_json_of_the_same_message():
    plain = drafted(TRAVEL, comments=False)
    assert json.loads(plain) == json.loads(without_comments(drafted(TRAVEL).encode()))


def test_the_command_writes_a_new_file_and_never_over_another(tmp_path):
    out = tmp_path / "draft.json"
    arguments = ("draft", "travel-notification", "--out", out, "--schemas", FOLDER, "--now", "2026-11-20")
    assert run(*arguments).exit_code == 0
    before = out.read_bytes()
    again = run(*arguments)
    assert (again.exit_code, "File exists" in again.stderr, out.read_bytes()) == (1, True, before)
    checked = run("check", out, "--schemas", FOLDER, "--now", "2026-11-20")
    assert checked.exit_code == 0


def test_without_a_file_a_draft_goes_to_standard_output():
    result = run("draft", "acknowledgement/1.0", "--required-only", "--no-comments", "--schemas", FOLDER, "--now", "2026-11-20")
    assert json.loads(result.stdout)["family"] == "acknowledgement/1.0"


def test_a_list_without_an_edition_of_the_day_is_said_to_have_none():
    text = drafted(TRAVEL, now=datetime(2019, 6, 1, tzinfo=UTC))
    assert "of which no edition is in force on 2019-06-01" in text


@pytest.mark.parametrize("family", ["none", "travel-notification/9.9", ""])
def test_a_family_nobody_knows_is_a_usage_error_that_names_them(family):
    result = run("draft", family, "--schemas", FOLDER)
    assert (result.exit_code, "travel-notification" in result.stderr) == (2, True)


def test_samples_are_of_every_family_in_turn_and_the_same_for_the_same_seed():
    first, again, other = (run("sample", "--count", 24, "--seed", seed, "--now", "2026-11-20").stdout for seed in (3, 3, 4))
    assert first == again != other
    values = [json.loads(line) for line in first.splitlines()]
    assert [value["family"].partition("/")[0] for value in values] == sorted(SAMPLED) * 2
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    assert not [value["family"] for value in values if errors(json.dumps(value), midnight)]


def test_samples_can_be_of_one_family_and_all_of_them_wrong():
    lines = run("sample", "--family", "risk-update", "--count", 5, "--faulty", 100, "--now", "2026-11-20").stdout.splitlines()
    assert {json.loads(line)["family"] for line in lines} == {"risk-update/1.0"}
    assert all(errors(line, datetime(2026, 11, 20, tzinfo=UTC)) for line in lines)


def test_samples_go_to_a_file_where_one_is_named(tmp_path):
    assert run("sample", "--count", 2, "--out", tmp_path / "a.jsonl").stdout == ""
    assert len((tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_sample_of_an_unknown_family_is_a_usage_error():
    assert run("sample", "--family", "none").exit_code == 2


@pytest.mark.parametrize(
    ("name", "language", "latin"), [("Müller-Straße", "de", "MUELLER STRASSE"), ("Юрій", "uk", "YURII"), ("محمد", "ar", "MXHMD")]
)
def test_the_latin_form_of_a_name_is_shown(name, language, latin):
    assert run("latin", name, "--language", language).stdout == f"{latin}\n"


def test_a_name_beyond_the_tables_is_said_to_be_beyond_them():
    result = run("latin", "ΠΡΟΣΩΠΟ")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "do not cover" in result.stderr
