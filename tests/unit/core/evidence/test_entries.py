"""Entries: one spelling, a closed set of kinds, and no place where personal data could sit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from gateway.contract.errors import InvariantError
from gateway.core import delivery
from gateway.core.decided import HoldReason, Reason
from gateway.core.evidence import entries
from gateway.core.evidence.errors import EvidenceError
from gateway.core.problems import Code
from tests.vectors.evidence import START, accepted, uuid

AT = entries.moment(START)
LEG = {"leg_id": uuid(1), "jti": uuid(2), "partner": "fr-police"}
EVERY_KIND = [
    entries.LogOpened(
        at=AT, origin="gateway.example/log/2", previous=entries.PreviousLog(origin="gateway.example/log/1", size=9, root="a" * 64)
    ),
    accepted(1),
    entries.Extended(
        at=AT,
        iss="ie-register",
        jti=uuid(1),
        reason="SAFEGUARDING_UNANSWERED",
        decided_by={"policies": "p1"},
        legs=(entries.Leg(**LEG, state="planned", because=("neighbours",)),),
        refusals=(entries.Refusal(partner="fr-police", reason="POLICY"),),
    ),
    entries.Rejected(at=AT, iss="ie-register", digest="a" * 64, codes=("schema-invalid",), rules=("R-TRV-11",)),
    entries.LegMoved(at=AT, **LEG, state="delivered", attempt=2, digest="c" * 64),
    entries.Held(at=AT, **LEG, reason="POLICY_ERROR"),
    entries.Receipted(at=AT, **LEG, proof="d" * 64),
    entries.Config(at=AT, what="policies", digest="e" * 64, previous="f" * 64),
    entries.Waiver(at=AT, check="in-sync-replicas", environment="TEST"),
    entries.Commanded(
        at=AT,
        operator="desk-reviewer",
        key="command-20261121-00000000",
        jti=uuid(3),
        command="leg-read",
        digest="a" * 64,
        targets=(uuid(1),),
        reason="HOLD",
        justification="AUDIT",
        file="2026/17-3",
        partner="fr-police",
    ),
    entries.PartnerKey(
        at=AT, partner="fr-police", key="k-2", use="submit", state="pending", thumbprint="a" * 64, signer="k-1", digest="b" * 64
    ),
    entries.Erased(at=AT, key=entries.ErasedMessage(iss="ie-register", jti=uuid(1)), reason="RETENTION"),
    entries.Erased(at=AT, key=entries.ErasedSubject(subject="a" * 64), reason="ERASURE"),
    entries.Erased(at=AT, key=entries.ErasedSubject(subject="r-" + "a" * 64), reason="ERASURE"),
    entries.Erased(at=AT, key=entries.ErasedEpoch(epoch="kek-2026-01"), reason="ROTATION"),
]


@pytest.mark.parametrize("entry", EVERY_KIND, ids=lambda entry: entry.kind)
def test_an_entry_reads_back_as_itself(entry):
    assert entries.decode(entry.encode()) == entry


def test_every_kind_is_in_the_table_above():
    assert {type(entry) for entry in EVERY_KIND} == set(entries.Entry.__args__)


def test_the_spelling_is_canonical_and_says_what_it_is():
    raw = entries.Waiver(at=AT, check="in-sync-replicas", environment="TEST").encode()
    assert raw == b'{"at":"2026-11-21T12:00:00.000000Z","check":"in-sync-replicas","environment":"TEST","kind":"waiver","version":"1"}'


def test_an_instant_is_spelt_in_utc_to_the_microsecond():
    assert entries.moment(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T02:04:05.000006Z"
    with pytest.raises(InvariantError):
        entries.moment(datetime(2026, 1, 2))  # noqa: DTZ001 -- the fault to be refused


PERSONAL = ["Jane Doe", "DOE<<JANE", "Doe\n", "1970-01-01 Dublin", "Zoë", "+353 1 555", "", "x" * 200, "\ud800", 5, None]


@pytest.mark.parametrize("value", PERSONAL, ids=repr)
@pytest.mark.parametrize("name", ["iss", "jti", "family", "family_version", "at", "version"])
def test_no_field_of_an_accepted_message_takes_a_person(name, value):
    with pytest.raises(InvariantError) as caught:
        msgspec.structs.replace(accepted(1), **{name: value}).encode()
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", PERSONAL[:-1], ids=repr)
@pytest.mark.parametrize(
    ("entry", "name"),
    [(entry, name) for entry in EVERY_KIND for name in type(entry).__struct_fields__ if name != "attempt"],
    ids=lambda item: item if isinstance(item, str) else item.kind,
)
def test_no_field_of_any_entry_takes_text(entry, name, value):
    with pytest.raises(InvariantError):
        msgspec.structs.replace(entry, **{name: value}).encode()


@pytest.mark.parametrize(
    "part",
    [
        pytest.param({"decided_by": {"Jane Doe": "a" * 64}}, id="key-of-decided-by"),
        pytest.param({"decided_by": {"policies": "Jane Doe"}}, id="value-of-decided-by"),
        pytest.param({"legs": (entries.Leg(**LEG, state="Jane"),)}, id="state-of-a-leg"),
        pytest.param({"legs": (entries.Leg(**LEG, state="held", hold="Jane Doe"),)}, id="hold-of-a-leg"),
        pytest.param({"legs": (entries.Leg(**LEG, state="planned", because=("Jane Doe",)),)}, id="policy-of-a-leg"),
        pytest.param({"refusals": (entries.Refusal(country="Jane", reason="POLICY"),)}, id="country-of-a-refusal"),
        pytest.param({"refusals": (entries.Refusal(reason="Jane Doe"),)}, id="reason-of-a-refusal"),
    ],
)
def test_no_part_of_an_entry_takes_a_person(part):
    with pytest.raises(InvariantError):
        msgspec.structs.replace(accepted(1), **part).encode()


def test_every_code_and_state_of_ours_may_stand_in_an_entry():
    for code in [*Reason, *HoldReason, *Code]:
        entries.LegMoved(at=AT, **LEG, state="dead", reason=code.value).encode()
    for state in delivery.State:
        entries.LegMoved(at=AT, **LEG, state=state.value).encode()


RAW = next(entry for entry in EVERY_KIND if isinstance(entry, entries.LegMoved)).encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(RAW[:10] + b"\x80" + RAW[11:], id="not-utf-8"),
        pytest.param(b"[" * 100_000, id="a-tower-of-brackets"),
        pytest.param(RAW + b"\n", id="a-newline-after"),
        pytest.param(RAW.replace(b'":"', b'": "', 1), id="a-space"),
        pytest.param(RAW.replace(b'"attempt":2', b'"attempt":2,"attempt":2'), id="a-key-twice"),
        pytest.param(RAW.replace(b'"attempt":2', b'"attempt":-2'), id="a-negative-attempt"),
        pytest.param(RAW.replace(b'"attempt":2', b'"attempt":2.0'), id="another-spelling-of-a-number"),
        pytest.param(RAW.replace(b'"kind":"leg"', b'"kind":"lag"'), id="an-unknown-kind"),
        pytest.param(RAW.replace(b'"version":"1"', b'"version":"2"'), id="an-unknown-version"),
        pytest.param(RAW.replace(b'"attempt":2,', b'"attempt":2,"name":"Jane",'), id="an-unknown-field"),
        pytest.param(RAW.replace(b'"attempt":2,', b""), id="a-default-left-out"),
    ],
)
def test_anything_but_the_one_spelling_of_an_entry_is_refused(raw):
    assert raw != RAW
    with pytest.raises(EvidenceError) as caught:
        entries.decode(raw)
    assert "Jane" not in str(caught.value)
