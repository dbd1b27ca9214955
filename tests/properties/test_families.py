"""Any message a generator makes is admitted, and a native view of it is what was sent less the removed fields, whatever may be seen."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.loading import load
from gateway.contract.values import Environment, Family, PartnerId
from gateway.core import tokens
from gateway.core.admission import Accepted, Context, admit
from gateway.core.directory import Directory
from gateway.core.groups import ALWAYS, GOVERNED
from gateway.core.keyring import Keyring
from gateway.core.keys import EncryptionKey, Use
from gateway.core.minimise import minimise
from gateway.testing.clock import START, FakeClock
from gateway.testing.families import sample
from gateway.testing.messages import Sample
from tests.house import BASE, GATEWAY, GATEWAY_USES, PARTNER_USES, REFERENCE, SCHEMAS, SHIPPED, TABLES, Keys
from tests.survival import counted, groups_of_leaves
from tests.unit.core.schema_samples import FAMILIES

REGISTER, POLICE = PartnerId("gb-register"), PartnerId("fr-police")
CLOCK: Final = FakeClock()
SENDER: Final = Keys.of(REGISTER, CLOCK, PARTNER_USES)
OWN: Final = Keys.of(GATEWAY, CLOCK, GATEWAY_USES)
SENDS_ALL: Final = replace(SHIPPED[REGISTER], sends=frozenset(family.name for family in FAMILIES))
NATIVE: Final = load(["native"], ours={"native": "adapters.formats.native"})["native"].format({"uri_base": BASE})
CONTEXT: Final = Context(
    gateway=GATEWAY, environment=Environment.TEST, uri_base=BASE, keyring=Keyring(pair.entry for pair in SENDER.pairs.values()),
    decryption_keys=OWN.decryption, encrypted="required", directory=Directory([SENDS_ALL, SHIPPED[POLICE]]), schemas=SCHEMAS,
    reference=REFERENCE, tables=TABLES,
)  # fmt: skip


def admitted(made: Sample) -> Accepted:
    key = OWN.pairs[Use.ENCRYPT].entry
    assert isinstance(key, EncryptionKey)
    jws = tokens.sign(made.claims(iss=REGISTER, aud=GATEWAY, uri_base=BASE), SENDER.signing(Use.SUBMIT), typ=tokens.EVENT)
    outcome = admit(tokens.encrypt(jws, key), channel=REGISTER, ctx=CONTEXT, now=START)
    assert isinstance(outcome, Accepted), outcome
    assert outcome.message.event == made.event
    return outcome


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@given(seed=st.integers(0, 2**32), allowed=st.frozensets(st.sampled_from(GOVERNED)))
@settings(max_examples=30, deadline=None)
def test_what_is_sent_is_admitted_and_arrives_less_what_is_removed(family: Family, seed: int, allowed: frozenset[str]) -> None:
    message = admitted(sample(family, Random(seed), START)).message
    view = minimise(message, allowed, SHIPPED[POLICE], SCHEMAS)
    document = NATIVE.render(view).event
    removed = {one.group for one in view.removed}
    kept, sent = counted(document), counted(message.event)
    said = groups_of_leaves(family, message.event)
    assert all(said[leaf] & (allowed | ALWAYS) for leaf in kept & sent)
    assert all(said[leaf] & removed for leaf in sent - kept)
    assert not removed & allowed - {"identifiers"}  # some numbers never leave their country, whoever may see the others
