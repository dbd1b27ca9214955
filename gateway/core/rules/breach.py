"""Rules of breach notifications (domain.md c.4, R-BRE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.core.message import Message
from gateway.core.problems import Problem, Severity
from gateway.core.rules.base import FamilyRules, RuleContext, broken

FAMILY: Final = "breach-notification"
NEW_OFFENCE: Final = "NEW_OFFENCE"


def _body(msg: Message, ctx: RuleContext) -> Mapping[str, Any]:  # noqa: ARG001 -- one signature for all families
    return msg.body


BREACH: Final = FamilyRules(FAMILY, _body, texts=("narratives/*/text",))


@BREACH.rule("R-BRE-01", effect="E", source="S001")
def a_breach_is_no_new_offence(body: Mapping[str, Any]) -> Iterator[Problem]:
    """A breach of registration is no new sexual offence: `new_offence` only with kind NEW_OFFENCE."""
    if body.get("new_offence") is True and body.get("breach", {}).get("kind") != NEW_OFFENCE:
        yield broken(
            "R-BRE-01", "/body/new_offence", "a breach is no new offence", expected="false, or kind NEW_OFFENCE", severity=Severity.ERROR
        )
