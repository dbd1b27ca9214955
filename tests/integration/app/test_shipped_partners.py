"""What becomes of messages to the shipped partners that are special: hub, no agreement, no H1 or H2, court, disclosure scheme, provider."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.contract.values import Family
from gateway.testing.clock import START
from gateway.testing.families import sample
from gateway.testing.messages import replaced
from tests.house import house
from tests.notices import notice

REGISTER, POLICE = "gb-register", "gb-police"
H0, H2 = ["H0"], ["H0", "H2"]
SPECIAL = {"code": "SPECIAL_CIRCUMSTANCES", "citation": "Fictional Act, section 9"}


def national(country: str, **changes: Any) -> dict[str, Any]:
    """A notice of a journey to France of somebody who belongs elsewhere."""
    return notice("FR", body__person__nationalities=[country], **changes)


def named(family: str, partner: str, **changes: Any) -> dict[str, Any]:
    """A generated message to one named partner."""
    event: Mapping[str, Any] = sample(Family(family, "1.0"), Random(5), START).event
    pointers = {"/" + name.replace("__", "/"): value for name, value in changes.items()}
    for pointer, value in {"/routing/recipients": [{"partner": partner, "role": "NAMED"}], **pointers}.items():
        event = replaced(event, pointer, value)
    return dict(event)


ASKED = {"kind": "DISCLOSURE_SCHEME", "disclosure": {"contact_kind": "LIVES_WITH", "applicant_role": "PARENT"}}


def check(partner: str) -> dict[str, Any]:
    """A question under the disclosure scheme."""
    event = named("information-request", partner, handling__purpose="DISCLOSURE_SCHEME")
    body = {name: value for name, value in event["body"].items() if name != "disclosure_level"}
    return replaced(event, "/body", {**body, **ASKED, "subject_consent": False})


# sender, family, event; the partner, and its state, or why it is refused and by what
CASES = [
    pytest.param(REGISTER, "travel-notification", national("PH"), "ph-bureau", ("TRANSFER_BASIS", "R-GEN-13"), id="no-agreement"),
    pytest.param(REGISTER, "travel-notification", national("PH", handling__transfer_basis=SPECIAL), "ph-bureau", "ready", id="special-circumstances"),
    pytest.param(REGISTER, "travel-notification", national("CA"), "ca-police", ("POLICY", "states-that-cannot-keep-h1-h2"), id="h1-where-courts-may-ask"),
    pytest.param(REGISTER, "travel-notification", national("CA", handling__codes=H2), "ca-police", ("POLICY", "states-that-cannot-keep-h1-h2"), id="h2-where-it-is-passed-on"),
    pytest.param(REGISTER, "travel-notification", national("CA", handling__codes=H0), "ca-police", "ready", id="no-such-limit"),
    pytest.param(REGISTER, "travel-notification", national("DK"), "se-hub", "ready", id="a-hub-for-a-country-it-serves"),
    pytest.param(REGISTER, "travel-notification", national("DK", handling__onward_sharing="NONE"), "se-hub", ("HANDLING", "R-GEN-02"), id="a-hub-that-may-not-pass-on"),
    pytest.param(REGISTER, "breach-notification", named("breach-notification", "gb-court"), "gb-court", ("HANDLING", "R-GEN-02"), id="h1-is-not-for-a-court"),
    pytest.param(REGISTER, "breach-notification", named("breach-notification", "gb-court", handling__codes=H0), "gb-court", "ready", id="h0-is"),
    pytest.param(POLICE, "information-request", check("gb-children"), "gb-children", "ready", id="police-ask-childrens-services"),
    pytest.param(REGISTER, "information-request", check("gb-children"), "gb-children", ("AGENCY_NOT_PERMITTED", "R-REQ-07"), id="a-register-may-not"),
    pytest.param(POLICE, "information-request", check("fr-records"), "fr-records", ("NOT_RECEIVING", "R-RTE-04"), id="nor-of-a-central-authority"),
    pytest.param(REGISTER, "intelligence-report", named("intelligence-report", "help-line"), "help-line", ("NOT_RECEIVING", "R-RTE-04"), id="intelligence-is-not-for-a-provider"),
    pytest.param(REGISTER, "order-summary", named("order-summary", "nl-border"), "nl-border", ("NOT_RECEIVING", "R-RTE-04"), id="an-order-that-is-no-border-matter"),
    pytest.param(REGISTER, "order-summary", named("order-summary", "nl-border", handling__purpose="BORDER"), "nl-border", "ready", id="an-order-for-the-border"),
]  # fmt: skip


@pytest.mark.parametrize(("sender", "family", "event", "partner", "expected"), CASES)
async def test_a_shipped_partner_gets_or_is_refused(
    tmp_path: Path, sender: str, family: str, event: Any, partner: str, expected: Any
) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(event, sender=sender, family=Family(family, "1.0"))
        legs, refusals = await h.legs(jti, sender=sender), await h.refusals(jti, sender=sender)
    found = {leg.partner: leg.state.value for leg in legs.values()}
    found |= {refusal.partner: (refusal.reason, *refusal.because) for refusal in refusals if refusal.partner is not None}
    assert found[partner] == expected
