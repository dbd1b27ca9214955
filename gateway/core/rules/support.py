"""Rules of support referrals (domain.md c.5, R-REF). Shape, policy and a life apart hold most of them."""

from __future__ import annotations

from gateway.core.problems import RuleId
from gateway.core.referral import FAMILY
from gateway.core.rules.base import FREE_TEXTS, Rule, register

FREE_TEXTS[FAMILY] = ("/body/consent/scope", "/body/strictly_necessary")

register(Rule(
    id=RuleId("R-REF-01"), kind="schema", effect="E", source="S003", where="gateway.core.schema.Schemas",
    text="An ANONYMOUS referral has no name, birth date, document, register number, case reference, subject.ref or txn of another message.",
    families=(FAMILY,),
))  # fmt: skip
register(Rule(
    id=RuleId("R-REF-02"), kind="decision", effect="R", source="S003; own", where="gateway.core.referral.is_barred",
    text="A referral reaches providers of support only, never police, and changes no register.", families=(FAMILY,),
))  # fmt: skip
register(Rule(
    id=RuleId("R-REF-03"), kind="system", effect="-", source="S003; own", where="gateway.app.safe.Safe",
    text="Referrals live apart: own index keys; no reconciliation, interest, statistics, simulation or officer's view reaches them.",
    families=(FAMILY,),
))  # fmt: skip
