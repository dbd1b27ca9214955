"""The edge's questions: who asks is checked inside, every kind has its answer, and no question fails another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.app.ports import Answer, DeskUnavailableError, Question
from gateway.contract.values import PartnerId
from gateway.core import jose, receipts, tokens
from gateway.core.directory import Directory
from gateway.core.evidence import merkle
from gateway.core.evidence.checkpoint import verify
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.keys import Use
from gateway.core.request_tokens import HttpRequest, request_claims
from tests.house import GATEWAY, ORIGIN, House, house
from tests.notices import notice

REGISTER, NL, FR = PartnerId("gb-register"), PartnerId("nl-border"), PartnerId("fr-police")
POLL = "/v1/poll"


def request_token(h: House, asked: HttpRequest, *, who: PartnerId = REGISTER, **changes: Any) -> str:
    claims = request_claims(asked, iss=who, aud=GATEWAY, jti=h.dice.uuid7(h.clock.now()), now=h.clock.now())
    return tokens.sign({**claims, **changes}, h.keys[who].signing(Use.REQUEST), typ=tokens.REQUEST).decode()


def question(h: House, *, kind: str = "poll", path: str = POLL, method: str = "POST", body: bytes = b"{}", **changes: Any) -> Question:
    token = request_token(h, HttpRequest(method, ORIGIN + path, b"", body), who=changes.pop("who", NL))
    return replace(Question(kind=kind, method=method, path=path, body=body, token=token), **changes)


def said(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer.body))


async def test_a_submission_is_answered_by_its_receipt_and_a_repeat_by_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        body = h.token(notice("FR"))
        first = await h.ask("submit", "/v1/messages", method="POST", body=body)
        second = await h.ask("submit", "/v1/messages", method="POST", body=body)
        assert [first.outcome, second.outcome] == ["accepted", "repeated"]
        assert first.body == second.body
        assert first.media_type == "application/jwt"


async def test_a_rejection_names_every_fault_and_is_signed(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        body = h.token(notice("FR", handling__codes=[], routing__language="English"))
        answer = await h.ask("submit", "/v1/messages", method="POST", body=body)
        assert (answer.outcome, answer.code) == ("problem", "schema-invalid")
        told = said(answer)
        assert {problem["pointer"] for problem in told["problems"]} == {"/handling/codes", "/routing/language"}
        assert all(problem["expected"] for problem in told["problems"])
        assert told["rejection"].count(".") == 2


def changed_body(h: House, asked: Question) -> Question:
    return replace(asked, body=b'{"maxEvents":1}')


def changed_path(h: House, asked: Question) -> Question:
    return replace(asked, path="/v1/other")


def changed_query(h: House, asked: Question) -> Question:
    return replace(asked, query="a=b")


def changed_method(h: House, asked: Question) -> Question:
    return replace(asked, method="GET")


def no_token(h: House, asked: Question) -> Question:
    return replace(asked, token=None)


def certificate_alone(h: House, asked: Question) -> Question:
    return replace(asked, token=None, mtls=NL)


def no_real_token(h: House, asked: Question) -> Question:
    return replace(asked, token="é.x.y")


def key_of_another_use(h: House, asked: Question) -> Question:
    return with_claims(h, asked, key=replace(h.keys[NL].signing(Use.SUBMIT), use=Use.REQUEST))


def key_of_another(h: House, asked: Question) -> Question:
    return with_claims(h, asked, key=h.keys[FR].signing(Use.REQUEST))


def too_old(h: House, asked: Question) -> Question:
    return with_claims(h, asked, iat=int(h.clock.now().timestamp()) - 120, exp=int(h.clock.now().timestamp()) - 61)


def too_long(h: House, asked: Question) -> Question:
    return with_claims(h, asked, exp=int(h.clock.now().timestamp()) + 3600)


def for_another_gateway(h: House, asked: Question) -> Question:
    return with_claims(h, asked, aud="gw-other")


def no_issuer(h: House, asked: Question) -> Question:
    return with_claims(h, asked, iss=7)


def of_another_kind(h: House, asked: Question) -> Question:
    return replace(asked, token=tokens.sign(claims_of(asked), h.keys[NL].signing(Use.SUBMIT), typ=tokens.EVENT).decode())


def claims_of(asked: Question) -> Mapping[str, Any]:
    return dict(json.loads(jose.b64decode((asked.token or "").split(".")[1].encode())))


def with_claims(h: House, asked: Question, *, key: Any = None, **changes: Any) -> Question:
    signed = tokens.sign({**claims_of(asked), **changes}, key or h.keys[NL].signing(Use.REQUEST), typ=tokens.REQUEST)
    return replace(asked, token=signed.decode())


FORGED = [
    changed_body, changed_path, changed_query, changed_method, no_token, certificate_alone, no_real_token, key_of_another_use,
    key_of_another, too_old, too_long, for_another_gateway, no_issuer, of_another_kind,
]  # fmt: skip


@pytest.mark.parametrize("change", FORGED, ids=lambda f: f.__name__)
async def test_a_request_that_its_token_does_not_cover_is_refused(tmp_path: Path, change: Any) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("NL"))
        answer = await h.requests.answer(change(h, question(h)))
        assert answer.outcome == "problem"
        assert answer.code in {"untrusted", "not-a-token", "claim-invalid"}
        assert len(await h.poll(NL)) == 1  # nothing was offered by it


async def test_a_request_token_counts_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = question(h)
        answers = await asyncio.gather(*(h.requests.answer(asked) for _ in range(5)))
        assert sorted(answer.outcome for answer in answers) == ["ok", *["problem"] * 4]
        assert (await h.requests.answer(asked)).code == "untrusted"


@pytest.mark.parametrize("kind", ["poll", "submit"])
async def test_what_the_bus_brings_again_after_an_inner_died_is_to_be_asked_anew_and_is_no_offence(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("NL"))
        asked = question(h) if kind == "poll" else question(h, kind="submit", path="/v1/messages", body=b"nonsense", who=REGISTER)
        (first,) = await h.requests.answer_all([asked])
        (again,) = await h.requests.answer_all([asked])
        assert (first.code, again.code) == (None if kind == "poll" else "not-a-token", "unavailable")
        assert (await h.requests.answer(asked)).code == "untrusted"  # of a token that no bus has carried it is one


async def test_a_replayed_submission_gets_what_it_had_earned_and_nothing_more(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = question(h, kind="submit", path="/v1/messages", body=h.token(notice("FR")), who=REGISTER)
        first, second = await h.requests.answer(asked), await h.requests.answer(asked)
        assert [first.outcome, second.outcome] == ["accepted", "repeated"]
        assert first.body == second.body
        wrong = question(h, kind="submit", path="/v1/messages", body=b"nonsense", who=REGISTER)
        assert [(await h.requests.answer(wrong)).code for _ in range(2)] == ["not-a-token", "untrusted"]


async def test_asking_again_settles_nothing_a_second_time(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        first = await h.poll(NL)
        asked = question(h, body=json.dumps({"ack": list(first)}).encode())
        again = replace(asked, kind="poll-again")
        assert said(await h.requests.answer(again)) == {"sets": {}, "moreAvailable": False}
        assert (await h.legs(jti))[NL].state.value == "available"  # on that word nothing is settled
        assert (await h.requests.answer(asked)).outcome == "ok"
        assert (await h.legs(jti))[NL].state.value == "receipted"
        await h.submit(notice("NL", subject="s-new"))
        assert len(said(await h.requests.answer(again))["sets"]) == 1  # but it is shown what is new


async def test_asking_again_ends_with_the_token_s_life(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = question(h, kind="poll-again")
        h.clock.advance(seconds=70)
        assert (await h.requests.answer(asked)).code == "untrusted"


async def test_lines_are_covered_by_one_token_and_each_stands_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        lines = [h.token(notice("FR", subject="s-1")), h.token(notice("FR", handling__codes=[])), h.token(notice("NL"))]
        whole = b"\n".join(lines)
        digest = jose.b64encode(sha256(whole).digest()).decode()
        token = request_token(h, HttpRequest("POST", ORIGIN + "/v1/messages", b"", whole))
        asked = [Question(kind="line", method="POST", path="/v1/messages", token=token, body=line, digest=digest) for line in lines]
        answers = await h.requests.answer_all(asked)
        assert [answer.outcome for answer in answers] == ["accepted", "problem", "accepted"]
        forged = [replace(one, digest=jose.b64encode(sha256(b"other").digest()).decode()) for one in asked]
        assert {answer.code for answer in await h.requests.answer_all(forged)} == {"untrusted"}


async def test_a_certificate_alone_is_enough_for_a_signed_message(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = Question(kind="submit", method="POST", path="/v1/messages", body=h.token(notice("FR")), mtls=REGISTER)
        assert (await h.requests.answer(asked)).outcome == "accepted"


async def test_a_profile_that_asks_for_a_certificate_gets_nothing_without(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        world = h.holder.current
        strict = Directory(replace(p, requires_mtls=True) if p.id == NL else p for p in world.directory)
        h.holder.current = replace(world, context=replace(world.context, directory=strict))
        assert (await h.requests.answer(question(h))).code == "untrusted"
        assert (await h.requests.answer(replace(question(h), mtls=FR))).code == "untrusted"
        assert (await h.requests.answer(replace(question(h), mtls=NL))).outcome == "ok"


# --- status


async def test_a_sender_sees_all_legs_and_refusals_with_reasons(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL", "FR", "TH"))
        await h.run_until_idle()
        told = said(await h.ask("status", f"/v1/messages/{jti}"))
        assert {leg["partner"]: leg["state"] for leg in told["legs"]} == {"fr-police": "delivered", "nl-border": "ready"}
        withheld = {leg["partner"]: {entry["group"] for entry in leg["withheld"]} for leg in told["legs"]}
        assert "risk" in withheld["nl-border"]
        assert [(refusal["country"], refusal["reason"]) for refusal in told["refusals"]] == [("TH", "NO_PARTNER")]


async def test_a_recipient_sees_its_own_leg_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL", "FR", "TH"))
        own = (await h.legs(jti))[NL].jti
        told = said(await h.ask("status", f"/v1/messages/{own}", who=NL))
        assert [leg["jti"] for leg in told["legs"]] == [own]
        assert "refusals" not in told
        assert "fr-police" not in json.dumps(told)


@pytest.mark.parametrize("kind", ["status", "receipt"])
@pytest.mark.parametrize("who", ["nl-border", "fr-police", "gb-police"])
async def test_another_s_message_does_not_exist(tmp_path: Path, who: str, kind: str) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        tail = "/receipt" if kind == "receipt" else ""
        other = await h.ask(kind, f"/v1/messages/{jti}{tail}", who=who)
        nothing = await h.ask(kind, f"/v1/messages/{h.dice.uuid7(h.clock.now())}{tail}", who=who)
        assert (other.code, other.body) == ("not-found", nothing.body)


@pytest.mark.parametrize("path", ["", "/", "/v1/messages/", "/v1/messages/x", "/v1/messages/\x00", "/v1/messages/%00", "/receipt"])
@pytest.mark.parametrize("kind", ["status", "receipt"])
async def test_a_path_without_an_id_finds_nothing(tmp_path: Path, kind: str, path: str) -> None:
    async with house(tmp_path) as h:
        assert (await h.ask(kind, path)).code == "not-found"


# --- evidence


async def test_the_leaf_of_a_receipt_is_proved_to_be_in_the_log(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        receipt = (await h.send(notice("FR", "NL"))).receipt or b""
        entry = h.keys[GATEWAY].pairs[Use.RECEIPT].entry
        opened = tokens.verify(tokens.unwrap(receipt, {}, typ=tokens.RECEIPT, encrypted="allowed"), entry)  # type: ignore[arg-type]
        leaf = receipts.read_statement(opened, reader=REGISTER).leaf or b""
        await h.run_until_idle()
        head = verify((await h.ask("checkpoint", "/v1/evidence/checkpoint")).body.decode(), [h.checkpoint_key])
        proof = said(await h.ask("inclusion", "/v1/evidence/inclusion", query=f"leaf={leaf.hex()}&size={head.size}"))
        path = [bytes.fromhex(node) for node in proof["path"]]
        merkle.verify_inclusion(leaf, proof["index"], head.size, path=path, root=head.root)
        async with h.store.reading() as work:
            ((_, raw),) = await work.leaves(proof["index"], 1)
        assert leaf_hash(raw) == leaf


async def test_an_older_checkpoint_is_proved_to_begin_the_newer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        heads = []
        for number in range(3):
            await h.submit(notice("FR", subject=f"s-{number}"))
            await h.run_until_idle()
            heads.append(verify((await h.ask("checkpoint", "/v1/evidence/checkpoint")).body.decode(), [h.checkpoint_key]))
        first, second = heads[0], heads[-1]
        proof = said(await h.ask("consistency", "/v1/evidence/consistency", query=f"first={first.size}&second={second.size}"))
        path = [bytes.fromhex(node) for node in proof["path"]]
        merkle.verify_consistency(first.size, second.size, path=path, first_root=first.root, second_root=second.root)


ILL_ASKED = [
    ("inclusion", ""), ("inclusion", "leaf=00&size=1"), ("inclusion", f"leaf={'0' * 64}"), ("inclusion", f"leaf={'0' * 64}&size=-1"),
    ("inclusion", f"leaf={'0' * 64}&size=1&size=1"), ("inclusion", f"leaf={'A' * 64}&size=1"), ("inclusion", f"leaf={'0' * 64}&size=٣"),
    ("inclusion", f"leaf={'0' * 64}&size=99999999999999999999"), ("consistency", "first=0&second=1"), ("consistency", "first=1"),
    ("consistency", "&".join(f"a{n}=1" for n in range(20))), ("consistency", "first=1&second=1" + "&x=" * 2000),
    ("consistency", "first=2&second=1"), ("inclusion", f"leaf={'0' * 64}&size=999"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "query"), ILL_ASKED)
async def test_a_proof_that_is_ill_asked_for_is_refused(tmp_path: Path, kind: str, query: str) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        answer = await h.ask(kind, f"/v1/evidence/{kind}", query=query)
        assert answer.code == "request-invalid"


async def test_there_is_no_checkpoint_before_the_first(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert (await h.ask("checkpoint", "/v1/evidence/checkpoint")).code == "not-found"


# --- no question fails another


async def test_a_question_of_an_unknown_kind_is_answered_and_fails_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        bad, good = question(h, kind="nonsense"), question(h)
        answers = await h.requests.answer_all([bad, good])
        assert [answer.outcome for answer in answers] == ["problem", "ok"]
        assert answers[0].code == "internal"


async def test_whoever_asks_in_this_process_is_told_when_time_is_up(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        with pytest.raises(DeskUnavailableError):
            await h.requests.ask(question(h), deadline=h.clock.now() - timedelta(seconds=1))


async def test_a_message_that_is_not_trusted_is_untrusted_by_the_bus_too_and_not_begun_before(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        question = Question(kind="submit", method="POST", path="/v1/messages", mtls=PartnerId("gb-register"), body=b"e30.e30.e30")
        foreign = replace(question, body=h.token(notice("FR"), sender="fr-police"))
        answers = await h.requests.answer_all([question, foreign])
        assert [answer.code for answer in answers] == ["untrusted", "untrusted"]
