"""Rules of supervision transfers (domain.md c.5, R-SUP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.core.message import Message
from gateway.core.problems import Problem
from gateway.core.rules.base import FamilyRules, RuleContext, broken

FAMILY: Final = "supervision-transfer"
NOTHING: Final[Mapping[str, Any]] = {}


def read(msg: Message, ctx: RuleContext) -> Mapping[str, Any]:  # noqa: ARG001 -- as every family's reader
    """Return what a transfer's rules look at: its body."""
    return msg.body


TRANSFER: Final = FamilyRules(
    FAMILY, read, texts=("supervision_plan/goals/*", "housing", "employment", "narratives/*/text")
)  # fmt: skip


@TRANSFER.rule("R-SUP-01", effect="W", source="S000")
def who_was_released_has_a_day_of_release(body: Mapping[str, Any]) -> Iterator[Problem]:
    """A change of phase has `release_date`: who is in the community on a licence, or on some basis of release, was in custody before."""
    supervision = body.get("supervision", NOTHING)
    on_licence = "licence_end" in body or any(order.get("kind") == "LICENCE" for order in body.get("orders", ()))
    released = supervision.get("phase") == "COMMUNITY" and (on_licence or "release_basis" in supervision)
    if released and "release_date" not in supervision:
        pointer, expected = "/body/supervision/release_date", "the day of release, as the sender knows it: it is never computed"
        yield broken("R-SUP-01", pointer, "from custody into the community on no day", expected=expected)
