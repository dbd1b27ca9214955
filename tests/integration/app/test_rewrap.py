"""Keys of subjects go from one epoch to the next, each in its compartment; then the old epoch is not needed for anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.app.drill import Drill
from gateway.app.ports import WrappedKey
from gateway.app.rewrap import EpochInUseError, end, rewrap
from gateway.app.safe import EpochMissingError, Safe
from gateway.contract.values import SubjectKey
from gateway.core.keys import Use
from gateway.core.problems import Code
from gateway.core.vault import Compartment
from tests.house import GATEWAY, REFERRALS, REGISTERS, house
from tests.notices import notice


def following(compartment: Compartment, epoch: str, key: bytes, *, keep: bool) -> Compartment:
    keks = {**(compartment.keks if keep else {}), epoch: key}
    return replace(compartment, keks=keks, epoch=epoch)


def after(dice, *, keep: bool) -> Safe:
    registers = following(REGISTERS, "epoch-2", b"\x11" * 32, keep=keep)
    return Safe(registers, following(REFERRALS, "referral-2", b"\x22" * 32, keep=keep), dice)


async def test_everything_is_under_the_new_epochs_and_opens_without_the_old_ones(tmp_path):
    async with house(tmp_path) as h:
        jtis = [await h.submit(notice("FR", subject=f"s-{n:06}")) for n in range(3)]
        await h.run_until_idle()
        referred = SubjectKey("r-" + "a" * 64)
        wrapped = Safe(REGISTERS, REFERRALS, h.dice).new_subject_key(referred)
        async with h.store.unit_of_work() as work:
            await work.lock_subjects({referred: wrapped})
            before = await work.epochs()
        assert before == {"epoch-1": 3, "referral-1": 1}
        told: list[tuple[int, int]] = []
        assert await rewrap(h.store, after(h.dice, keep=True), progress=lambda done, of: told.append((done, of))) == 4
        assert told[-1] == (4, 4)
        async with h.store.reading() as work:
            assert await work.epochs() == {"epoch-2": 3, "referral-2": 1}
        alone = after(h.dice, keep=False)
        found = Drill(h.store, alone, gateway=GATEWAY).of_pair(h.keys["gb-register"].pairs[Use.SUBMIT].entry)
        assert sorted([item["jti"] async for item in found if "unknown" not in item]) == sorted(jtis), "each payload opens"
        assert await rewrap(h.store, alone) == 0, "nothing is left to do"


async def test_rows_under_an_epoch_that_is_not_loaded_stop_it_and_stay(tmp_path):
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        with pytest.raises(EpochMissingError):
            await rewrap(h.store, after(h.dice, keep=False))
        async with h.store.reading() as work:
            assert await work.epochs() == {"epoch-1": 1}


async def test_a_key_of_one_compartment_never_goes_under_an_epoch_of_the_other(tmp_path):
    async with house(tmp_path) as h:
        register, referred = SubjectKey("a" * 64), SubjectKey("r-" + "a" * 64)
        safe = Safe(REGISTERS, REFERRALS, h.dice)
        for subject, epoch in ((register, "epoch-2"), (referred, "referral-2")):
            old = safe.new_subject_key(subject)
            new = after(h.dice, keep=True).rewrapped(subject, old.epoch, old.wrapped)
            assert isinstance(new, WrappedKey)
            assert (new.epoch, new.wrapped != old.wrapped) == (epoch, True)


async def test_an_epoch_in_force_or_with_something_under_it_is_not_ended(tmp_path):
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        with pytest.raises(EpochInUseError, match="is in force"):
            await end(h.store, Safe(REGISTERS, REFERRALS, h.dice), "epoch-1")
        with pytest.raises(EpochInUseError, match="1 keys of subjects"):
            await end(h.store, after(h.dice, keep=True), "epoch-1")
        await h.submit(notice("FR", subject="s-another"))
        async with h.store.reading() as work:
            assert await work.epochs() == {"epoch-1": 2}, "what was refused has changed nothing"


async def test_an_inner_that_was_not_reloaded_keeps_nothing_under_a_destroyed_epoch_and_all_is_well_after_its_reload(tmp_path):
    async with house(tmp_path) as h:  # it uses epoch-1, which somebody else has followed, rewrapped and destroyed
        await h.submit(notice("FR"))
        new = after(h.dice, keep=True)
        await rewrap(h.store, new)
        late = await h.submit(notice("FR", subject="s-late"))
        with pytest.raises(EpochInUseError, match="another inner"):
            await end(h.store, new, "epoch-1")
        await rewrap(h.store, new)
        await end(h.store, new, "epoch-1")
        token = h.token(notice("FR", subject="s-later"))
        refused = await h.ask("submit", "/v1/messages", method="POST", body=token)
        assert (refused.outcome, refused.code) == ("problem", Code.UNAVAILABLE)
        async with h.store.reading() as work:
            assert await work.epochs() == {"epoch-2": 2}
        registers = following(REGISTERS, "epoch-2", b"\x11" * 32, keep=False)
        h.intake._safe.use(registers, following(REFERRALS, "referral-2", b"\x22" * 32, keep=False))
        accepted = await h.ask("submit", "/v1/messages", method="POST", body=token)
        assert accepted.outcome == "accepted"
        await h.run_until_idle()
        assert {leg.state.value for leg in (await h.legs(late)).values()} == {"delivered"}
        async with h.store.reading() as work:
            assert await work.epochs() == {"epoch-2": 3}
