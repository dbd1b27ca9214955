"""A partner's three commands, against a gateway simulated over real TLS that signs with the gateway's own keys, or with others."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gateway.cli.devsetup import make_dev_setup
from gateway.cli.main import app
from gateway.core import jose, receipts, tokens
from gateway.core.keys import SigningKey, Use
from gateway.core.message import Signed
from gateway.core.problems import Code, Problem, Severity
from gateway.core.receipts import Head
from gateway.keystores.files import FileKeystore
from gateway.testing.messages import travel_notice

NOW = datetime.now(UTC)
EVENT = travel_notice(random.Random(4), NOW).event
LATE = Problem(
    code=Code.RULE_BROKEN, detail="notified late", expected="7 days before", pointer="/body/itinerary", severity=Severity.WARNING
)
FAULTS = [
    {
        "code": "schema-invalid",
        "severity": "error",
        "detail": "is missing",
        "expected": "a value for itinerary",
        "pointer": "/body/itinerary",
    },
    {
        "code": "rule-broken",
        "severity": "error",
        "detail": "unknown purpose",
        "expected": "a code",
        "pointer": "/handling/purpose",
        "rule": "R-GEN-02",
    },
]


class Gateway:
    """Answers `POST /v1/messages` as it is told, having opened what was submitted."""

    def __init__(self, setup):
        self.keys = FileKeystore(setup.folder / "keys", setup.gateway, dev=True).private()
        self.submit = setup.kit("gb-register").known
        self.signer = self.keys.signing_key(Use.RECEIPT, datetime.now(UTC))
        self.answer = self.accepted
        self.submitted = []

    async def handle(self, request):
        body = await request.read()
        token = tokens.unwrap(body, self.keys.decryption_keys, typ=tokens.EVENT, encrypted="required")
        key = next(k for k in self.submit if k.kid == token.kid)
        self.submitted.append(tokens.verify(token, key))
        return self.answer(self.submitted[-1].signed)

    def _head(self):
        return Head("gw-main", "0197a000-0000-7000-8000-00000000ffff", NOW)

    def receipt(self, signed):
        claims = receipts.receipt_claims(self._head(), signed, leaf=b"\x01" * 32, warnings=(LATE,), checkpoint=None)
        return tokens.sign(claims, self.signer, typ=tokens.RECEIPT)

    def accepted(self, signed):
        return web.Response(status=202, body=self.receipt(signed))

    def repeated(self, signed):
        return web.Response(status=200, body=self.receipt(signed))

    def about_another(self, signed):
        return web.Response(status=202, body=self.receipt(Signed(signed.signer, signed.jti, "0" * 64)))

    def rejected(self, signed):
        problem = Problem(code=Code.SCHEMA_INVALID, detail="is missing")
        claims = receipts.rejection_claims(self._head(), signed, problems=[problem])
        rejection = tokens.sign(claims, self.signer, typ=tokens.REJECTION).decode()
        return self.problem(422, {"errors": FAULTS, "rejection": rejection})

    def untrusted(self, _):
        return self.problem(401, {"errors": [{"code": "untrusted", "severity": "error", "detail": "the token is not trusted"}]})

    def busy(self, _):
        return web.Response(status=503, headers={"Retry-After": "2"})

    @staticmethod
    def problem(status, body):
        return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json")


def serve(gateway, setup, started, stopping):
    async def run():
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        stopping.append(lambda: loop.call_soon_threadsafe(ended.set))
        application = web.Application()
        application.router.add_post("/v1/messages", gateway.handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(setup.certificate("gateway"))
        await web.TCPSite(runner, "127.0.0.1", setup.ports.gateway, ssl_context=context).start()
        started.set()
        await ended.wait()
        await runner.cleanup()

    asyncio.run(run())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    setup = make_dev_setup(tmp_path_factory.mktemp("dev") / "made", partners=("gb-register", "gb-police"))
    gateway, started, stopping = Gateway(setup), threading.Event(), []
    thread = threading.Thread(target=serve, args=(gateway, setup, started, stopping))
    thread.start()
    assert started.wait(20)
    yield SimpleNamespace(setup=setup, gateway=gateway)
    stopping[0]()
    thread.join(20)


@pytest.fixture
def cli(world):
    world.gateway.answer, world.gateway.signer = world.gateway.accepted, world.gateway.keys.signing_key(Use.RECEIPT, datetime.now(UTC))
    environment = {"GATEWAY_KIT": str(world.setup.kit_folder("gb-register")), "COLUMNS": "200"}
    return lambda *args: CliRunner().invoke(app, ["message", *map(str, args)], env=environment)


@pytest.fixture
def notice(tmp_path):
    path = tmp_path / "notice.json"
    path.write_text(json.dumps({"family": "travel-notification/1.0", "toe": "2026-01-31T09:00:00Z", "event": EVENT}))
    return path


def test_an_accepted_message_is_told_with_its_warnings_and_the_receipt_is_kept(cli, notice, world, tmp_path):
    result = cli("submit", notice, "--receipt", tmp_path / "receipt")
    assert result.exit_code == 0
    for words in ("accepted", "verified with the pinned keys", "notified late", "7 days before", "/body/itinerary", "01" * 32):
        assert words in result.output
    assert (tmp_path / "receipt").read_bytes().count(b".") == 2
    claims = world.gateway.submitted[-1].claims
    assert (claims["iss"], claims["aud"], claims["toe"]) == ("gb-register", "gw-main", 1769850000)
    assert claims["events"] == {"https://gateway.example/events/travel-notification/1.0": EVENT}


def test_a_token_that_was_signed_before_is_submitted_as_it_is(cli, notice, world, tmp_path):
    signed = cli("sign", notice, "--plain").stdout.strip()
    (tmp_path / "token").write_text(signed)
    world.gateway.answer = world.gateway.repeated
    for _ in range(2):
        result = cli("submit", tmp_path / "token")
        assert (result.exit_code, "accepted before" in result.output) == (0, True)
    assert {verified.digest for verified in world.gateway.submitted[-2:]} == {tokens.digest_of(signed.encode())}


def test_the_event_alone_is_a_message_of_the_named_family(cli, world, tmp_path):
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    assert cli("submit", tmp_path / "event.json", "--family", "order-summary/2.1").exit_code == 0
    assert list(world.gateway.submitted[-1].claims["events"]) == ["https://gateway.example/events/order-summary/2.1"]


def test_every_fault_of_a_rejection_is_in_the_table(cli, notice, world):
    world.gateway.answer = world.gateway.rejected
    result = cli("submit", notice)
    assert result.exit_code == 3
    for words in (
        "rejected",
        "2 faults",
        "rejection verified",
        "/body/itinerary",
        "a value for itinerary",
        "/handling/purpose",
        "R-GEN-02",
    ):
        assert words in result.output


def test_a_refusal_without_a_signature_says_so(cli, notice, world):
    world.gateway.answer = world.gateway.untrusted
    result = cli("submit", notice)
    assert (result.exit_code, "did not sign this answer" in result.output, "untrusted" in result.output) == (3, True, True)


@pytest.mark.parametrize(("answer", "words"), [("busy", "again in 2 s"), ("about_another", "about another message")])
def test_what_proves_nothing_is_no_acceptance(cli, notice, world, answer, words):
    world.gateway.answer = getattr(world.gateway, answer)
    result = cli("submit", notice)
    assert (result.exit_code, words in result.stderr, "accepted" in result.stdout) == (4, True, False)


@pytest.mark.parametrize("answer", ["accepted", "rejected"])
def test_a_statement_signed_by_another_key_proves_nothing(cli, notice, world, answer):
    world.gateway.signer = SigningKey(
        kid=world.gateway.signer.kid, use=Use.RECEIPT, private=world.setup.kit("gb-register").request_key.private
    )
    world.gateway.answer = getattr(world.gateway, answer)
    result = cli("submit", notice)
    assert (result.exit_code, "not signed by the gateway" in result.stderr) == (4, True)


def test_a_gateway_that_is_not_there_leaves_it_open(cli, notice, tmp_path):
    away = make_dev_setup(tmp_path / "away", partners=("gb-register", "gb-police"))
    result = cli("submit", notice, "--kit", away.kit_folder("gb-register"))
    assert (result.exit_code, "submit the same token again" in result.stderr) == (4, True)


BAD_FILES = {
    "no JSON": ('{"event": ', "not strict JSON"),
    "a key twice": ('{"event": {}, "event": {}}', "not strict JSON"),
    "an unknown member": ('{"event": {}, "family": "a/1.0", "to": "x"}', "unknown to"),
    "a family without a version": ('{"event": {}, "family": "travel"}', "family is not <name>/<version>"),
    "a time without a zone": ('{"event": {}, "toe": "2026-01-31T09:00:00"}', "toe is no instant"),
    "a time that is none": ('{"event": {}, "toe": 5}', "toe is no instant"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_message_is_told_in_one_line(cli, tmp_path, case):
    content, told = BAD_FILES[case]
    (tmp_path / "bad.json").write_text(content)
    result = cli("sign", tmp_path / "bad.json")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{tmp_path / 'bad.json'}: ")
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_file_and_a_kit_that_are_not_there_are_named(cli, notice, tmp_path):
    for arguments, name in ((("sign", tmp_path / "none.json"), "none.json"), (("sign", notice, "--kit", tmp_path), "client.toml")):
        result = cli(*arguments)
        assert (result.exit_code, f"{name}: cannot be read" in result.stderr) == (1, True)


# --- show


def test_show_opens_and_verifies_what_the_kit_has_keys_for(cli, world):
    register = world.setup.kit("gb-register")
    jws = tokens.sign({"iss": "gw-main", "aud": "gb-register", "jti": "j-1", "iat": 1769850000, "events": {"https://x/a/1.0": {"b": [1, {"c": "d"}]}}},
                      world.gateway.keys.signing_key(Use.DOCUMENT, datetime.now(UTC)), typ=tokens.EVENT)  # fmt: skip
    own = next(
        e for e in FileKeystore(world.setup.folder / "keys", "gw-main", dev=True).trusted().entries if e.kid in register.decryption_keys
    )
    result = cli("show", tokens.encrypt(jws, own).decode())
    assert result.exit_code == 0
    for words in (
        "opened with the key of gb-register",
        "verified: signed by gw-main with its document key",
        "not checked here",
        "2026-01-31 09:00:00",
        "/b/1/c",
    ):
        assert words in result.output


def test_show_gives_the_fields_their_titles(cli, notice, tmp_path):
    (tmp_path / "token").write_text(cli("sign", notice, "--plain").stdout)
    result = cli("show", tmp_path / "token")
    assert result.exit_code == 0
    assert "none, anybody can read this" in result.output
    line = next(line for line in result.output.splitlines() if "/body/itinerary/segments/0/mode" in line)
    assert "Mode" in line


def test_show_without_a_kit_verifies_nothing_and_says_so(notice, cli, tmp_path):
    (tmp_path / "token").write_text(cli("sign", notice, "--plain").stdout)
    result = cli("show", tmp_path / "token", "--kit", tmp_path)
    assert (result.exit_code, "NOT VERIFIED" in result.output, "Anybody may have written this" in result.output) == (3, True, True)


def test_show_does_not_open_what_is_for_others(cli, notice):
    result = cli("show", cli("sign", notice).stdout.strip())
    assert (result.exit_code, "NOT OPENED" in result.output, "Claims" in result.output) == (3, True, False)


def changed(jws, part, change):
    parts = jws.split(b".")
    parts[part] = jose.b64encode(change(jose.b64decode(parts[part])))
    return b".".join(parts).decode()


FORGED = {
    "another claim": (1, lambda raw: raw.replace(b'"gw-main"', b'"gw-evil"'), "signature does not verify"),
    "a key nobody knows": (0, lambda raw: raw.replace(b"submit", b"submix"), "no key"),
    "another kind": (0, lambda raw: raw.replace(b"secevent+jwt", b"gw-receipt+jwt"), "no key"),
    "no algorithm": (0, lambda raw: raw.replace(b"ES256", b"none"), "header alg"),
}


@pytest.mark.parametrize("case", FORGED)
def test_show_of_a_forged_token_says_that_nothing_is_to_be_believed(cli, notice, case):
    part, change, told = FORGED[case]
    result = cli("show", changed(cli("sign", notice, "--plain").stdout.strip().encode(), part, change))
    assert result.exit_code == 3
    assert f"NOT VERIFIED: {told}" in result.output
    assert "verified: signed by" not in result.output


@pytest.mark.parametrize("text", ["eyJ.eyJ", "eyJ.a.b.c.d", "eyJhIjoxfQ.!.x"])
def test_show_of_no_token_is_told_in_one_line(cli, tmp_path, text):
    (tmp_path / "x").write_text(text)
    result = cli("show", tmp_path / "x")
    assert (result.exit_code, result.stderr.startswith("cannot be read: ")) == (3, True)


def test_show_reads_the_signed_key_set_with_the_pinned_root(cli, world):
    result = cli("show", world.setup.kit_folder("gb-register") / "gateway.keys.jwt")
    assert result.exit_code == 0
    assert "with its root key" in result.output
    assert "key dev-checkpoint" in result.output
