"""`gateway message check`: every fault with its rule and its law, for files and folders, and nothing of what was sent."""

from __future__ import annotations

import csv
import json
import re
import time
from datetime import UTC, datetime
from random import Random

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.message_check import COLUMNS, Fault, _safe
from gateway.cli.message_ground import Ground, Judge, Senders, spelt
from gateway.contract.values import Environment, Family, PartnerId
from gateway.core.admission import Accepted, Context, Rejected, admit
from gateway.core.directory import Directory
from gateway.core.keyring import Keyring
from gateway.core.keys import Use
from gateway.core.problems import Code, Problem, Severity
from gateway.core.tokens import EVENT, sign
from gateway.testing.clock import FakeClock
from gateway.testing.families import GENERATORS, sample
from gateway.testing.messages import FAULTS, replaced
from tests.house import BASE, GATEWAY, PARTNER_USES, REFERENCE, SCHEMAS, SHIPPED, TABLES, Keys
from tests.unit.core.schema_samples import FAMILIES, FOLDER, ROOT, TRAVEL, expected, leaves, shipped

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AS_OF = ["--schemas", str(FOLDER), "--now", "2026-11-20T12:00:00Z"]
CANARY = "CANARY-7f3a"
GROUND = Ground(REFERENCE, SCHEMAS, TABLES)
JUDGE = Judge(GROUND, Senders("GB"), NOW)
REGISTER = PartnerId("gb-register")


def run(*arguments):
    return CliRunner().invoke(app, ["message", "check", *map(str, arguments), *AS_OF], catch_exceptions=False)


def put(path, *values):
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path


def named(family, event, **beside):
    return {"family": f"{family.name}/{family.version}", **beside, "event": event}


