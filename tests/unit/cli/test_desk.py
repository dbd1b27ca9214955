"""Operators' commands at the terminal, against an admin listener simulated over real TLS that checks each signed command."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from datetime import UTC, datetime

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gateway.cli.devsetup import make_dev_setup, to_toml
from gateway.cli.main import app
from gateway.core.commands import read_command
from gateway.core.operators import Command, OperatorRole
from gateway.ops.operators import load_operators

LEGS = [f"019a9d2e-5c00-7000-8000-{number:012}" for number in range(250)]


def row(leg, **more):
    return {
        "leg": leg, "partner": "fr-police", "family": "travel-notification", "state": "held", "hold_reason": "MINOR", "last_code": None,
        "attempt": 0, "created_at": "2026-11-21T12:00:00+00:00", "ended_at": None, **more,
    }  # fmt: skip


class Gateway:
    """Answers commands as it is told, having checked them as a gateway does."""

    def __init__(self, setup):
        self.setup = setup
        self.operators = load_operators(setup.folder / "operators", partners=set(), dev=True)
        self.pages = {None: {"legs": [row(LEGS[0])], "next": None, "counts": {"MINOR": 1}}}
        self.stays = {}
        self.answer = None
        self.asked = []

    async def command(self, request):
        signed = read_command(await request.read(), self.operators, aud=self.setup.gateway, now=datetime.now(UTC))
        self.asked.append(signed)
        if self.answer is not None:
            return self.answer()
        if signed.command in {Command.HOLD_LIST, Command.DEADLETTER_LIST}:
            return web.json_response(self.pages[signed.arguments.get("after")])
        if "legs" in signed.arguments:
            return web.json_response({"legs": [self._moved(leg) for leg in signed.arguments["legs"]]})
        return web.json_response({"leg": signed.arguments["leg"], "name": "Zoë"})

    def _moved(self, leg):
        return {"leg": leg, "done": False, "why": self.stays[leg]} if leg in self.stays else {"leg": leg, "done": True, "state": "planned"}

    @property
    def commands(self):
        return [(signed.command.value, signed.arguments) for signed in self.asked]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_dev_setup(tmp_path_factory.mktemp("desk") / "made", partners=("gb-register", "gb-police"))


@pytest.fixture
def gateway(made):
    """The simulated listener, in a loop and a thread of its own, at the address the operators' files name."""
    loop, ready, one = asyncio.new_event_loop(), threading.Event(), Gateway(made)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate("gateway"))

    async def serve():
        application = web.Application()
        application.router.add_post("/v1/commands", one.command)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        one.port, one.runner = runner.addresses[0][1], runner
        ready.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert ready.wait(10)
    yield one
    asyncio.run_coroutine_threadsafe(one.runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def me(made, gateway, tmp_path):
    """The file of the reviewer, with TLS and the authority named."""

    def write(role="reviewer", **change):
        own = made.operator(OperatorRole(role)).parent
        (key,) = own.glob("*.pem")
        said = {
            "id": f"desk-{role}", "gateway": made.gateway, "url": f"https://localhost:{gateway.port}", "key": str(key),
            "ca_file": str(made.authority), **change,
        }  # fmt: skip
        path = tmp_path / "operator.toml"
        path.write_text(to_toml({name: value for name, value in said.items() if value is not None}), encoding="utf-8")
        return path

    return write


def run(file, *arguments, **more):
    return CliRunner().invoke(app, [*arguments, "--operator", str(file)], **more)


def test_a_list_is_read_to_its_end_and_filters_are_signed_for(gateway, me):
    gateway.pages = {
        None: {"legs": [row(LEGS[0])], "next": LEGS[0], "counts": {"MINOR": 1, "REVIEW": 1}},
        LEGS[0]: {"legs": [row(LEGS[1], hold_reason="REVIEW")], "next": None, "counts": {}},
    }
    told = run(me(), "hold", "list", "--partner", "fr-police", "--since", "2026-11-20")
    assert told.exit_code == 0, told.output
    assert LEGS[0] in told.stdout
    assert f"{LEGS[1]}  fr-police  travel-notification  REVIEW" in told.stdout
    assert "MINOR: 1, REVIEW: 1" in told.stdout
    wanted = {"partner": "fr-police", "since": "2026-11-20T00:00:00+00:00"}
    assert gateway.commands == [("hold-list", wanted), ("hold-list", {**wanted, "after": LEGS[0]})]


def test_legs_that_are_named_are_moved_and_no_others(gateway, me):
    told = run(me(), "hold", "release", *LEGS[:2], "--yes")
    assert (told.exit_code, told.stdout) == (0, "2 of 2 legs: hold-release\n")
    assert gateway.commands == [("hold-release", {"legs": LEGS[:2]})]


def test_many_are_moved_some_at_a_time_and_those_that_stay_are_told(gateway, me):
    gateway.pages = {None: {"legs": [row(leg) for leg in LEGS], "next": None, "counts": {}}}
    gateway.stays = {LEGS[3]: "not-dead", LEGS[249]: "erased"}
    told = run(me(), "deadletter", "retry", "--side", "partner", "--yes")
    assert told.exit_code == 3
    assert told.stdout == f"stays  {LEGS[3]}  not-dead\nstays  {LEGS[249]}  erased\n248 of 250 legs: deadletter-retry\n"
    assert [(name, len(said.get("legs", ()))) for name, said in gateway.commands] == [
        ("deadletter-list", 0), ("deadletter-retry", 100), ("deadletter-retry", 100), ("deadletter-retry", 50)
    ]  # fmt: skip


def test_a_dry_run_names_the_legs_and_moves_none(gateway, me):
    told = run(me(), "hold", "refuse", "--reason", "MINOR", "--dry-run")
    assert (told.exit_code, told.stdout) == (0, f"{LEGS[0]}\n1 legs; nothing was changed\n")
    assert [name for name, _ in gateway.commands] == ["hold-list"]


@pytest.mark.parametrize(("typed", "code", "commands"), [("n\n", 1, []), ("", 1, []), ("y\n", 0, ["deadletter-discard"])])
def test_a_person_is_asked_before_anything_moves(gateway, me, typed, code, commands):
    told = run(me(), "deadletter", "discard", LEGS[0], "--reason", "NOT_COMPETENT", input=typed)
    assert told.exit_code == code
    assert "deadletter-discard 1 legs" in told.stdout
    assert [name for name, _ in gateway.commands] == commands


def test_the_reason_of_a_discard_is_signed_for(gateway, me):
    assert run(me(), "deadletter", "discard", LEGS[0], "--reason", "DO_NOT_SEND", "--yes").exit_code == 0
    assert gateway.commands == [("deadletter-discard", {"legs": [LEGS[0]], "reason": "DO_NOT_SEND"})]


def test_a_look_asks_for_ids_and_codes_and_with_a_justification_for_content(gateway, me):
    assert json.loads(run(me(), "deadletter", "inspect", LEGS[0]).stdout) == {"leg": LEGS[0], "name": "Zoë"}
    told = run(me("dpo"), "deadletter", "inspect", LEGS[0], "--justification", "COMPLAINT", "--file", "2026/17")
    assert told.exit_code == 0
    assert [(signed.command.value, signed.justification, signed.file) for signed in gateway.asked] == [
        ("leg-inspect", None, None), ("leg-read", "COMPLAINT", "2026/17")
    ]  # fmt: skip


USAGE = {
    "neither legs nor which": ("hold", "release"),
    "both legs and which": ("hold", "release", LEGS[0], "--reason", "MINOR"),
    "a reason nobody knows": ("hold", "list", "--reason", "BORED"),
    "a justification without a file": ("deadletter", "inspect", LEGS[0], "--justification", "AUDIT"),
    "a file without a justification": ("deadletter", "inspect", LEGS[0], "--file", "7"),
    "a discard without a reason": ("deadletter", "discard", LEGS[0]),
}


@pytest.mark.parametrize("case", USAGE)
def test_what_is_not_meant_clearly_moves_nothing(gateway, me, case):
    assert run(me(), *USAGE[case]).exit_code == 2
    assert gateway.asked == []


def test_a_refusal_is_told_in_words(gateway, me):
    body = json.dumps(
        {
            "errors": [
                {"code": "not-allowed", "detail": "your roles do not give hold-release", "expected": "an operator whose roles give it"}
            ]
        }
    )
    gateway.answer = lambda: web.Response(status=403, body=body, content_type="application/problem+json")
    told = run(me(), "hold", "release", LEGS[0], "--yes")
    assert (told.exit_code, told.stderr) == (3, "refused: your roles do not give hold-release; an operator whose roles give it\n")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_of_no_gateway_is_no_answer(gateway, me, status):
    gateway.answer = lambda: web.Response(status=status, text="<html>", headers={"Location": "/login"} if status == 302 else {})
    told = run(me(), "hold", "list")
    assert (told.exit_code, "gives no answer" in told.stderr) == (4, True)


def test_nobody_listens(me):
    told = run(me(url="https://localhost:1"), "hold", "list")
    assert (told.exit_code, "gives no answer" in told.stderr) == (4, True)


def test_a_listener_with_another_certificate_is_not_believed(gateway, me):
    told = run(me(ca_file=None), "hold", "list")
    assert (told.exit_code, gateway.asked) == (4, [])


FAULTS = {
    "plain HTTP to another machine": ({"url": "http://gateway.example:9443"}, "plain HTTP is for this machine alone"),
    "no address": ({"url": "localhost"}, "url"),
    "an unknown key": ({"rank": "major"}, "rank"),
    "no key": ({"key": None}, "key"),
    "a key that is not there": ({"key": "nothing.pem"}, "cannot be opened"),
    "an id that is none": ({"id": "Jane Doe"}, "id"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_ones_own_file_is_told(gateway, me, case):
    change, told = FAULTS[case]
    result = run(me(**change), "hold", "list")
    assert (result.exit_code, told in result.stderr) == (1, True), result.stderr
    assert "Jane" not in result.stderr


def test_a_key_that_others_can_read_is_not_used(made, gateway, me, tmp_path):
    (key,) = made.operator(OperatorRole.REVIEWER).parent.glob("*.pem")
    copy = tmp_path / key.name
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o644)
    result = run(me(key=str(copy)), "hold", "list")
    assert (result.exit_code, "chmod 600" in result.stderr, gateway.asked) == (1, True, [])


NEW = ("operator", "new", "desk-new", "--name", "A. Person", "--role", "reviewer", "--role", "dpo", "--gateway", "gw-main")


def test_a_new_operator_is_a_profile_and_a_file_of_their_own(made, gateway, me, tmp_path):
    folders = ("--out", str(tmp_path / "operators"), "--key-out", str(tmp_path / "own"), "--url", f"https://localhost:{gateway.port}")
    assert CliRunner().invoke(app, [*NEW, *folders]).exit_code == 0
    gateway.operators = load_operators(tmp_path / "operators", partners=set())
    own = tmp_path / "own" / "operator.toml"
    own.write_text(own.read_text(encoding="utf-8") + f'ca_file = "{made.authority}"\n', encoding="utf-8")
    assert run(own, "hold", "list").exit_code == 0
    assert gateway.asked[0].operator.roles == {OperatorRole.REVIEWER, OperatorRole.DPO}
    again = CliRunner().invoke(app, [*NEW, *folders])
    assert (again.exit_code, "nothing was overwritten" in again.stderr) == (3, True)


def test_a_key_may_have_a_passphrase(made, gateway, tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple\n", encoding="utf-8")
    secret.chmod(0o600)
    folders = ("--out", str(tmp_path / "operators"), "--key-out", str(tmp_path / "own"), "--url", f"https://localhost:{gateway.port}")
    assert CliRunner().invoke(app, [*NEW, *folders, "--passphrase-file", str(secret)]).exit_code == 0
    (key,) = (tmp_path / "own").glob("*.pem")
    assert b"ENCRYPTED" in key.read_bytes()
    gateway.operators = load_operators(tmp_path / "operators", partners=set())
    own = tmp_path / "own" / "operator.toml"
    own.write_text(own.read_text(encoding="utf-8") + f'ca_file = "{made.authority}"\n', encoding="utf-8")
    assert run(own, "hold", "list").exit_code == 0
    secret.write_text("another one, as long as that\n", encoding="utf-8")
    assert run(own, "hold", "list").exit_code == 1
    secret.write_text("short\n", encoding="utf-8")
    assert CliRunner().invoke(app, [*NEW, *folders, "--passphrase-file", str(secret)]).exit_code == 1


def test_an_operators_id_is_one(tmp_path):
    arguments = [*NEW[:2], "Jane Doe", *NEW[3:], "--out", str(tmp_path), "--key-out", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def stands(code=None, **more):
    check = {"id": LEGS[9], "at": "2026-11-21T12:00:00+00:00", "code": code}
    return {
        "partner": "fr-police", "standing": "open", "by_profile": False, "transport": "https_push", "circuit": "closed", "failures": 0,
        "open_until": None, "legs": {"ready": 2, "dead": 1}, "oldest_due": "2026-11-21T11:59:00+00:00", "check": check, **more,
    }  # fmt: skip


def in_turn(*answers):
    turns = iter(answers)
    return lambda: web.json_response(next(turns))


def attempt(number: int, code: str, **more: object) -> dict[str, object]:
    return {"at": f"2026-11-21T09:00:0{number}+00:00", "leg": LEGS[0], "jti": LEGS[1], "attempt": number, "code": code} | {
        "retry_after": None, "again_at": None,
    } | more  # fmt: skip


def test_attempts_are_listed_page_by_page_up_to_the_limit(gateway, me):
    pages = [
        {"attempts": [attempt(3, "delivered"), attempt(2, "timeout")], "next": 17},
        {"attempts": [attempt(1, "http-503", retry_after=120, again_at="2026-11-21T09:02:01+00:00")], "next": 16},
    ]
    gateway.answer = in_turn(*pages)
    told = run(me("auditor"), "partner", "attempts", "fr-police", "--limit", "3", "--failed", "--since", "2026-11-20")
    assert told.exit_code == 0, told.output
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert lines[0] == "at leg document attempt came to asked to wait again at"
    assert lines[2] == f"2026-11-21T09:00:02Z {LEGS[0]} {LEGS[1]} 2 timeout"
    assert lines[3] == f"2026-11-21T09:00:01Z {LEGS[0]} {LEGS[1]} 1 http-503 120 s 2026-11-21T09:02:01Z"
    asked = {"partner": "fr-police", "since": "2026-11-20T00:00:00+00:00", "failed": True}
    assert gateway.commands == [("partner-attempts", asked | {"limit": 3}), ("partner-attempts", asked | {"limit": 1, "after": 17})]


def test_partners_are_listed_as_they_stand(gateway, me):
    partners = [stands("http-503", standing="suspended", by_profile=True, circuit="open", failures=7), stands(partner="x", check=None)]
    gateway.answer = in_turn({"partners": partners})
    told = run(me("auditor"), "partner", "list")
    assert told.exit_code == 0, told.output
    shown = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert shown[1:] == [
        "fr-police suspended (profile) https_push open (7 failed) dead 1, ready 2 2026-11-21T11:59Z http-503 2026-11-21T12:00Z",
        "x open https_push closed dead 1, ready 2 2026-11-21T11:59Z",
    ]


@pytest.mark.parametrize(("verb", "standing"), [("pause", "paused"), ("suspend", "suspended")])
def test_a_partner_is_stopped_by_one_signed_command(gateway, me, verb, standing):
    gateway.answer = in_turn({"partner": "fr-police", "standing": standing})
    told = run(me("admin"), "partner", verb, "fr-police")
    assert (told.exit_code, told.stdout) == (0, f"fr-police: {standing}\n")
    assert gateway.commands == [(f"partner-{verb}", {"partner": "fr-police"})]


def test_a_partner_is_resumed_page_by_page_and_legs_that_stay_are_told(gateway, me):
    gone, stays = {"leg": LEGS[0], "done": True, "state": "planned"}, {"leg": LEGS[1], "done": False, "why": "erased"}
    gateway.answer = in_turn({"legs": [gone], "next": LEGS[0]}, {"legs": [stays], "next": None})
    told = run(me("admin"), "partner", "resume", "fr-police")
    assert told.exit_code == 3
    assert told.stdout.splitlines()[1:] == [f"stays  {LEGS[1]}  erased", "fr-police: open; released 1 legs"]
    assert [said.get("after") for _, said in gateway.commands] == [None, LEGS[0]]


CHECKS = {
    "taken": ("delivered", 0, "took the verification message"),
    "no name": ("dns", 3, "the name of its endpoint is not found (dns)"),
    "bad certificate": ("tls", 3, "certificate is not valid"),
    "an error of RFC 8935": ("invalid_key", 3, "does not know the key we sign with"),
    "a status without words": ("http-500", 3, "HTTP status 500"),
    "a word nobody knows": ("ServerDisconnectedError", 3, "it failed (ServerDisconnectedError)"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_in_words_what_became_of_it(gateway, me, name):
    code, exit_code, words = CHECKS[name]
    gateway.answer = in_turn({"partner": "fr-police", "check": LEGS[9]}, {"partners": [stands()]}, {"partners": [stands(code)]})
    told = run(me("officer"), "partner", "check", "fr-police")
    assert told.exit_code == exit_code
    assert words in told.output


def test_a_check_that_nobody_reports_says_so_in_its_time(gateway, me):
    gateway.answer = in_turn({"partner": "fr-police", "check": LEGS[9]}, *[{"partners": [stands()]}] * 9)
    told = run(me("officer"), "partner", "check", "fr-police", "--wait", "1")
    assert told.exit_code == 4
    assert "is its courier running" in told.output


def test_what_a_partner_lost_is_sent_again_page_by_page(gateway, me):
    gone, stays = {"leg": LEGS[0], "done": True, "state": "planned"}, {"leg": LEGS[1], "done": False, "why": "taken-back"}
    until = "2026-11-21T12:00:00+00:00"
    gateway.answer = in_turn({"legs": [gone], "next": LEGS[0], "until": until}, {"legs": [stays], "next": None, "until": until})
    told = run(me("admin"), "partner", "redeliver", "fr-police", "--since", "2026-11-20", "--yes")
    assert told.exit_code == 3
    assert told.stdout.splitlines()[1:] == [f"stays  {LEGS[1]}  taken-back", "fr-police: 1 of 2 legs go again"]
    wanted = {"partner": "fr-police", "since": "2026-11-20T00:00:00+00:00"}
    assert [said for _, said in gateway.commands] == [wanted, {**wanted, "after": LEGS[0], "until": until}]


def key(kid, **more):
    return {
        "partner": "fr-police", "kid": kid, "use": "submit", "state": "pending", "signer": "s1", "thumbprint": None,
        "valid_from": "2026-11-21T00:00:00+00:00", "valid_to": "2027-12-26T00:00:00+00:00", "submitted_at": "2026-11-21T09:00:00+00:00",
        "decided_at": None, "decided_by": None, **more,
    }  # fmt: skip


def test_submitted_keys_are_listed_page_by_page(gateway, me):
    gateway.answer = in_turn({"keys": [key("k1")], "next": "k1"}, {"keys": [key("k2", state="approved", thumbprint="t2")], "next": None})
    told = run(me("auditor"), "partner", "keys", "list", "--partner", "fr-police")
    assert told.exit_code == 0, told.output
    assert [" ".join(line.split()) for line in told.stdout.splitlines()[1:]] == [
        "fr-police k1 submit pending 2026-11-21 2027-12-26 s1 2026-11-21T09:00Z",
        "fr-police k2 submit approved 2026-11-21 2027-12-26 s1 2026-11-21T09:00Z t2",
    ]
    assert gateway.commands == [("partner-keys", {"partner": "fr-police"}), ("partner-keys", {"partner": "fr-police", "after": "k1"})]


@pytest.mark.parametrize(
    ("verb", "more", "state"),
    [("approve", {"thumbprint": "t" * 43}, "approved"), ("refuse", {}, "refused"), ("revoke", {}, "revoked")],
)
def test_a_submitted_key_is_decided_on_by_one_signed_command(gateway, me, verb, more, state):
    gateway.answer = in_turn({"partner": "fr-police", "kid": "k1", "state": state})
    told = run(me("admin"), "partner", "keys", verb, "fr-police", "k1", *(part for name in more for part in (f"--{name}", more[name])))
    assert (told.exit_code, told.stdout) == (0, f"fr-police: k1 is {state}\n")
    assert gateway.commands == [(f"partner-key-{verb}", {"partner": "fr-police", "kid": "k1", **more})]


def test_a_key_is_not_approved_without_a_thumbprint(gateway, me):
    told = run(me("admin"), "partner", "keys", "approve", "fr-police", "k1")
    assert (told.exit_code, gateway.commands) == (2, [])
