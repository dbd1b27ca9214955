"""The whole way of any message a generator makes: admitted, decided for any partner, rendered, signed, sealed, and read as the partner does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Environment, Family, PartnerId, Role
from gateway.core import tokens
from gateway.core.admission import Accepted
from gateway.core.decided import Candidate, PlannedLeg
from gateway.core.decision import Grounds, decide_for
from gateway.core.directory import Directory
from gateway.core.facts import NO_FACTS
from gateway.core.groups import ALWAYS
from gateway.core.keys import EncryptionKey, Use, VerifyKey
from gateway.core.message import Message
from gateway.core.minimise import deliver_event, minimise
from gateway.core.routing import Routed
from gateway.ops.policies import load_policies
from gateway.testing.clock import START, FakeClock
from gateway.testing.families import sample
from tests.house import GATEWAY, PARTNER_USES, REFERENCE, ROOT, SCHEMAS, SHIPPED, TABLES, Keys
from tests.properties.test_families import NATIVE, OWN, SENDS_ALL, admitted
from tests.survival import check_survival, counted, groups_of_leaves
from tests.unit.core.schema_samples import FAMILIES

PARTNERS: Final = {id_: profile for id_, profile in SHIPPED.items() if id_ != SENDS_ALL.id}
READER: Final = Keys.of("reader", FakeClock(), PARTNER_USES)
GROUNDS: Final = Grounds(
    environment=Environment.TEST, directory=Directory([SENDS_ALL, *PARTNERS.values()]),
    policies=load_policies(ROOT / "policies", partners=SHIPPED), schemas=SCHEMAS, reference=REFERENCE, tables=TABLES,
    shows_conditions={"native": NATIVE.shows_conditions()}, digests={},
)  # fmt: skip


def reached(family: Family) -> list[PartnerId]:
    """Those whose profile receives a family, or everybody for what only answers or corrects."""
    return sorted(id_ for id_, p in PARTNERS.items() if family.name in {r.family for r in p.receives}) or sorted(PARTNERS)


def planned(message: Accepted, partner: PartnerId, role: Role) -> PlannedLeg | None:
    """Decide for one partner, whatever would bring the message to it; None where it is refused, with a reason."""
    numbers = count()
    candidate = Candidate(partner, (PARTNERS[partner].country,), (role,))
    decision = decide_for(
        message.message, Routed((candidate,), (), ()), NO_FACTS, home=SENDS_ALL.country, grounds=GROUNDS, now=START,
        new_id=lambda: f"id-{next(numbers)}",
    )  # fmt: skip
    assert len(decision.legs) + len(decision.refusals) == 1
    assert all(refusal.reason and refusal.because for refusal in decision.refusals)
    return decision.legs[0] if decision.legs else None


def read(message: Message, leg: PlannedLeg) -> Mapping[str, Any]:
    """Render, sign and encrypt a leg as sealing does; return what the partner reads."""
    view = minimise(message, leg.groups, PARTNERS[leg.partner], SCHEMAS, removed=leg.removed, roles=leg.roles)
    event = deliver_event(
        view, original=message.ref, subject_iss=message.subject[1], previous=None, prior_undelivered=False, lead_time=None, checkpoint=None
    )
    document = NATIVE.render(replace(view, event=event))
    entry, document_key = READER.pairs[Use.ENCRYPT].entry, OWN.pairs[Use.DOCUMENT].entry
    assert isinstance(entry, EncryptionKey)
    assert isinstance(document_key, VerifyKey)
    claims = {
        "iss": GATEWAY,
        "aud": leg.partner,
        "jti": leg.jti,
        "iat": 1,
        "txn": message.txn,
        "events": {document.event_uri: document.event},
    }
    sealed = tokens.encrypt(tokens.sign(claims, OWN.signing(Use.DOCUMENT), typ=tokens.EVENT), entry)
    token = tokens.unwrap(sealed, READER.decryption, typ=tokens.EVENT, encrypted="required")
    ((uri, got),) = tokens.verify(token, document_key).claims["events"].items()
    assert uri.endswith(f"/{message.family.name}/{message.family.version}")
    return dict(got)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@given(seed=st.integers(0, 2**32), which=st.integers(0, 99), role=st.sampled_from(Role))
@settings(max_examples=40, deadline=None)
def test_what_a_partner_reads_is_what_was_sent_less_what_it_is_told_was_withheld(family: Family, seed: int, which: int, role: Role) -> None:
    partners = reached(family)
    accepted = admitted(sample(family, Random(seed), START))
    leg = planned(accepted, partners[which % len(partners)], role)
    if leg is None:
        return
    event = read(accepted.message, leg)
    assert check_survival(family, accepted.message.event, event) == {removed.group for removed in leg.removed}
    of = groups_of_leaves(family, accepted.message.event)
    assert all(of[leaf] & (leg.groups | ALWAYS) for leaf in counted(event) if leaf in of)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_each_family_finds_a_partner_among_those_shipped(family: Family) -> None:
    """Or the property above would say nothing."""
    dice = Random(1)
    asked = [(seed, partner, role) for seed in range(6) for partner in PARTNERS for role in (Role.NAMED, Role.SAFEGUARDING)]
    assert any(
        planned(admitted(sample(family, Random(seed), START)), partner, role) for seed, partner, role in dice.sample(asked, len(asked))
    )
