"""Memo and slice of the policies, held to the full set."""

from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Lane, Role
from tests.unit.core.policy_samples import PARTNERS, ctx, policy_set

FAMILIES = ["travel-notification", "acknowledgement", "risk-update"]
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
    extensions=st.sampled_from([(), ("https://x.invalid/a",)]),
)


@settings(max_examples=60, deadline=None)
@given(policies(), st.lists(contexts, min_size=1, max_size=4))
def test_memo_and_slice_answer_like_the_full_set(subject, asked):
    """Whatever the policies and the order of questions, the remembered answer of the slice is that of the whole set."""
    for context in [*asked, *asked]:
        assert subject.decide_partner(context) == subject.decide_in_full(context)
