"""A code is judged by the edition of its list that is in force on the message's own date, from the files to the receipt."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.core.admission import Accepted, Context, Rejected
from gateway.core.problems import Code
from gateway.ops.reference import load_reference, load_schemas
from gateway.testing.clock import START
from gateway.testing.messages import replaced
from tests.notices import VALID
from tests.unit.core.schema_samples import FOLDER
from tests.unit.core.test_admission import claims, context, judged

PURPOSE = "/body/purpose_of_travel/0/code"
LAST = START.date()  # of the old edition
MIDNIGHT = START.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
BEFORE, AFTER = int(MIDNIGHT.timestamp()) - 60, int(MIDNIGHT.timestamp()) + 60
RECEIVED = (MIDNIGHT - START).total_seconds() + 120  # both are judged on the second day


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The shipped lists, with purposes of travel in two editions: on the second day PILGRIMAGE is there, and VACATION is not."""
    folder: Path = tmp_path_factory.mktemp("dated") / "schemas"
    shutil.copytree(FOLDER, folder)
    file = folder / "codes" / "travel-purpose.toml"
    old = file.read_text(encoding="utf-8")
    assert "verified = true" in old
    file.write_text(old.replace("verified = true", f"effective_to = {LAST}\nverified = true"), encoding="utf-8")
    new = old.replace("effective_from = 2020-01-01", f"effective_from = {LAST + timedelta(days=1)}")
    new = new.replace('"VACATION", title = "Vacation", mark = "V:SMART"', '"PILGRIMAGE", title = "Pilgrimage", mark = "G"')
    (folder / "codes" / "travel-purpose-2.toml").write_text(new.replace("verified = true", "verified = false"), encoding="utf-8")
    reference = load_reference(folder)
    return context(reference=reference, schemas=load_schemas(folder, reference))


EDITIONS = [
    pytest.param("VACATION", BEFORE, True, id="old-code-of-the-last-day"),
    pytest.param("VACATION", AFTER, False, id="old-code-a-day-late"),
    pytest.param("PILGRIMAGE", BEFORE, False, id="new-code-too-early"),
    pytest.param("PILGRIMAGE", AFTER, True, id="new-code-of-the-first-day"),
    pytest.param("BUSINESS", BEFORE, True, id="code-of-both-before"),
    pytest.param("BUSINESS", AFTER, True, id="code-of-both-after"),
]


@pytest.mark.parametrize(("code", "issued", "right"), EDITIONS)
def test_a_message_is_judged_by_the_list_of_the_day_it_was_issued_on(ctx, code, issued, right):
    said = claims(replaced(VALID, PURPOSE, code), iat=issued, toe=issued)
    outcome = judged(said, ctx=ctx, seconds=RECEIVED)
    assert isinstance(outcome, Accepted if right else Rejected)
    if isinstance(outcome, Rejected):
        assert [(p.code, p.pointer) for p in outcome.problems if p.is_error] == [(Code.CODE_UNKNOWN, PURPOSE)]


def test_who_is_refused_for_a_list_nobody_verified_is_told_so(ctx):
    said = {day: claims(replaced(VALID, PURPOSE, "UNKNOWN_CODE"), iat=day, toe=day) for day in (BEFORE, AFTER)}
    outcomes = {day: judged(one, ctx=ctx, seconds=RECEIVED) for day, one in said.items()}
    told = {day: next(p.expected for p in one.problems if p.code is Code.CODE_UNKNOWN) for day, one in outcomes.items()}
    assert told[BEFORE].startswith("a code of list travel-purpose: BUSINESS, VACATION")
    assert told[AFTER].startswith("a code of list travel-purpose (not verified): BUSINESS, PILGRIMAGE")


def test_no_edition_is_in_force_before_the_first(ctx):
    assert ctx.reference.codes.listing("travel-purpose", date(2019, 12, 31)) is None
    assert [one.effective_to for one in ctx.reference.codes.editions["travel-purpose"]] == [LAST, None]
