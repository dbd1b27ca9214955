"""Signed commands: who may sign one, for whom, when and for what."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.contract.values import KeyId, PartnerId
from gateway.core import tokens
from gateway.core.commands import (
    Discarded,
    HoldListing,
    Justification,
    Legs,
    Listing,
    NotAllowedError,
    OneLeg,
    arguments_of,
    command_claims,
    legs_of,
    read_command,
)
from gateway.core.keys import Use
from gateway.core.operators import JUSTIFIED, READING, ROLES_OF, Command, Operator, OperatorId, OperatorRole, Operators
from gateway.core.problems import Code, MalformedError, RefusedInputError, UntrustedError
from tests.vectors.tokens import NOW, SIGN_EC, SIGN_ED, VERIFY_EC, VERIFY_ED

GW = PartnerId("gw")
JTI = "019a9d2e-5c00-7000-8000-0000000000aa"
LEG, OTHER = "019a9d2e-5c00-7000-8000-000000000001", "019a9d2e-5c00-7000-8000-000000000002"
IAT = int(NOW.timestamp())
ME = OperatorId("desk-reviewer")
SIGN = replace(SIGN_EC, use=Use.COMMAND)
PUBLIC = replace(VERIFY_EC, use=Use.COMMAND, owner=PartnerId(ME))


def operator(*roles: OperatorRole, id_: OperatorId = ME, key=PUBLIC) -> Operator:
    return Operator(id=id_, name="A Reviewer", roles=frozenset(roles or OperatorRole), keys=(replace(key, owner=PartnerId(id_)),))


def claims(command: Command = Command.HOLD_RELEASE, **change: object) -> dict[str, object]:
    made = command_claims(command, {"legs": [LEG]}, iss=ME, aud=GW, jti=JTI, now=NOW)
    return {name: value for name, value in {**made, **change}.items() if value is not ...}


def read(said=None, *, operators=None, key=SIGN, now=NOW):
    raw = tokens.sign(said or claims(), key, typ=tokens.COMMAND)
    return read_command(raw, operators or Operators([operator()]), aud=GW, now=now)


def test_a_command_says_who_asks_for_what():
    signed = read()
    assert (signed.operator.id, signed.command, signed.jti, signed.key) == (ME, Command.HOLD_RELEASE, JTI, SIGN.kid)
    assert (signed.exp, signed.justification, signed.file) == (NOW + timedelta(seconds=60), None, None)
    assert legs_of(arguments_of(signed, Legs)) == (LEG,)


def test_its_digest_is_that_of_what_was_signed():
    raw = tokens.sign(claims(), SIGN, typ=tokens.COMMAND)
    assert read_command(raw, Operators([operator()]), aud=GW, now=NOW).digest == tokens.digest_of(raw)


UNTRUSTED = {
    "another operator's key": (claims(), {"key": replace(SIGN_ED, use=Use.COMMAND)}),
    "a stranger": (claims(iss="desk-stranger"), {}),
    "a partner": (claims(iss="gb-register"), {}),
    "no operators at all": (claims(), {"operators": Operators()}),
    "signed by another than it says": (claims(iss="desk-admin"), {"operators": Operators([operator(), operator(id_=OperatorId("desk-admin"), key=replace(VERIFY_ED, use=Use.COMMAND))])}),
    "a revoked key": (claims(), {"operators": Operators([operator(key=replace(PUBLIC, revoked_at=NOW + timedelta(days=1)))])}),
    "a key not yet good": (claims(), {"operators": Operators([operator(key=replace(PUBLIC, valid_from=NOW + timedelta(seconds=1)))])}),
    "a key that has ended": (claims(), {"operators": Operators([operator(key=replace(PUBLIC, valid_to=NOW))])}),
    "a key of another use": (claims(), {"operators": Operators([operator(key=replace(PUBLIC, use=Use.REQUEST))])}),
    "for another gateway": (claims(aud="gw-other"), {}),
    "for several gateways": (claims(aud=["gw"]), {}),
    "expired": (claims(), {"now": NOW + timedelta(seconds=60)}),
    "from the future": (claims(), {"now": NOW - timedelta(seconds=6)}),
    "lives too long": (claims(exp=IAT + 61), {}),
    "ends before it starts": (claims(exp=IAT - 1), {}),
    "exp is text": (claims(exp=str(IAT + 60)), {}),
    "a jti that is no UUIDv7": (claims(jti="3fa85f64-5717-4562-b3fc-2c963f66afa6"), {}),
    "a claim too many": (claims(htm="POST"), {}),
    "command is no text": (claims(command=["hold-release"]), {}),
    "justification is null": (claims(justification=None), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTRUSTED)
def test_what_no_operator_signed_for_this_gateway_and_now_is_refused(case):
    said, more = UNTRUSTED[case]
    with pytest.raises(UntrustedError):
        read(said, **more)


@pytest.mark.parametrize("name", sorted(claims().keys() - {"jti"}))
def test_a_command_that_lacks_a_claim_is_refused(name):
    with pytest.raises(UntrustedError):
        read(claims(**{name: ...}))


@pytest.mark.parametrize("typ", [tokens.EVENT, tokens.REQUEST, tokens.RECEIPT, tokens.REJECTION, tokens.KEYS])
def test_a_token_of_another_kind_is_no_command(typ):
    use = next(use for use, kinds in tokens.TYPES_OF.items() if typ in kinds)
    raw = tokens.sign(claims(), replace(SIGN_EC, use=use), typ=typ)
    with pytest.raises(UntrustedError):
        read_command(raw, Operators([operator()]), aud=GW, now=NOW)


READABLE_FAULTS = {
    "no such command": ({"command": "hold-everything"}, "command"),
    "arguments are a list": ({"arguments": [LEG]}, "arguments"),
    "a justification where none is asked": ({"justification": "AUDIT", "file": "1"}, "justification"),
    "a file alone": ({"file": "2026-17"}, "justification"),
}


@pytest.mark.parametrize("case", READABLE_FAULTS)
def test_an_operator_is_told_what_is_wrong_with_a_command(case):
    change, claim = READABLE_FAULTS[case]
    with pytest.raises(MalformedError) as caught:
        read(claims(**change))
    problem = caught.value.problem
    assert (problem.code, problem.claim) == (Code.REQUEST_INVALID, claim)
    assert problem.expected


# Written out by hand: who is not named may not.
MAY = {
    Command.HOLD_LIST: "officer reviewer dpo auditor admin",
    Command.HOLD_RELEASE: "reviewer admin",
    Command.HOLD_REFUSE: "reviewer admin",
    Command.DEADLETTER_LIST: "officer reviewer dpo auditor admin",
    Command.LEG_INSPECT: "officer reviewer dpo auditor admin",
    Command.LEG_READ: "reviewer dpo",
    Command.DEADLETTER_RETRY: "officer reviewer admin",
    Command.DEADLETTER_DISCARD: "reviewer admin",
}


@pytest.mark.parametrize(("command", "role"), list(itertools.product(MAY, OperatorRole)), ids=str)
def test_a_role_gives_its_commands_and_no_other(command, role):
    why = {"justification": "AUDIT", "file": "1"} if command in JUSTIFIED else {}
    operators = Operators([operator(role)])
    if role in MAY[command].split():
        assert read(claims(command, **why), operators=operators).command is command
        return
    with pytest.raises(NotAllowedError) as caught:
        read(claims(command, **why), operators=operators)
    assert caught.value.problem.code is Code.NOT_ALLOWED


def test_an_operator_without_roles_may_nothing():
    assert not any(replace(operator(), roles=frozenset()).may(command) for command in Command)


def test_every_command_stands_in_the_table_of_roles():
    assert set(MAY) <= set(ROLES_OF) == set(Command)
    assert not READING & JUSTIFIED


JUSTIFICATIONS = [
    ("", ""),
    ("AUDIT", ""),
    ("", "2026-17"),
    ("CURIOUS", "2026-17"),
    ("AUDIT", "Jane Doe"),
    ("AUDIT", "DOE-1970"),
    ("AUDIT", "1" * 32),
    ("AUDIT", "7\n"),
]


@pytest.mark.parametrize(("code", "file"), JUSTIFICATIONS)
def test_content_is_not_shown_without_a_reason_of_ours_and_the_number_of_a_file(code, file):
    with pytest.raises(MalformedError) as caught:
        read(claims(Command.LEG_READ, justification=code, file=file))
    assert "Jane" not in repr(caught.value.problem)


def test_with_both_it_is():
    signed = read(claims(Command.LEG_READ, justification="DATA_SUBJECT_REQUEST", file="2026/17-3"))
    assert (signed.justification, signed.file) == (Justification.DATA_SUBJECT_REQUEST, "2026/17-3")


WRONG_ARGUMENTS = [
    (Legs, {}), (Legs, {"legs": []}), (Legs, {"legs": LEG}), (Legs, {"legs": ["x"]}), (Legs, {"legs": [LEG], "all": True}),
    (Legs, {"legs": [f"019a9d2e-5c00-7000-8000-{number:012}" for number in range(101)]}), (Legs, {"legs": [LEG + "\n"]}),
    (OneLeg, {"leg": None}), (OneLeg, {"leg": LEG.upper()}), (Discarded, {"legs": [LEG]}), (Discarded, {"legs": [LEG], "reason": "BECAUSE"}),
    (Listing, {"limit": 0}), (Listing, {"limit": 201}), (Listing, {"limit": "9"}), (Listing, {"partner": "Jane Doe"}), (Listing, {"since": "2026-01-01T00:00:00"}),
    (Listing, {"since": 5}), (HoldListing, {"reason": "BORED"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments"), WRONG_ARGUMENTS)
def test_arguments_that_are_not_the_commands_are_refused_and_never_quoted(kind, arguments):
    signed = replace(read(), arguments=arguments)
    with pytest.raises(MalformedError) as caught:
        arguments_of(signed, kind)
    assert caught.value.problem.code is Code.REQUEST_INVALID
    assert "Jane" not in "".join(map(repr, (caught.value, caught.value.problem)))
    assert caught.value.__cause__ is None


def test_a_leg_named_twice_is_meant_once():
    assert legs_of(Legs(legs=(LEG, OTHER, LEG))) == (LEG, OTHER)


def test_every_refusal_is_one_a_peer_may_see():
    for said, more in UNTRUSTED.values():
        with pytest.raises(RefusedInputError) as caught:
            read(said, **more)
        assert caught.value.problem.detail == "the token is not trusted"


def test_an_operators_key_is_found_under_its_own_id_alone():
    other = OperatorId("desk-admin")
    both = Operators([operator(), operator(id_=other, key=replace(PUBLIC, kid=KeyId("k2")))])
    assert [each.id for each in both] == [other, ME]
    with pytest.raises(UntrustedError):
        both.key(both.find(ME), KeyId("k2"))