def reported(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["valid", "warnings", "rejected"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_it_finds_in_the_shipped_examples_what_they_are_examples_of(family, name):
    _, problems = JUDGE.judge(named(family, shipped(family, name)))
    found = {(said, p.pointer) for p in problems for said in (p.rule, p.code.value)}
    assert found >= set(expected(family)[name])
    assert any(p.is_error for p in problems) is (name == "rejected")
    assert name == "rejected" or len(problems) == len(expected(family)[name])  # what its rules add to faults of shape is not written down


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_fault_has_a_source_in_words(family):
    for name in ("warnings", "rejected"):
        for problem in JUDGE.judge(named(family, shipped(family, name)))[1]:
            source = GROUND.source_of(problem, family, NOW)
            assert source
            assert not re.search(r"V:[A-Z]|^(G|P|own)$", source), source


CLOCK = FakeClock()
SENDER = Keys.of(REGISTER, CLOCK, PARTNER_USES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", sorted(GENERATORS), ids=str)
def test_it_says_what_admission_says(family, seed):
    """Whatever is wrong with a message, both find the same: they are the same pieces."""
    now, dice = CLOCK.now(), Random(seed)
    made = sample(family, dice, now)
    event = made.event
    for fault in dice.sample(sorted(FAULTS), 3):
        try:
            for pointer, value in FAULTS[fault].items():
                event = replaced(event, pointer, value)
        except (KeyError, IndexError):
            continue
    claims = {**made.claims(iss=REGISTER, aud=GATEWAY, uri_base=BASE), "events": {f"{BASE}/{family.name}/{family.version}": event}}
    admitted = admission_of(claims, now)
    told = admitted.problems if isinstance(admitted, Rejected) else admitted.notices
    judge = Judge(GROUND, Senders("GB", REGISTER, Directory([SHIPPED[REGISTER]])), now)
    assert judge.judge(claims) == (family, list(told))
    assert judge.judge(named(family, event, toe=made.toe.isoformat()))[1] == list(told)


def admission_of(claims, now):
    context = Context(
        gateway=GATEWAY, environment=Environment.TEST, uri_base=BASE, keyring=Keyring(pair.entry for pair in SENDER.pairs.values()),
        decryption_keys={}, encrypted="allowed", directory=Directory([SHIPPED[REGISTER]]), schemas=SCHEMAS, reference=REFERENCE, tables=TABLES,
    )  # fmt: skip
    return admit(sign(claims, SENDER.signing(Use.SUBMIT), typ=EVENT), channel=REGISTER, ctx=context, now=now)


@pytest.mark.parametrize(("latin", "warned"), [("OSOBA TEST", False), ("TEST OSOBA", False), ("SOMEBODY ELSE", True)])
def test_a_latin_form_of_another_name_is_a_warning_in_the_receipt(latin, warned):
    now = CLOCK.now()
    made = sample(TRAVEL, Random(2), now)
    name = {"kind": "LEGAL", "family": "ОСОБА", "given": "ТЕСТ", "script": "Cyrl", "language": "uk", "latin": latin}  # noqa: RUF001 -- Cyrillic
    event = replaced(made.event, "/body/person/names", [name])
    claims = {**made.claims(iss=REGISTER, aud=GATEWAY, uri_base=BASE), "events": {f"{BASE}/travel-notification/1.0": event}}
    admitted = admission_of(claims, now)
    assert isinstance(admitted, Accepted)
    told = [(p.severity, p.code, p.rule) for p in admitted.notices if p.pointer == "/body/person/names/0/latin"]
    assert told == ([(Severity.WARNING, Code.SCHEMA_INVALID, None)] if warned else [])


@pytest.mark.parametrize(("change", "code", "claim"), [
    ({"jti": "1"}, Code.CLAIM_INVALID, "jti"), ({"iss": 1}, Code.CLAIM_INVALID, "iss"), ({"aud": ["a", "b"]}, Code.AUDIENCE_WRONG, "aud"),
    ({"iat": "now"}, Code.CLAIM_INVALID, "iat"), ({"txn": CANARY}, Code.CLAIM_INVALID, "txn"), ({"sub": CANARY}, Code.CLAIM_INVALID, "(others)"),
    ({"events": {}}, Code.CLAIM_INVALID, "events"), ({"events": {CANARY: {}}}, Code.FAMILY_UNKNOWN, "events"),
    ({"events": [1]}, Code.CLAIM_INVALID, "events"),
    ({"events": {f"https://{at}.example/travel-notification/1.0": {} for at in "ab"}}, Code.CLAIM_INVALID, "events"),
])  # fmt: skip
def test_the_claims_of_a_token_are_judged_too(change, code, claim):
    made = sample(TRAVEL, Random(1), NOW).claims(iss=REGISTER, aud=GATEWAY, uri_base=BASE)
    assert not any(p.is_error for p in JUDGE.judge(made)[1])
    (problem,) = JUDGE.judge({**made, **change})[1]
    assert (problem.code, problem.claim) == (code, claim)
    assert CANARY not in problem.detail + problem.expected


@pytest.mark.parametrize(("value", "code"), [
    pytest.param({"event": {}}, Code.FAMILY_UNKNOWN, id="no family"), pytest.param({"body": {}}, Code.FAMILY_UNKNOWN, id="an event alone"),
    pytest.param({"family": "travel-notification", "event": {}}, Code.FAMILY_UNKNOWN, id="no version"),
    pytest.param({"family": "no-such/1.0", "event": {}}, Code.FAMILY_UNKNOWN, id="another family"),
    pytest.param({"family": "travel-notification/1.0", "event": []}, Code.SCHEMA_INVALID, id="no object"),
    pytest.param({"family": "travel-notification/1.0", "event": {}, "toe": "yesterday"}, Code.REQUEST_INVALID, id="no instant"),
    pytest.param({"family": "travel-notification/1.0", "event": {}, "toe": "2026-01-01T00:00:00"}, Code.REQUEST_INVALID, id="no zone"),
    pytest.param({"family": "travel-notification/1.0", "event": {}, CANARY: 1}, Code.REQUEST_INVALID, id="a member more"),
    pytest.param({"family": "travel-notification/1.0", "event": {"x": "x" * 300_000}}, Code.MESSAGE_TOO_LARGE, id="too large"),
])  # fmt: skip
def test_what_is_no_message_is_said_to_be_none(value, code):
    (problem,) = JUDGE.judge(value)[1]
    assert problem.code is code
    assert problem.detail
    assert problem.expected
    assert CANARY not in problem.detail + problem.expected


def test_an_event_alone_is_of_the_family_that_was_named():
    judge = Judge(GROUND, Senders("GB"), NOW, GROUND.family("travel-notification"))
    assert judge.judge(shipped(TRAVEL, "valid")) == (TRAVEL, [])


def test_a_sender_s_own_profile_is_judged_by():
    directory = Directory([SHIPPED[PartnerId("fr-police")]])
    _, (problem,) = Judge(GROUND, Senders("GB", "fr-police", directory), NOW).judge(named(Family("risk-update", "1.0"), {}))
    assert (problem.code, problem.claim) == (Code.NOT_ALLOWED, "events")


@pytest.mark.parametrize("place", ["GB", "GB-NIR", "US"])
def test_the_law_is_that_of_the_sender_s_country(place):
    event = shipped(TRAVEL, "valid")
    _, found = Judge(GROUND, Senders(place), NOW).judge(named(TRAVEL, event, toe="2026-11-20T10:00:00Z"))
    assert all(p.severity is not Severity.ERROR for p in found if p.rule == "R-TRV-01")
    assert Senders(place).of("TEST").country == place[:2]


@pytest.mark.parametrize("place", ["Britain", "gb", "QQ", "GB-TOOLONG", ""])
def test_what_is_no_country_is_a_usage_error(place, tmp_path):
    result = run(put(tmp_path / "a.json", {}), "--country", place)
    assert result.exit_code == 2
    assert "--country" in result.stderr


def test_files_and_folders_of_every_kind_are_checked_at_once(tmp_path):
    good, bad = shipped(TRAVEL, "valid"), shipped(TRAVEL, "rejected")
    (tmp_path / "below").mkdir()
    put(tmp_path / "below" / "one.json", named(TRAVEL, good))
    put(tmp_path / "many.jsonl", named(TRAVEL, good), named(TRAVEL, bad), "text")
    (tmp_path / "row.csv").write_text("family,/handling/environment\ntravel-notification/1.0,TEST\n")
    (tmp_path / "token.jwt").write_text("eyJh.e30.c2ln")
    (tmp_path / "notes.txt").write_text(CANARY)
    report = tmp_path / "report.jsonl"
    result = run(tmp_path, "--report", report)
    rows = reported(report)
    assert result.exit_code == 1
    assert "6 messages, 4 would be rejected, judged on 2026-11-20 as of a register in GB" in result.stdout
    assert "1 files of other kinds were passed over" in result.stdout
    assert {(row["file"].removeprefix(f"{tmp_path}/"), row["line"]) for row in rows} == {
        ("many.jsonl", 2), ("many.jsonl", 3), ("row.csv", 2), ("token.jwt", 1),
    }  # fmt: skip
    second = [row for row in rows if row["file"].endswith("many.jsonl") and row["line"] == 2]
    of_rejected = {(said, row["pointer"]) for row in second for said in (row["rule"], row["code"])}
    assert of_rejected >= set(expected(TRAVEL)["rejected"])
    assert all(row["source"] and row["detail"] for row in rows)
    assert run(tmp_path, "--report", report).exit_code == 1, "the report of the first run is not read as messages"
    assert len(reported(report)) == len(rows)


def test_a_fault_is_told_with_place_rule_right_and_source(tmp_path):
    event = replaced(shipped(TRAVEL, "valid"), "/body/emergency", value=True)
    result = run(put(tmp_path / "a.json", named(TRAVEL, event)), "--show", 1)
    (head, detail, *rest) = result.stdout.splitlines()
    assert head.startswith(f"{tmp_path}/a.json:1 error schema-invalid /body/emergency_reason")
    assert "; right: " in detail
    assert detail.startswith("    ")
    assert detail.endswith("]")
    assert "By rule" in "".join(rest)


def test_on_a_terminal_there_is_a_bar(tmp_path):
    file = put(tmp_path / "a.jsonl", *[named(TRAVEL, shipped(TRAVEL, "valid"))] * 20)
    result = CliRunner(env={"FORCE_COLOR": "1"}).invoke(app, ["message", "check", str(file), *AS_OF], catch_exceptions=False)
    assert result.exit_code == 0
    assert "checking" in result.stderr
    assert "━" in result.stderr


def test_warnings_alone_reject_nothing(tmp_path):
    result = run(put(tmp_path / "a.json", named(TRAVEL, shipped(TRAVEL, "warnings"))))
    assert result.exit_code == 0
    assert "warning" in result.stdout


@pytest.mark.parametrize("arguments", [
    pytest.param(["--report", "r.txt"], id="a report of another kind"), pytest.param(["--family", "none"], id="no such family"),
    pytest.param(["--sender", "nobody", "--partners", str(ROOT / "partners")], id="no such sender"), pytest.param(["nowhere.json"], id="no such file"),
])  # fmt: skip
def test_what_cannot_be_asked_is_a_usage_error(arguments, tmp_path):
    assert run(put(tmp_path / "a.json", {}), *arguments).exit_code == 2


def test_a_sender_is_read_from_the_profiles_that_are_there():
    senders = Senders.load("GB", "fr-police", ROOT / "partners", ground=GROUND)
    assert (senders.of("TEST").country, senders.words) == ("FR", "partner fr-police")


def test_a_pointer_beyond_the_schema_has_the_source_of_what_is_above_it():
    problem = Problem(code=Code.SCHEMA_INVALID, detail="x", pointer="/body/person/no/such/place")
    above = Problem(code=Code.SCHEMA_INVALID, detail="x", pointer="/body/person")
    assert GROUND.source_of(problem, TRAVEL, NOW) == GROUND.source_of(above, TRAVEL, NOW) != ""


def test_a_folder_without_messages_is_said_to_be_one(tmp_path):
    result = run(tmp_path)
    assert (result.exit_code, "no messages there" in result.stderr) == (2, True)


def test_a_report_that_cannot_be_written_is_no_verdict(tmp_path):
    result = run(put(tmp_path / "a.json", {}), "--report", tmp_path / "nowhere" / "r.csv")
    assert result.exit_code == 2


def test_a_csv_report_has_the_same_lines(tmp_path):
    put(tmp_path / "a.jsonl", *(named(family, shipped(family, "rejected")) for family in FAMILIES))
    run(tmp_path / "a.jsonl", "--report", tmp_path / "r.jsonl")
    run(tmp_path / "a.jsonl", "--report", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [{**row, "line": int(row["line"])} for row in rows] == reported(tmp_path / "r.jsonl")


def test_a_name_of_a_file_is_no_formula_in_a_spreadsheet():
    problem = Problem(code=Code.NOT_JSON, detail="x")
    row = _safe(Fault((ROOT / "x").relative_to(ROOT).with_name("=HYPERLINK(1)"), 1, "", problem, "own").row())
    assert row["file"] == "'=HYPERLINK(1)"
    assert row["line"] == 1


def spoilt(event, dice):
    """Every leaf becomes the canary, half of them under another name too."""
    for pointer, _ in list(leaves(event)):
        *_, name = pointer.split("/")
        if dice.random() < 0.5 and not name.isdigit():
            event = replaced(event, f"{pointer.rpartition('/')[0]}/{CANARY}", CANARY)
        event = replaced(event, pointer, CANARY)
    return event


def test_nothing_that_was_sent_is_printed_or_reported(tmp_path):
    dice = Random(5)
    values = [named(family, spoilt(shipped(family, "valid"), dice), jti=CANARY) for family in FAMILIES]
    names = [
        named(TRAVEL, replaced(shipped(TRAVEL, "valid"), "/body/person/names/0", {"kind": "LEGAL", "family": CANARY, "latin": "SOMEBODY"})),
        named(TRAVEL, {CANARY: CANARY}), {"family": f"{CANARY}/1.0", "event": {}}, {CANARY: CANARY}, {"events": {f"{CANARY}/a/1.0": {}}},
    ]  # fmt: skip
    put(tmp_path / "a.jsonl", *values, *names)
    (tmp_path / "b.json").write_text('{"' + CANARY + '": ' + CANARY)
    (tmp_path / "c.csv").write_text(f"/body/person/sex,family\n{CANARY},travel-notification/1.0\n{CANARY}\n")
    result = run(tmp_path, "--report", tmp_path / "r.csv", "--show", 100_000)
    assert result.exit_code == 1
    assert CANARY not in result.stdout + result.stderr + (tmp_path / "r.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("source", "words"), [
    ("V:NI14; V:SMART2", "NISR 2014/185, regulation 7; SMART Office, international tracking pages"), ("S004; own", "seed document 4; our own rule"),
    ("G", "general knowledge, not verified"), ("V:NI16; sexual G", "NISR 2016/145, regulation 5 (violent offenders); sexual general knowledge, not verified"),
    ("our own list", "our own list"), ("numbers of our own", "numbers of our own"), ("S002, P; domain.md b.0", "seed document 2, our own choice; domain.md b.0"), ("V:UNKNOWN", "UNKNOWN"),
])  # fmt: skip
def test_a_source_is_spelt_out(source, words):
    assert spelt(source) == words


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_messages_of_all_families_are_checked_with_progress_summary_and_report(tmp_path):
    """Measured when written: 1 ms a message on one core, at any size of file; most of it Python, so threads would gain nothing."""
    made = tmp_path / "made.jsonl"
    arguments = [
        "message",
        "sample",
        "--count",
        "10000",
        "--faulty",
        "10",
        "--seed",
        "7",
        "--out",
        str(made),
        "--now",
        "2026-11-20T12:00:00Z",
    ]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    started = time.perf_counter()
    result = run(made, "--report", tmp_path / "report.jsonl")
    seconds = time.perf_counter() - started
    rows = reported(tmp_path / "report.jsonl")
    faults, rejected = (
        int(re.search(said, result.stdout)[1].replace(",", "")) for said in (r"([\d,]+) faults written", r"messages, ([\d,]+) would")
    )
    assert result.exit_code == 1
    assert [int(said) for said in re.findall(r"(\d+),000 messages", result.stderr)] == list(range(1, 10))
    assert len(rows) == faults > 1000
    assert rejected == len({row["line"] for row in rows if row["severity"] == "error"}) > 500
    summary = result.stdout[result.stdout.index("By rule") :]
    assert all(name in summary for name in {row["rule"] or row["code"] for row in rows})
    assert all(family.name in summary[summary.index("By family") :] for family in FAMILIES)
    assert seconds < 300, "10,000 messages within minutes, on whatever runs this"
