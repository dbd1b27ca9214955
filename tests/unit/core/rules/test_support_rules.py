"""Support referrals: what each mode may say of the person, and whose subject an anonymous one is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.contract.values import Jti, PartnerId
from gateway.core.acknowledge import Author, of_alert
from gateway.core.decided import Alert
from gateway.core.rules import check_all
from gateway.core.rules.support import FAMILY
from tests.unit.core.samples import changed, context, message
from tests.unit.core.schema_samples import ACKNOWLEDGEMENT, DAY, FAMILIES, WINDOW, files, schemas, shipped

(REF,) = (family for family in FAMILIES if family.name == FAMILY)
NAMED, ANONYMOUS = shipped(REF, "valid"), shipped(REF, "warnings")
PERSON = NAMED["body"]["person"]
NUMBER = Jti("019a9d2e-5c00-7000-8000-00000000ffff")
EXTENSION = {WINDOW: files().extensions[WINDOW]["examples"][0]}


def put(pointer, value, event=NAMED):
    return changed(pointer, value, event)


def refused(event):
    return sorted({p.pointer for p in schemas().check(REF, event, on=DAY) if p.pointer != "/handling/data_quality"})


PSEUDONYM = put("/body/identity_mode", "PSEUDONYM", put("/body/person", ...))


@pytest.mark.parametrize("event", [NAMED, PSEUDONYM, ANONYMOUS], ids=["identified", "pseudonym", "anonymous"])
def test_each_mode_has_a_valid_referral(event):
    assert refused(event) == []


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        pytest.param(put("/body/person", PERSON, ANONYMOUS), "/body/person", id="R-REF-01-a-person"),
        pytest.param(put("/body/person", {"birth": {"date": "1970"}}, ANONYMOUS), "/body/person", id="R-REF-01-a-birth-date"),
        pytest.param(put("/body/person", {"names": PERSON["names"]}, ANONYMOUS), "/body/person", id="R-REF-01-a-name"),
        pytest.param(put("/body/identity_documents", PERSON["identity_documents"], ANONYMOUS), "/body", id="R-REF-01-a-document"),
        pytest.param(put("/body/identifiers", PERSON["identifiers"], ANONYMOUS), "/body", id="R-REF-01-a-register-id"),
        pytest.param(put("/subject/ref", "s-000001", ANONYMOUS), "/subject/ref", id="R-REF-01-a-reference"),
        pytest.param(put("/subject/iss", "gb-register", ANONYMOUS), "/subject/iss", id="R-REF-01-an-issuer"),
        pytest.param(put("/routing/case_reference", "TEST-1", ANONYMOUS), "/routing/case_reference", id="R-REF-01-a-case"),
        pytest.param(put("/extensions", EXTENSION, ANONYMOUS), "/extensions", id="R-REF-01-an-extension"),
        pytest.param(put("/body/person", PERSON, PSEUDONYM), "/body/person", id="a-pseudonym-with-a-person"),
        pytest.param(put("/subject/ref", ..., PSEUDONYM), "/subject/ref", id="no-pseudonym"),
        pytest.param(put("/subject/ref", ...), "/subject/ref", id="no-reference"),
        pytest.param(put("/body/person", ...), "/body/person", id="identified-without-a-person"),
        pytest.param(put("/body/consent", ...), "/body/consent", id="identified-without-consent"),
        pytest.param(put("/body/strictly_necessary", ..., ANONYMOUS), "/body/strictly_necessary", id="health-without-its-reason"),
        pytest.param(put("/body/support_kinds", ...), "/body/support_kinds", id="no-support-asked-for"),
        pytest.param(put("/body/outcome", "NOT_ELIGIBLE"), "/body/eligibility_reason", id="not-eligible-and-no-reason"),
        pytest.param(put("/body/note_kind", "VERDICT"), "/body/note_kind", id="a-verdict"),
        pytest.param(put("/routing/recipients", ...), "/routing/recipients", id="for-nobody"),
        pytest.param(
            put("/routing/in_response_to", {"iss": "gateway", "jti": "019a9d2e-5c00-7000-8000-000000000001"}), "/body/outcome", id="an-answer-without-outcome"
        ),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_refused(event, pointer):
    found = refused(event)
    assert pointer in found
    assert all(at.startswith(pointer) for at in found)


def test_support_of_health_alone_is_support():
    event = put("/body/support_kinds", ..., ANONYMOUS)
    assert refused(event) == []


def test_an_anonymous_referral_is_whole_without_a_reference_and_no_other_message_is():
    assert not [p for p in check_all(message(ANONYMOUS, family=FAMILY), context()) if p.rule == "R-GEN-20"]
    other = message(put("/subject/ref", ..., PSEUDONYM), family=FAMILY)
    assert [p.pointer for p in check_all(other, context()) if p.rule == "R-GEN-20"] == ["/subject/ref"]


def test_an_anonymous_referral_is_its_own_subject():
    one = message(ANONYMOUS, family=FAMILY)
    another = replace(one, jti=NUMBER)
    assert one.subject == (one.iss, one.iss, one.jti)
    assert one.subject != another.subject


def test_what_the_gateway_answers_to_an_anonymous_referral_names_nobody_either():
    referral = replace(message(ANONYMOUS, family=FAMILY), jti=NUMBER)
    now = datetime(2026, 11, 20, tzinfo=UTC)
    author = Author(gateway=PartnerId("gateway"), jti=NUMBER, now=now, contact={"unit": "Test", "phone": "+442079460000"})
    said = of_alert(referral, Alert("POLICY", ()), author)
    assert "ref" not in said.event["subject"]
    assert schemas().check(ACKNOWLEDGEMENT, said.event, on=DAY) == []


def test_no_other_family_may_leave_the_reference_out():
    """An acknowledgement may: it repeats the subject of what it answers, which may be an anonymous referral."""
    for family in set(FAMILIES) - {REF, ACKNOWLEDGEMENT}:
        assert "ref" in schemas().document(family)["properties"]["subject"]["required"]
