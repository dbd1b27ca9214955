"""The rules of the fact book (domain.md part c): message rules as functions, all others as entries that say where they are held."""

from __future__ import annotations

from gateway.core.message import Message
from gateway.core.problems import Problem
from gateway.core.rules import elsewhere, general
from gateway.core.rules.base import CHECKS, RULES, Rule, RuleContext
from gateway.core.rules.tables import Picked, RuleRow, RuleTables
from gateway.core.rules.time import LeadTime, lead_time
from gateway.core.rules.travel import check_travel
from gateway.core.travel import FAMILY as TRAVEL

__all__ = ["RULES", "LeadTime", "Picked", "Rule", "RuleContext", "RuleRow", "RuleTables", "check_all", "elsewhere", "general", "lead_time"]


def check_all(msg: Message, ctx: RuleContext) -> list[Problem]:
    """Return every problem the message rules find in a message that passed its schema."""
    problems = [problem for check in CHECKS for problem in check(msg, ctx)]
    if msg.family.name == TRAVEL:
        problems += check_travel(msg, ctx)
    return problems
