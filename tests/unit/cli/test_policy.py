from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.policy import app

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "schemas" / "families" / "travel-notification" / "examples" / "valid.json"
DAY = ("--on", "2026-11-20")


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("policies", "partners"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def check(tree: Path) -> Result:
    return cli("check", "--policies", tree / "policies", "--partners", tree / "partners", "--schemas", ROOT / "schemas")


def explain(tree: Path, message: Path, partner: str, *more: str) -> Result:
    folders = ("--policies", tree / "policies", "--partners", tree / "partners", "--schemas", ROOT / "schemas")
    return cli("explain", message, partner, *folders, *DAY, *more)


def changed(tmp_path: Path, pointer: str, value: object) -> Path:
    event = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    *path, last = pointer.split("/")
    node = event
    for name in path:
        node = node[name]
    node[last] = value
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    return tmp_path / "event.json"


def test_check_passes_what_is_shipped_and_prints_its_digest(tree):
    result = check(tree)
    assert result.exit_code == 0, result.output
    assert "policies are right for" in result.stdout
    assert "digest " in result.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('permit(principal, action == Action::"send", resource);', "own.cedar:1: missing @id", id="no-id"),
        pytest.param('\n@id("R-GEN-16") forbid(principal, action, resource);', "own.cedar:2: repeated @id R-GEN-16", id="repeated"),
        pytest.param('@id("x") forbid(principal == Partner::"atlantis", action, resource);', "own.cedar:1: unknown partner atlantis", id="partner"),
        pytest.param('@id("x") forbid(principal, action == Action::"see_shoes", resource);', "own.cedar:1: unknown field group shoes", id="group"),
    ],
)  # fmt: skip
def test_check_refuses_with_file_and_line(tree, text, said):
    (tree / "policies" / "own.cedar").write_text(text, encoding="utf-8")
    result = check(tree)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "digest" not in result.stdout


def test_check_refuses_a_profile_that_names_nobody(tree):
    profile = tree / "partners" / "gb-register.toml"
    text = profile.read_text(encoding="utf-8")
    line = text.partition("managing_authority")[0].count("\n") + 1
    profile.write_text(text.replace('"gb-police"', '"atlantis"'), encoding="utf-8")
    result = check(tree)
    assert result.exit_code == 1
    assert f"gb-register.toml:{line}: managing_authority: unknown partner atlantis" in result.stderr


def test_check_says_when_there_is_nothing_to_read(tree):
    shutil.rmtree(tree / "policies")
    assert check(tree).exit_code == 4


def test_explain_says_field_by_field_who_sees_what(tree):
    result = explain(tree, EXAMPLE, "fr-police", "--sender", "gb-register")
    assert result.exit_code == 0, result.output
    assert "It is sent, permitted by travel-to-authorities" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "itinerary" in line)
    assert "shown" in row
    assert "travel-core" in row


def test_explain_names_what_the_border_does_not_see(tree, tmp_path):
    result = explain(tree, EXAMPLE, "nl-border", "--sender", "gb-register")
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if "offences" in line)
    assert "no policy permits it (NO_PERMIT)" in row
    assert "default-deny" in row


def test_explain_says_why_a_provider_gets_nothing(tree):
    result = explain(tree, EXAMPLE, "help-line", "--sender", "gb-register")
    assert result.exit_code == 3
    assert "It is not sent: forbidden by travel-not-to-support" in result.stdout


def test_explain_tells_a_review_from_a_refusal(tree, tmp_path):
    result = explain(tree, changed(tmp_path, "subject/status", "CONCERN"), "fr-police", "--sender", "gb-register")
    assert result.exit_code == 5
    assert "held for review (REVIEW)" in result.stdout


def test_explain_holds_what_could_not_be_evaluated(tree):
    erring = '@id("errs") forbid(principal, action == Action::"send", resource) when { 9223372036854775807 + 1 > 0 };'
    (tree / "policies" / "own.cedar").write_text(erring, encoding="utf-8")
    result = explain(tree, EXAMPLE, "fr-police", "--sender", "gb-register")
    assert result.exit_code == 5
    assert "POLICY_ERROR" in result.stdout


def test_explain_reads_claims_too(tree, tmp_path):
    claims = {
        "iss": "gb-register",
        "events": {"https://x.invalid/travel-notification/1.0": json.loads(EXAMPLE.read_text(encoding="utf-8"))},
    }
    (tmp_path / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    assert explain(tree, tmp_path / "claims.json", "fr-police").exit_code == 0


def test_explain_refuses_a_message_that_would_be_rejected(tree, tmp_path):
    result = explain(tree, changed(tmp_path, "handling/purpose", "FUN"), "fr-police", "--sender", "gb-register")
    assert result.exit_code == 1
    assert "/handling/purpose" in result.stderr
    assert "It is" not in result.stdout


@pytest.mark.parametrize(
    ("text", "partner", "sender", "code"),
    [
        pytest.param('{"a": 1, "a": 2}', "fr-police", "gb-register", 4, id="not-strict-json"),
        pytest.param(None, "atlantis", "gb-register", 2, id="unknown-partner"),
        pytest.param(None, "fr-police", "atlantis", 2, id="unknown-sender"),
    ],
)
def test_explain_needs_a_message_a_partner_and_a_sender(tree, tmp_path, text, partner, sender, code):
    message = EXAMPLE
    if text is not None:
        message = tmp_path / "m.json"
        message.write_text(text)
    assert explain(tree, message, partner, "--sender", sender).exit_code == code
