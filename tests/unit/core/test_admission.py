"""Admission: one change from a valid message, each with a name and its problem; any bytes give an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Environment, Family, Jti, KeyId, PartnerId, Ref
from gateway.core import jose, tokens
from gateway.core.admission import Accepted, Context, Rejected, admit
from gateway.core.directory import Directory
from gateway.core.keyring import Keyring
from gateway.core.keys import EncryptionKey, Use
from gateway.core.limits import IAT_SKEW_SECONDS_MAX, PROBLEMS_COUNT_MAX, SEALED_BYTES_MAX
from gateway.core.problems import Code, Severity
from gateway.core.schema import family_uri
from gateway.testing.clock import START, FakeClock
from gateway.testing.messages import MISSING, replaced
from tests.house import BASE, GATEWAY, GATEWAY_USES, PARTNER_USES, REFERENCE, SCHEMAS, SHIPPED, TABLES, TRAVEL, Keys
from tests.notices import VALID

REGISTER, POLICE = PartnerId("gb-register"), PartnerId("fr-police")
CLOCK: Final = FakeClock()
KEYS: Final = {id_: Keys.of(id_, CLOCK, PARTNER_USES) for id_ in SHIPPED}
OWN: Final = Keys.of(GATEWAY, CLOCK, GATEWAY_USES)
NOW: Final = int(START.timestamp())
JTI: Final = "019aa5e2-8c00-7000-8000-000000000001"
PROFILE: Final = SHIPPED[REGISTER]


def context(**changes: Any) -> Context:
    made = Context(
        gateway=GATEWAY, environment=Environment.TEST, uri_base=BASE,
        keyring=Keyring(pair.entry for keys in KEYS.values() for pair in keys.pairs.values()), decryption_keys=OWN.decryption,
        encrypted="required", directory=Directory(SHIPPED.values()), schemas=SCHEMAS, reference=REFERENCE, tables=TABLES,
    )  # fmt: skip
    return replace(made, **changes)


CONTEXT: Final = context()


def claims(event: Mapping[str, Any] = VALID, *, family: Family = TRAVEL, **changes: Any) -> dict[str, Any]:
    made = {
        "iss": REGISTER, "aud": GATEWAY, "jti": JTI, "iat": NOW, "toe": NOW, "txn": JTI, "events": {family_uri(BASE, family): event}
    } | changes  # fmt: skip
    return {name: value for name, value in made.items() if value is not MISSING}


def signed(said: Mapping[str, Any], *, by: PartnerId = REGISTER, use: Use = Use.SUBMIT, typ: str = tokens.EVENT) -> bytes:
    return tokens.sign(said, KEYS[by].signing(use), typ=typ)


def sealed(jws: bytes) -> bytes:
    entry = OWN.pairs[Use.ENCRYPT].entry
    assert isinstance(entry, EncryptionKey)
    return tokens.encrypt(jws, entry)


def judged(said: Mapping[str, Any], *, ctx: Context = CONTEXT, seconds: float = 0, **how: Any) -> Accepted | Rejected:
    return admit(sealed(signed(said, **how)), channel=REGISTER, ctx=ctx, now=START + timedelta(seconds=seconds))


def codes(outcome: Accepted | Rejected) -> list[str]:
    assert isinstance(outcome, Rejected)
    return [problem.code.value for problem in outcome.problems if problem.is_error]


def test_the_valid_message_is_accepted_whole() -> None:
    jws = signed(claims())
    outcome = admit(sealed(jws), channel=REGISTER, ctx=CONTEXT, now=START)
    assert isinstance(outcome, Accepted)
    assert outcome.token == jws
    assert (outcome.message.ref, outcome.message.family) == (Ref(REGISTER, Jti(JTI)), TRAVEL)
    assert outcome.message.event == VALID
    assert outcome.message.digest == tokens.digest_of(jws)
    assert [p for p in outcome.notices if p.is_error] == []


CLAIMS = [
    pytest.param({"jti": MISSING}, ["claim-invalid"], id="without-jti"),
    pytest.param({"iat": MISSING}, ["claim-invalid"], id="without-iat"),
    pytest.param({"toe": MISSING}, ["claim-invalid"], id="without-toe"),
    pytest.param({"txn": MISSING}, ["claim-invalid"], id="without-txn"),
    pytest.param({"events": MISSING}, ["claim-invalid"], id="without-events"),
    pytest.param({"exp": NOW + 60}, ["claim-invalid"], id="with-exp"),
    pytest.param({"sub": "TEST PERSON"}, ["claim-invalid"], id="with-sub"),
    pytest.param({"jti": "1"}, ["claim-invalid"], id="jti-is-no-uuid"),
    pytest.param({"jti": "6f9619ff-8b86-4011-b42d-00c04fc964ff"}, ["claim-invalid"], id="jti-of-version-4"),
    pytest.param({"jti": JTI.upper()}, ["claim-invalid"], id="jti-in-capitals"),
    pytest.param({"iss": "fr-police"}, ["claim-invalid"], id="iss-of-another"),
    pytest.param({"aud": "gw-other"}, ["audience-wrong"], id="aud-of-another-gateway"),
    pytest.param({"aud": [GATEWAY]}, ["audience-wrong"], id="aud-is-a-list"),
    pytest.param({"txn": "trip"}, ["claim-invalid"], id="txn-is-no-uuid"),
    pytest.param({"txn": 1}, ["claim-invalid"], id="txn-is-a-number"),
    pytest.param({"iat": float(NOW)}, ["claim-invalid"], id="iat-with-a-fraction"),
    pytest.param({"iat": True}, ["claim-invalid"], id="iat-is-true"),
    pytest.param({"iat": -1}, ["claim-invalid"], id="iat-before-1970"),
    pytest.param({"iat": 2**40}, ["claim-invalid"], id="iat-in-milliseconds"),
    pytest.param({"toe": "2026-11-21"}, ["claim-invalid"], id="toe-is-text"),
    pytest.param({"events": {}}, ["claim-invalid"], id="no-event"),
    pytest.param({"events": [VALID]}, ["claim-invalid"], id="events-is-a-list"),
    pytest.param({"events": {f"{BASE}/travel-notification/1.0": VALID, f"{BASE}/x/1.0": {}}}, ["claim-invalid"], id="two-events"),
    pytest.param({"events": {f"{BASE}/travel-notification/1.0": None}}, ["family-unknown"], id="event-is-null"),
    pytest.param({"events": {"https://elsewhere.invalid/events/travel-notification/1.0": VALID}}, ["family-unknown"], id="foreign-uri"),
    pytest.param({"events": {f"{BASE}/travel-notification/1.0/": VALID}}, ["family-unknown"], id="uri-with-a-stroke-more"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CLAIMS)
def test_one_changed_claim_is_rejected_by_name(change: dict[str, Any], expected: list[str]) -> None:
    outcome = judged(claims(**change))
    assert codes(outcome) == expected
    assert isinstance(outcome, Rejected)
    assert all(problem.claim is not None and problem.expected for problem in outcome.problems)


FAMILIES = [
    pytest.param(Family("travel-notification", "9.9"), "family-unknown", id="version-unknown"),
    pytest.param(Family("supervision-transfer", "1.0"), "not-allowed", id="family-the-profile-does-not-send"),
    pytest.param(Family("nonsense", "1.0"), "not-allowed", id="family-unknown"),
]


@pytest.mark.parametrize(("family", "expected"), FAMILIES)
def test_a_family_that_is_not_this_sender_s_is_rejected(family: Family, expected: str) -> None:
    assert codes(judged(claims(family=family))) == [expected]


def test_every_partner_may_acknowledge_whatever_its_profile_sends() -> None:
    said = claims({}, family=Family("acknowledgement", "1.0"), iss=POLICE)
    outcome = admit(sealed(signed(said, by=POLICE)), channel=POLICE, ctx=CONTEXT, now=START)
    assert set(codes(outcome)) == {"schema-invalid"}  # it got as far as its schema


WINDOW = [
    pytest.param(IAT_SKEW_SECONDS_MAX, None, id="from-the-future-within-the-skew"),
    pytest.param(IAT_SKEW_SECONDS_MAX + 1, "issued-too-early", id="from-the-future"),
    pytest.param(-PROFILE.iat_age_seconds, None, id="as-old-as-the-channel-takes"),
    pytest.param(-PROFILE.iat_age_seconds - 1, "issued-too-late", id="a-second-older"),
]


@pytest.mark.parametrize(("age", "expected"), WINDOW)
def test_the_iat_window_is_the_channel_s(age: int, expected: str | None) -> None:
    outcome = judged(claims(iat=NOW + age))
    assert isinstance(outcome, Accepted) if expected is None else codes(outcome) == [expected]


def resealed(**changes: Any) -> dict[Use, Any]:
    pair = KEYS[REGISTER].pairs[Use.SUBMIT]
    return {Use.SUBMIT: replace(pair, entry=replace(pair.entry, **changes))}


def keyring_with(**changes: Any) -> Keyring:
    return Keyring([resealed(**changes)[Use.SUBMIT].entry, *(p.entry for use, p in KEYS[REGISTER].pairs.items() if use is not Use.SUBMIT)])


KEY_FAULTS = [
    pytest.param({"revoked_at": START}, False, id="revoked-now"),
    pytest.param({"revoked_at": START + timedelta(days=1)}, False, id="revoked-at-all"),
    pytest.param({"valid_to": START}, True, id="expired"),
    pytest.param({"valid_from": START + timedelta(seconds=1)}, True, id="not-yet-valid"),
    pytest.param({"kid": KeyId("other")}, False, id="unknown-kid"),
    pytest.param({"owner": POLICE}, False, id="of-another-partner"),
]


@pytest.mark.parametrize(("change", "signature_counts"), KEY_FAULTS)
def test_a_key_that_does_not_count_is_untrusted(change: dict[str, Any], signature_counts: bool) -> None:
    outcome = judged(claims(), ctx=context(keyring=keyring_with(**change)))
    assert codes(outcome) == ["untrusted"]
    assert isinstance(outcome, Rejected)
    assert (outcome.signed is not None) is signature_counts  # an outlived key: only then the same bytes may have been accepted before
    assert not outcome.trusted


def test_a_key_of_another_use_is_untrusted() -> None:
    with_request = replace(KEYS[REGISTER].signing(Use.REQUEST), use=Use.SUBMIT)
    outcome = admit(sealed(tokens.sign(claims(), with_request, typ=tokens.EVENT)), channel=REGISTER, ctx=CONTEXT, now=START)
    assert codes(outcome) == ["untrusted"]


def test_another_channel_s_message_is_untrusted_whatever_its_iss_says() -> None:
    outcome = admit(sealed(signed(claims())), channel=POLICE, ctx=CONTEXT, now=START)
    assert codes(outcome) == ["untrusted"]


def test_a_key_without_a_profile_is_untrusted() -> None:
    others = [profile for profile in SHIPPED.values() if profile.id != REGISTER]
    assert codes(judged(claims(), ctx=context(directory=Directory(others)))) == ["untrusted"]


def test_the_peer_cannot_tell_the_faults_of_trust_apart() -> None:
    said = {
        repr(judged(claims(), ctx=context(keyring=keyring_with(**fault.values[0]))).problems)  # type: ignore[union-attr]  # all are rejected
        for fault in KEY_FAULTS
    }
    assert len(said) == 1


SHAPES = [
    pytest.param(b"", "not-a-token", id="nothing"),
    pytest.param(b"{}", "not-a-token", id="json"),
    pytest.param(b"a.b.c", None, id="three-letters"),
    pytest.param(b"." * 4, None, id="only-dots"),
    pytest.param(b"x" * (SEALED_BYTES_MAX + 1), "message-too-large", id="oversize"),
    pytest.param(sealed(signed(claims())) + b".", None, id="a-dot-more"),
    pytest.param(sealed(signed(claims())) + b"\n", None, id="a-newline-more"),
    pytest.param(sealed(signed(claims()))[:-4], None, id="cut-short"),
    pytest.param(signed(claims()), "untrusted", id="not-encrypted"),
    pytest.param(sealed(sealed(signed(claims()))), None, id="encrypted-twice"),
]


@pytest.mark.parametrize(("raw", "expected"), SHAPES)
def test_what_is_no_token_for_us_is_rejected_without_a_signer(raw: bytes, expected: str | None) -> None:
    outcome = admit(raw, channel=REGISTER, ctx=CONTEXT, now=START)
    assert isinstance(outcome, Rejected)
    assert outcome.signed is None
    assert expected is None or codes(outcome) == [expected]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"iss":"gb-register","iss":"gb-register"}', id="duplicate-key"),
        pytest.param(b'{"iat":NaN}', id="nan"),
        pytest.param(b'{"iat":1e999}', id="infinity"),
        pytest.param(b'{"a":' * 40 + b"1" + b"}" * 40, id="too-deep"),
        pytest.param(b'{"iss":"gb-register"} {}', id="trailing-bytes"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
    ],
)
def test_json_that_is_not_strict_is_rejected_though_it_is_signed(payload: bytes) -> None:
    key = KEYS[REGISTER].signing(Use.SUBMIT)
    head = signed(claims()).split(b".")[0]
    jws = head + b"." + jose.b64encode(payload)
    jws += b"." + jose.b64encode(tokens._signature(jws, key))
    outcome = admit(sealed(jws), channel=REGISTER, ctx=CONTEXT, now=START)
    assert isinstance(outcome, Rejected)
    assert codes(outcome)[0] in {"not-json", "not-a-token", "claim-invalid"}


@pytest.mark.parametrize(
    ("message", "profile", "gateway"),
    [("PRODUCTION", "TEST", "TEST"), ("TEST", "PRODUCTION", "TEST"), ("TEST", "TEST", "PRODUCTION"), ("ACCEPTANCE", "TEST", "TEST")],
)
def test_environments_never_mix(message: str, profile: str, gateway: str) -> None:
    directory = Directory([replace(PROFILE, environment=Environment(profile))])
    ctx = context(directory=directory, environment=Environment(gateway))
    assert codes(judged(claims(replaced(VALID, "/handling/environment", message)), ctx=ctx)) == ["environment-wrong"]


def test_all_faults_of_shape_and_codes_come_at_once() -> None:
    event = replaced(replaced(replaced(VALID, "/handling/codes", []), "/body/person/nationalities", ["QQ"]), "/routing/contact", MISSING)
    outcome = judged(claims(event))
    assert isinstance(outcome, Rejected)
    assert {p.pointer for p in outcome.problems} >= {"/handling/codes", "/body/person/nationalities/0", "/routing/contact"}


def test_another_environment_is_told_before_the_content_is_looked_at() -> None:
    event = replaced(replaced(VALID, "/handling/environment", "PRODUCTION"), "/body/person/nationalities", ["QQ"])
    outcome = judged(claims(event))
    assert isinstance(outcome, Rejected)
    assert [(p.code, p.pointer, p.rule) for p in outcome.problems] == [(Code.ENVIRONMENT_WRONG, "/handling/environment", "R-GEN-16")]


def test_faults_of_shape_and_of_rules_come_together() -> None:
    segments = VALID["body"]["itinerary"]["segments"]
    event = replaced(VALID, "/body/itinerary/segments", [segments[1], segments[0]])  # a rule's
    event = replaced(event, "/body/person/nationalities", ["QQ"])  # a code list's
    event = replaced(event, "/routing/language", 7)  # the schema's
    outcome = judged(claims(event))
    assert isinstance(outcome, Rejected)
    assert {"R-TRV-11"} <= {p.rule for p in outcome.problems if p.is_error}
    assert {"/body/person/nationalities/0", "/routing/language"} <= {p.pointer for p in outcome.problems}


def test_all_broken_rules_come_at_once_with_their_ids() -> None:
    segments = VALID["body"]["itinerary"]["segments"]
    event = replaced(VALID, "/body/itinerary/segments", [segments[1], segments[0]])  # backwards
    event = replaced(event, "/handling/retention/delete_by", "2040-01-01")
    outcome = judged(claims(event))
    assert isinstance(outcome, Rejected)
    rules = {p.rule for p in outcome.problems if p.is_error}
    assert {"R-TRV-11", "R-GEN-03"} <= rules
    assert all(p.pointer is not None for p in outcome.problems)


def test_a_rejection_names_at_most_so_many_problems() -> None:
    event = replaced(VALID, "/body/person/nationalities", ["QQ"] * 500)
    outcome = judged(claims(event))
    assert len(codes(outcome)) <= PROBLEMS_COUNT_MAX


def test_a_late_notice_is_accepted_with_a_warning() -> None:
    told = replaced(VALID, "/body/notified_by_subject_at", "2026-11-29T09:00:00Z")  # two days before departure
    outcome = judged(claims(told, iat=NOW + 9 * 86_400), seconds=9 * 86_400)
    assert isinstance(outcome, Accepted)
    assert any(p.severity is Severity.WARNING and (p.rule or "").startswith("R-TRV-03") for p in outcome.notices)


def test_a_fault_never_quotes_the_value() -> None:
    event = replaced(replaced(VALID, "/handling/purpose", "CANARY"), "/body/person/birth/date", "canary-1970")
    outcome = judged(claims(event, txn="canary", toe=NOW))
    more = judged(claims(event))
    assert "canary" not in (repr(outcome) + repr(more)).lower()


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=4096), encrypted=st.booleans())
def test_any_bytes_give_an_outcome(raw: bytes, encrypted: bool) -> None:
    """Whatever a peer sends, admit() answers; it never raises."""
    outcome = admit(sealed(raw) if encrypted else raw, channel=REGISTER, ctx=CONTEXT, now=START)
    assert isinstance(outcome, Rejected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def pointers(node: Any, at: str = "") -> list[str]:
    if isinstance(node, dict):
        return [p for key, value in node.items() for p in (f"{at}/{key}", *pointers(value, f"{at}/{key}"))]
    if isinstance(node, list):
        return [p for index, value in enumerate(node) for p in (f"{at}/{index}", *pointers(value, f"{at}/{index}"))]
    return []


@settings(max_examples=300, deadline=None)
@given(pointer=st.sampled_from(pointers(VALID)), value=JSON | st.just(MISSING))
def test_any_change_of_a_valid_event_gives_an_outcome(pointer: str, value: object) -> None:
    """One member replaced by anything: accepted or rejected with reasons, never an exception."""
    outcome = judged(claims(replaced(VALID, pointer, value)))
    assert isinstance(outcome, Accepted) or outcome.problems


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(claims())), value=JSON)
def test_any_change_of_a_claim_gives_an_outcome(name: str, value: object) -> None:
    """One claim replaced by anything: accepted or rejected with reasons, never an exception."""
    outcome = judged(claims(**{name: value}))
    assert isinstance(outcome, Accepted) or outcome.problems


def test_the_problem_codes_of_admission_are_of_the_catalogue() -> None:
    named = {param.values[1][0] for param in CLAIMS} | {param.values[1] for param in FAMILIES}
    assert named <= {code.value for code in Code}
