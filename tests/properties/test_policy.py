"""Memo and slice of the policies, held to the full set."""

from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Lane, Role
from gateway.core.policy import Effect
from tests.unit.core.policy_samples import KINDS, PARTNERS, ctx, policy_set

FAMILIES = ["travel-notification", "acknowledgement", "risk-update", "support-referral"]
SCOPES = ["principal", *(f'principal == Partner::"{p}"' for p in sorted(PARTNERS))]
RESOURCES = ["resource", *(f'resource == Family::"{f}"' for f in FAMILIES)]
ACTIONS = [
    'action == Action::"send"',
    'action in [Action::"send", Action::"send_unreviewed"]',
    'action in [Action::"see_risk", Action::"see_identity"]',
]
CONDITIONS = [
    "true",
    "context.abroad",
    'principal.kind == Kind::"POLICE"',
    'context.roles.contains(Role::"TRANSIT")',
    'context.day < datetime("2026-06-01")',
    'principal == Partner::"nl-border"',
    'context.handling.contains("H2")',
    "context.anonymous",
    'context has provider && context.provider == Provider::"COSA"',
    "9223372036854775807 + 1 > 0",  # errs, wherever it is reached
]


@st.composite
def policies(draw):
    drawn = draw(st.lists(st.tuples(*map(st.sampled_from, (["permit", "forbid"], SCOPES, ACTIONS, RESOURCES, CONDITIONS))), max_size=8))
    lines = [f'@id("p{i}") {e}({p}, {a}, {r}) when {{ {c} }};' for i, (e, p, a, r, c) in enumerate(drawn)]
    return policy_set("\n".join(lines))


contexts = st.builds(
    ctx,
    partner=st.sampled_from(sorted(PARTNERS)),
    kind=st.sampled_from(["POLICE", "BORDER", "SUPPORT_NGO", "NOT_A_KIND"]),
    family=st.sampled_from(FAMILIES),
    lane=st.sampled_from(list(Lane)),
    roles=st.lists(st.sampled_from([Role.TRANSIT, Role.DESTINATION]), min_size=1, unique=True).map(lambda r: tuple(sorted(r))),
    abroad=st.booleans(),
    handling=st.sampled_from([("H0",), ("H0", "H2")]),
    day=st.sampled_from([date(2026, 5, 31), date(2026, 6, 1)]),
    provider=st.sampled_from([None, "COSA", "YOUNG_PERSON_SERVICE"]),
    anonymous=st.booleans(),
    extensions=st.sampled_from([(), ("https://x.invalid/a",)]),
)


referrals = st.builds(
    ctx,
    partner=st.sampled_from(sorted(PARTNERS)),
    kind=st.sampled_from(sorted(KINDS)),
    sector=st.sampled_from(["STATUTORY", "NGO"]),
    family=st.just("support-referral"),
    roles=st.lists(st.sampled_from(list(Role)), min_size=1, unique=True).map(lambda r: tuple(sorted(r))),
    is_minor=st.sampled_from(["YES", "NO", "UNKNOWN"]),
    same_environment=st.booleans(),
    provider=st.sampled_from(["COSA", "YOUNG_PERSON_SERVICE", "TREATMENT_PROVIDER"]),
    anonymous=st.booleans(),
    extensions=st.sampled_from([(), ("https://x.invalid/a",)]),
)


@settings(max_examples=60, deadline=None)
@given(policies(), st.lists(referrals, min_size=1, max_size=4))
def test_no_policies_that_pass_the_check_let_a_referral_reach_any_but_a_provider(subject, asked):
    """R-REF-02: not sent, not held for somebody to release, and nothing of it seen."""
    for context in asked:
        answer = subject.decide_partner(context)
        if context.kind not in {"HEALTH", "SUPPORT_SERVICE", "SUPPORT_NGO"}:
            assert {a.effect for a in (answer.send, answer.unreviewed, *answer.groups.values())} == {Effect.DENY}


@settings(max_examples=60, deadline=None)
@given(policies(), st.lists(contexts, min_size=1, max_size=4))
def test_memo_and_slice_answer_like_the_full_set(subject, asked):
    """Whatever the policies and the order of questions, the remembered answer of the slice is that of the whole set."""
    for context in [*asked, *asked]:
        assert subject.decide_partner(context) == subject.decide_in_full(context)
