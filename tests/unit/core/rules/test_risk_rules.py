"""Each rule of risk updates: one change from a valid one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.core.rules import check_all
from gateway.core.rules.risk import FAMILY
from tests.unit.core.samples import changed, context, message, partner
from tests.unit.core.schema_samples import FAMILIES, shipped

(RSK,) = (family for family in FAMILIES if family.name == FAMILY)
ISSUED = datetime(2026, 11, 20, 12, tzinfo=UTC)
BIRTH, SEX, STATUS = "/body/person/birth/date", "/body/person/sex", "/subject/status"
FRANCE = partner("fr-police", "FR")


def put(pointer, value, event=None):
    return changed(pointer, value, shipped(RSK, "valid") if event is None else event)


def only(*tools, event=None):
    """A valid update with these tools alone."""
    made = shipped(RSK, "valid") if event is None else event
    for tool in {"rm2000", "arms", "oasys", "mappa"} - set(tools):
        made = changed(f"/body/{tool}", ..., made)
    return made


REACTIVE = put("/body/management_mode", "REACTIVE", put("/body/visit_plan", ..., only()))
REACTIVE = changed(
    "/body/reactive",
    {
        "since": "2026-10-01",
        "low_since": "2023-10-01",
        "last_reoffence": "2023-10-01",
        "notification_station": "Test",
        "notification_due": "2027-11-20",
    },
    REACTIVE,
)
LEGACY = put("/body/visit_plan/basis", "LEGACY_BAND")  # medium, 6 months
HIGH = put("/body/oasys/rosh", "HIGH", put("/body/oasys/locked_at", "2026-08-25", put("/body/oasys/completed_at", "2026-08-25")))
CHANGE = put("/body/review", {"trigger": "NEW_ACCOMMODATION"})


def found(event, sender=None):
    problems = check_all(message(event, family=FAMILY, iat=ISSUED), context(sender, now=ISSUED))
    return [(str(p.rule), p.severity.value, p.pointer) for p in problems if p.rule not in {"R-GEN-10", "R-GEN-20"}]


@pytest.mark.parametrize(
    "event",
    [put("/body/person/sex", 1), REACTIVE, LEGACY, HIGH, only(), put(SEX, 2, only("oasys", "mappa"))],
    ids=["active", "reactive", "legacy", "high", "a-plan-alone", "a-woman-with-other-tools"],
)
def test_a_valid_update_has_no_problem(event):
    assert found(event) == []


ACTION = "/body/rmp/actions/0"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(put(SEX, 2, only("rm2000")), [("R-RSK-01", "error", "/body/rm2000")], id="01-a-woman"),
        pytest.param(put(SEX, 0, only("rm2000")), [("R-RSK-01", "error", "/body/rm2000")], id="01-sex-not-known"),
        pytest.param(put(BIRTH, "2008-09-02", only("rm2000")), [("R-RSK-02", "error", "/body/rm2000/scored_on")], id="02-eighteen-a-day-later"),
        pytest.param(put(BIRTH, "2008-09-01", only("rm2000")), [], id="02-eighteen-that-day"),
        pytest.param(put(BIRTH, "2008", only("rm2000")), [], id="02-eighteen-some-day-that-year"),
        pytest.param(put("/body/rm2000/age_at_offence", 15), [("R-RSK-03", "error", "/body/rm2000/age_at_offence")], id="03-fifteen"),
        pytest.param(put("/body/rm2000/age_at_offence", 16), [], id="03-sixteen"),
        pytest.param(put("/body/rm2000/disposal", "CAUTION"), [("R-RSK-03", "error", "/body/rm2000/disposal")], id="03-a-caution"),
        pytest.param(put(STATUS, "CAUTIONED", only("rm2000")), [("R-RSK-03", "error", STATUS)], id="03-not-convicted"),
        pytest.param(put(SEX, 2, only("arms")), [("R-RSK-04", "error", "/body/arms")], id="04-a-woman"),
        pytest.param(put(STATUS, "UNDER_ORDER", only("arms")), [("R-RSK-04", "error", STATUS)], id="04-not-convicted"),
        pytest.param(put(BIRTH, "2008-09-11", only("arms")), [("R-RSK-04", "error", "/body/arms/assessed_on")], id="04-a-minor"),
        pytest.param(put("/body/arms/assessed_on", "2013-12-31"), [("R-RSK-04", "warning", "/body/arms/assessed_on")], id="04-before-2014"),
        pytest.param(put("/body/arms/assessed_on", "2014-01-01"), [], id="04-in-2014"),
        pytest.param(put("/body/reactive/low_since", "2023-10-02", REACTIVE), [("R-RSK-05", "error", "/body/reactive/low_since")], id="05-a-day-short"),
        pytest.param(put("/body/arms", {"assessed_on": "2026-09-10", "risk_factors": [], "protective_factors": [], "priority": "MEDIUM"}, REACTIVE), [("R-RSK-05", "error", "/body/arms/priority")], id="05-not-low"),
        pytest.param(put("/body/reactive/last_reoffence", "2023-10-02", REACTIVE), [("R-RSK-06", "error", "/body/reactive/last_reoffence")], id="06-reoffended"),
        pytest.param(put("/body/reactive/last_reoffence", ..., REACTIVE), [], id="06-never-reoffended"),
        pytest.param(put("/body/visit_plan", {"interval_months": 12}, REACTIVE), [("R-RSK-07", "error", "/body/visit_plan")], id="07-visits"),
        pytest.param(put("/body/reactive/notification_due", "2027-11-21", REACTIVE), [("R-RSK-07", "error", "/body/reactive/notification_due")], id="07-due-too-late"),
        pytest.param(put("/body/rmp/contact_level", ...), [("R-RSK-09", "warning", "/body/rmp/contact_level")], id="09-five-parts"),
        pytest.param(put("/body/rmp/agencies", []), [("R-RSK-09", "warning", "/body/rmp/agencies")], id="09-an-empty-part"),
        pytest.param(put("/body/rmp/actions", []), [("R-RSK-09", "warning", "/body/rmp/actions")], id="09-no-action"),
        pytest.param(put(f"{ACTION}/owner", ...), [("R-RSK-09", "warning", f"{ACTION}/owner")], id="09-no-owner"),
        pytest.param(put(f"{ACTION}/due", ...), [("R-RSK-09", "warning", f"{ACTION}/due")], id="09-no-day"),
        pytest.param(put("/body/rmp", ...), [], id="09-no-plan-beside-tools"),
        pytest.param(put("/body/oasys/locked_at", "2026-09-04"), [], id="10-on-the-fifteenth-day"),
        pytest.param(put("/body/oasys/locked_at", "2026-09-05"), [("R-RSK-10", "warning", "/body/oasys/locked_at")], id="10-on-the-sixteenth-day"),
        pytest.param(put("/body/oasys/locked_at", ...), [("R-RSK-10", "warning", "/body/oasys/locked_at")], id="10-not-locked-yet"),
        pytest.param(put("/body/oasys/trigger", "SIGNIFICANT_EVENT", put("/body/oasys/locked_at", ...)), [], id="10-no-sentence-nor-release"),
        pytest.param(put(BIRTH, "2008-08-21", only("oasys")), [("R-RSK-10", "warning", "/body/oasys/triggered_on")], id="10-a-minor"),
        pytest.param(put("/body/oasys/locked_at", "2026-08-26", HIGH), [("R-RSK-11", "warning", "/body/oasys/locked_at")], id="11-on-the-sixth-day"),
        pytest.param(CHANGE, [("R-RSK-12", "warning", "/body/review/outcome")], id="12-a-change-nobody-assessed"),
        pytest.param(put("/body/review/outcome", "LEVEL_RAISED", CHANGE), [], id="12-reviewed"),
        pytest.param(put("/body/oasys/trigger", "SIGNIFICANT_EVENT", CHANGE), [], id="12-assessed-anew"),
        pytest.param(put("/body/visit_plan/interval_months", 12, LEGACY), [("R-RSK-13", "warning", "/body/visit_plan/interval_months")], id="13-not-the-band-s"),
        pytest.param(put("/body/visit_plan/interval_months", 12), [], id="13-the-officer-s-plan"),
        pytest.param(put("/body/mappa", {"category": "3", "level": "1"}), [("R-RSK-14", "warning", "/body/mappa/level")], id="14-three-at-level-one"),
        pytest.param(put("/body/mappa", {"category": "3", "level": "2"}), [], id="14-three-at-level-two"),
        pytest.param(put(STATUS, "CONCERN", only("mappa")), [("R-RSK-14", "warning", "/body/mappa/category")], id="14-never-convicted"),
        pytest.param(put("/body/mappa/category", "4"), [("R-RSK-15", "warning", "/body/mappa/category")], id="15-terrorism"),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_found(event, expected):
    assert found(event) == expected


@pytest.mark.parametrize(("band", "months"), [("VERY_HIGH", 1), ("HIGH", 3), ("MEDIUM", 6), ("LOW", 12)])
def test_the_former_cadence_follows_the_band(band, months):
    event = put("/body/rm2000/band", band, put("/body/visit_plan/interval_months", months, LEGACY))
    assert found(event) == []
    assert [p[0] for p in found(put("/body/visit_plan/interval_months", months + 1, event))] == ["R-RSK-13"]


def test_reactive_management_is_the_policing_of_the_united_kingdom():
    event = put("/body/reactive/low_since", "2026-09-30", REACTIVE)
    assert found(event, FRANCE) == []


def test_rules_answer_whatever_is_missing():
    for name in shipped(RSK, "valid")["body"]:
        assert isinstance(found(put(f"/body/{name}", ...)), list)
        assert isinstance(
            found(put(f"/body/{name}", ..., REACTIVE) if name != "visit_plan" and name in REACTIVE["body"] else REACTIVE), list
        )
