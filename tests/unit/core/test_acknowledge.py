"""What the gateway itself says: right by the schema that everybody's acknowledgements are held to, and nothing about the person."""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.app import outgoing
from gateway.app.ports import LegRow
from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Ref, SubjectKey
from gateway.core.acknowledge import FAMILY, Author, LegEnd, of_alert, of_leg
from gateway.core.decided import Alert
from gateway.core.delivery import ENDED, State
from gateway.core.message import Message
from gateway.testing.clock import START
from gateway.testing.messages import replaced
from tests.house import SCHEMAS, TRAVEL
from tests.notices import VALID

REGISTER = PartnerId("gb-register")
JTI = Jti("019aa5e2-8c00-7000-8000-000000000001")
AUTHOR: Final = Author(
    gateway=PartnerId("gw-test"), now=START, jti=Jti("019aa5e2-8c00-7000-8000-000000000002"),
    contact={"unit": "Test desk", "name": "Desk", "phone": "+442070000000", "email": "desk@gateway.invalid"},
)  # fmt: skip


def original(event: Any = VALID) -> Message:
    return Message(
        iss=REGISTER, jti=JTI, digest="", aud=PartnerId("gw-test"), iat=START, toe=START, txn="019aa5e2-8c00-7000-8000-000000000003",
        family=TRAVEL, event=event,
    )  # fmt: skip


def end(stage: str, reason: str | None = None, **changes: Any) -> LegEnd:
    made = {"jti": JTI, "partner": PartnerId("fr-police"), "country": Country("FR"), "role": "DESTINATION"} | changes
    return LegEnd(stage=stage, reason=reason, **made)


ENDS = [
    ("DELIVERED", None), ("RECEIPTED", None), ("RECEIPTED", "NOT_READABLE"), ("REFUSED", "POLICY"), ("CANCELLED", "WITHDRAWN"),
    ("EXPIRED", "EXPIRED"), ("DEAD", "ATTEMPTS"), ("DEAD", "NO_RECEIPT"), ("HELD", "MINOR"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "reason"), ENDS)
def test_the_end_of_a_leg_is_told_in_a_right_acknowledgement(stage: str, reason: str | None) -> None:
    said = of_leg(original(), end(stage, reason), AUTHOR)
    assert SCHEMAS.check(FAMILY, said.event, on=START.date()) == []
    assert said.body["stage"] == stage
    assert said.body.get("reason") == reason
    assert said.body["leg"] == {"jti": JTI, "partner": "fr-police", "country": "FR", "role": "DESTINATION"}


def test_a_leg_without_a_country_is_told_too() -> None:
    said = of_leg(original(), end("DELIVERED", country=None), AUTHOR)
    assert SCHEMAS.check(FAMILY, said.event, on=START.date()) == []
    assert "country" not in said.body["leg"]


def test_an_alert_goes_in_the_fastest_lane_and_names_its_code() -> None:
    said = of_alert(original(), Alert("TRAVEL_RESTRICTION", ()), AUTHOR)
    assert SCHEMAS.check(FAMILY, said.event, on=START.date()) == []
    assert (said.lane, said.body["stage"], said.body["reason"]) == (Lane.IMMEDIATE, "ALERT", "TRAVEL_RESTRICTION")


@pytest.mark.parametrize(
    "made", [of_leg(original(), end("DELIVERED"), AUTHOR), of_alert(original(), Alert("TRAVEL_RESTRICTION", ()), AUTHOR)]
)
def test_it_answers_the_original_on_the_same_subject_and_conversation(made: Message) -> None:
    assert made.in_response_to == Ref(REGISTER, JTI)
    assert made.txn == original().txn
    assert made.event["subject"] == {**VALID["subject"], "iss": REGISTER}
    assert (made.iss, made.jti, made.toe) == (AUTHOR.gateway, AUTHOR.jti, START)


@pytest.mark.parametrize(
    "made", [of_leg(original(), end("DELIVERED"), AUTHOR), of_alert(original(), Alert("TRAVEL_RESTRICTION", ()), AUTHOR)]
)
def test_nothing_of_the_original_s_body_or_contact_is_in_it(made: Message) -> None:
    said = repr(made.event)
    for secret in ("PERSON", "TEST-0001", "X0000000", "TEST-CASE-1", "Fictional Travel Desk", "Exampleville", "Fictional offence"):
        assert secret in repr(VALID)
        assert secret not in said


def test_it_keeps_the_issuer_of_a_subject_that_came_from_elsewhere() -> None:
    foreign = replaced(VALID, "/subject/iss", "de-register")
    assert of_leg(original(foreign), end("DELIVERED"), AUTHOR).event["subject"]["iss"] == "de-register"


def leg(state: State, **changes: Any) -> LegRow:
    made: dict[str, Any] = {
        "leg_id": LegId(JTI), "message": Ref(REGISTER, JTI), "family": "travel-notification", "partner": PartnerId("fr-police"),
        "subject": SubjectKey("0" * 64), "jti": JTI, "countries": (Country("FR"), Country("BE")), "roles": ("DESTINATION",), "lane": Lane.ROUTINE, "seq": 1,
        "state": state, "due_at": START, "created_at": START, "expires_at": START, "delete_by": START,
    }  # fmt: skip
    return LegRow(**made | changes)


ROWS = [
    pytest.param(leg(State.DELIVERED), None, id="delivered"),
    pytest.param(leg(State.RECEIPTED), None, id="receipted-by-ack"),
    pytest.param(leg(State.RECEIPTED, last_code="ACTIONED"), None, id="receipted-by-a-message"),
    pytest.param(leg(State.RECEIPTED, last_code="invalid_key"), "NOT_READABLE", id="receipted-not-readable"),
    pytest.param(leg(State.RECEIPTED, last_code="access_denied"), "OTHER", id="receipted-refused"),
    pytest.param(leg(State.RECEIPTED, last_code="unknown"), "OTHER", id="receipted-refused-in-own-words"),
    pytest.param(leg(State.DEAD, last_code="invalid_request"), "NOT_READABLE", id="dead-not-readable"),
    pytest.param(leg(State.DEAD, last_code="http-413"), "OTHER", id="dead-too-large"),
    pytest.param(leg(State.DEAD, last_code="timeout", reason="ATTEMPTS"), "ATTEMPTS", id="dead-after-attempts"),
    pytest.param(leg(State.EXPIRED, reason="EXPIRED", last_code="timeout"), "EXPIRED", id="expired"),
    pytest.param(leg(State.REFUSED, reason="POLICY"), "POLICY", id="refused"),
    pytest.param(leg(State.CANCELLED, reason="WITHDRAWN"), "WITHDRAWN", id="cancelled"),
]


@pytest.mark.parametrize(("row", "reason"), ROWS)
def test_every_row_that_ended_is_told_in_words_of_the_code_list(row: LegRow, reason: str | None) -> None:
    told = outgoing._end(row)
    assert (told.stage, told.reason) == (row.state.value.upper(), reason)
    assert SCHEMAS.check(FAMILY, of_leg(original(), told, AUTHOR).event, on=START.date()) == []


def test_the_rows_are_all_the_ends_there_are() -> None:
    assert {param.values[0].state for param in ROWS} == ENDED  # type: ignore[union-attr]  # rows of legs
