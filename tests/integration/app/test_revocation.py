"""A revoked key stops what is queued to it or under it; a partner's keys may overlap; a drill lists what a key touched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.app.drill import Drill, Item
from gateway.app.hold import KEY_REVOKED, Hold
from gateway.app.safe import Safe
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from gateway.core.commands import Legs
from gateway.core.delivery import State
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.keyring import Keyring
from gateway.core.keys import KeyEntry, SigningKey, Use, VerifyKey
from gateway.keystores.generate import Pair, Plan, new_pair
from tests.house import GATEWAY, REFERRALS, REGISTERS, TRAVEL, House, house
from tests.notices import notice

FR, REGISTER = PartnerId("fr-police"), PartnerId("gb-register")
DOWN = Reply(Outcome.FAILED, "503")


def trust(h: House, change: Callable[[KeyEntry], Iterable[KeyEntry]]) -> None:
    """Replace trusted keys, as a reload does: each becomes what `change` returns."""
    world = h.holder.current
    entries = [after for entry in world.context.keyring.entries for after in change(entry)]
    h.holder.current = replace(world, context=replace(world.context, keyring=Keyring(entries)))


def own(h: House, owner: PartnerId, use: Use, pair: Pair) -> None:
    """Have a party use another pair from now on."""
    cast(MutableMapping[Use, Pair], h.keys[owner].pairs)[use] = pair


def next_pair(h: House, owner: PartnerId, use: Use) -> Pair:
    return new_pair(Plan(owner=owner, now=h.clock.now()), use)


def revoked(h: House, owner: PartnerId, use: Use, *more: KeyEntry) -> Callable[[KeyEntry], Iterable[KeyEntry]]:
    now = h.clock.now()
    return lambda e: [replace(e, revoked_at=now), *more] if (e.owner, e.use) == (owner, use) else [e]


def revoke_document_key(h: House) -> None:
    """Revoke the key that signs deliveries, and sign with the next."""
    world, pair, old = h.holder.current, next_pair(h, GATEWAY, Use.DOCUMENT), h.keys[GATEWAY].pairs[Use.DOCUMENT].entry
    own(h, GATEWAY, Use.DOCUMENT, pair)
    public = Keyring([replace(old, revoked_at=h.clock.now()), pair.entry])
    signing = SigningKey(kid=pair.entry.kid, use=Use.DOCUMENT, private=pair.private)
    h.holder.current = replace(world, signers=replace(world.signers, document=signing, public=public))


async def test_what_is_queued_to_a_revoked_key_waits_for_another_and_then_goes(tmp_path):
    async with house(tmp_path) as h:
        trust(h, revoked(h, FR, Use.ENCRYPT))
        jti = await h.submit(notice("FR"))
        await h.seal.run_once()
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.attempt, leg.last_code) == (State.READY, 0, "not-sealed"), "nothing went out, nothing was used up"
        pair = next_pair(h, FR, Use.ENCRYPT)
        own(h, FR, Use.ENCRYPT, pair)
        trust(h, lambda e: [e, pair.entry] if (e.owner, e.use) == (FR, Use.ENCRYPT) else [e])
        h.clock.advance(timedelta(minutes=10))
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED
        assert len(h.partners[FR].received) == 1


async def test_a_leg_that_was_tried_is_sealed_anew_to_the_partners_other_key(tmp_path):
    async with house(tmp_path) as h:
        h.partners[FR].answers = [DOWN, Reply(Outcome.DELIVERED)]
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        first = (await h.legs(jti))[FR]
        assert (first.state, first.attempt) == (State.READY, 1)
        pair = next_pair(h, FR, Use.ENCRYPT)
        trust(h, revoked(h, FR, Use.ENCRYPT, pair.entry))
        own(h, FR, Use.ENCRYPT, pair)  # the partner opens with the new key alone
        h.clock.advance(timedelta(hours=1))
        await h.run_until_idle()
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.attempt) == (State.DELIVERED, 2)
        assert leg.signed_digest == first.signed_digest, "signed once, encrypted anew"


async def test_a_leg_signed_by_a_revoked_key_of_ours_is_held_and_a_release_does_not_help(tmp_path):
    async with house(tmp_path) as h:
        h.partners[FR].answers = [DOWN, Reply(Outcome.DELIVERED)]
        tried = await h.submit(notice("FR"))
        await h.run_until_idle()
        revoke_document_key(h)
        fresh = await h.submit(notice("FR", subject="s-000002"))
        h.clock.advance(timedelta(hours=1))
        await h.run_until_idle()
        leg = (await h.legs(tried))[FR]
        assert (leg.state, leg.hold_reason, leg.attempt) == (State.HELD, "KEY_REVOKED", 1)
        assert (await h.legs(fresh))[FR].state is State.DELIVERED, "what was not signed before is signed by the next key"
        async with h.store.unit_of_work() as work:
            done = await Hold(h.holder, h.settle).release(work, Legs(legs=(leg.leg_id,)))
        assert [each["why"] for each in done.value["legs"]] == [KEY_REVOKED]
        assert (await h.legs(tried))[FR].state is State.HELD


async def test_two_keys_of_a_partner_are_believed_while_their_periods_overlap_and_each_until_it_is_revoked(tmp_path):
    async with house(tmp_path) as h:
        old, pair = h.keys[REGISTER].pairs[Use.SUBMIT], next_pair(h, REGISTER, Use.SUBMIT)
        trust(h, lambda e: [e, pair.entry] if (e.owner, e.use) == (REGISTER, Use.SUBMIT) else [e])
        first = h.token(notice("FR"))
        own(h, REGISTER, Use.SUBMIT, pair)
        second = h.token(notice("FR", subject="s-000002"))
        for token in (first, second):
            assert (await h.send_token(token)).receipt is not None
        trust(h, lambda e: [replace(e, revoked_at=h.clock.now())] if e.kid == old.entry.kid else [e])
        own(h, REGISTER, Use.SUBMIT, old)
        refused = await h.send(notice("FR", subject="s-000003"))
        assert [problem.code.value for problem in refused.problems] == ["untrusted"]
        assert (await h.send_token(first)).receipt is None, "a revoked key stays refused, a repeat too"
        own(h, REGISTER, Use.SUBMIT, pair)
        assert (await h.send(notice("FR", subject="s-000003"))).receipt is not None


async def listed(items: AsyncIterator[Item]) -> list[Item]:
    return [item async for item in items]


@pytest.fixture
async def told(tmp_path):
    """A house in which two messages were submitted, delivered and receipted, the second after our keys and the register's were replaced."""
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        await h.run_until_idle()
        before = {(owner, use): h.keys[owner].pairs[use].entry for owner, use in LISTED}
        h.clock.advance(timedelta(hours=2))
        for owner, use in LISTED:
            own(h, owner, use, next_pair(h, owner, use))
        submit = h.keys[REGISTER].pairs[Use.SUBMIT].entry
        trust(h, lambda e: [e, submit] if (e.owner, e.use) == (REGISTER, Use.SUBMIT) else [e])
        ours, world = h.keys[GATEWAY], h.holder.current
        signers = replace(world.signers, document=ours.signing(Use.DOCUMENT), receipt=ours.signing(Use.RECEIPT))
        h.holder.current = replace(world, signers=signers)
        second = await h.submit(notice("FR", subject="s-000002"))
        await h.run_until_idle()
        yield h, before, first, second


