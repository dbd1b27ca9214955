"""The rules of the fact book (domain.md part c): message rules as functions, all others as entries that say where they are held."""

from __future__ import annotations

from gateway.core.message import Message
from gateway.core.problems import Problem
from gateway.core.rules import (  # noqa: F401 -- importing a family's module registers its rules
    breach,
    elsewhere,
    exchange,
    general,
    intelligence,
    order,
    registration,
    risk,
    support,
    transfer,
    travel,
)
from gateway.core.rules.base import RULES, Rule, RuleContext, checks_of
from gateway.core.rules.tables import Picked, RuleRow, RuleTables
from gateway.core.rules.time import LeadTime, lead_time

__all__ = ["RULES", "LeadTime", "Picked", "Rule", "RuleContext", "RuleRow", "RuleTables", "check_all", "lead_time"]


def check_all(msg: Message, ctx: RuleContext) -> list[Problem]:
    """Return every problem the message rules find in a message that passed its schema."""
    return [problem for check in checks_of(msg.family.name) for problem in check(msg, ctx)]