LISTED = [(GATEWAY, Use.DOCUMENT), (GATEWAY, Use.RECEIPT), (REGISTER, Use.SUBMIT)]


@pytest.mark.parametrize(("owner", "use"), LISTED, ids=[use.value for _, use in LISTED])
async def test_a_drill_lists_what_a_key_signed_and_nothing_of_its_successor(told, owner, use):
    h, before, first, second = told
    drill = Drill(h.store, Safe(REGISTERS, REFERRALS, h.dice), gateway=GATEWAY)

    def about(items: list[Item]) -> list[str]:
        jtis = [item.get("original", item)["jti"] for item in items if item.get("partner", FR) == FR]
        return sorted(jtis)

    assert about(await listed(drill.of_pair(before[owner, use]))) == [first]
    assert about(await listed(drill.of_pair(h.keys[owner].pairs[use].entry))) == [second]


async def test_a_drill_of_an_encryption_key_lists_all_of_its_time_as_uncertain(told):
    h, _, first, second = told
    drill = Drill(h.store, Safe(REGISTERS, REFERRALS, h.dice), gateway=GATEWAY)
    ours = replace(h.keys[GATEWAY].pairs[Use.ENCRYPT].entry, valid_to=h.clock.now() - timedelta(hours=1))
    found = await listed(drill.of_pair(ours))
    assert [(item["jti"], item["certain"]) for item in found] == [(first, False)]
    sent = await listed(drill.of_pair(h.keys[FR].pairs[Use.ENCRYPT].entry))
    assert {item["original"]["jti"] for item in sent} == {first, second}
    epoch = await listed(drill.of_epoch("epoch-1"))
    assert sorted(item["jti"] for item in epoch) == sorted([first, second])


async def test_a_drill_of_the_logs_key_lists_checkpoints_and_one_of_a_request_key_nothing(told):
    h, *_ = told
    drill = Drill(h.store, Safe(REGISTERS, REFERRALS, h.dice), gateway=GATEWAY)
    entry = h.keys[GATEWAY].pairs[Use.CHECKPOINT].entry
    assert isinstance(entry, VerifyKey)
    assert isinstance(entry.public, Ed25519PublicKey)
    async with h.store.reading() as work:
        sizes = [row.size for row in await work.checkpoints()]
    assert [item["size"] for item in await listed(drill.of_pair(entry, CheckpointKey(GATEWAY, entry.public)))] == sizes
    other = next_pair(h, GATEWAY, Use.CHECKPOINT).entry
    assert isinstance(other, VerifyKey)
    assert isinstance(other.public, Ed25519PublicKey)
    assert await listed(drill.of_pair(other, CheckpointKey(GATEWAY, other.public))) == []
    assert await listed(drill.of_pair(h.keys[REGISTER].pairs[Use.REQUEST].entry)) == []


async def test_what_a_drill_tells_has_no_person_in_it(told):
    h, before, *_ = told
    drill = Drill(h.store, Safe(REGISTERS, REFERRALS, h.dice), gateway=GATEWAY)
    text = str([await listed(drill.of_pair(entry)) for entry in before.values()])
    assert "s-000001" not in text
    assert TRAVEL.name in text
