"""P9. Evidence can only grow, and anyone can check it offline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.evidence.bundle import Kept, Keys, Leaf, VerifiedLog, verify_bundle
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.keys import Use
from tests.house import GATEWAY, House, house
from tests.notices import notice


class Bundle:
    """What somebody outside holds: notes, leaves, public keys."""

    def __init__(self, notes: tuple[str, ...], leaves: list[Leaf], keys: Keys) -> None:
        self.notes, self.leaves, self.keys = notes, leaves, keys

    @classmethod
    async def of(cls, h: House) -> Bundle:
        export = await h.evidence.export()
        leaves = [leaf async for page in h.evidence.leaves(export.size) for leaf in page]
        pair = h.keys[GATEWAY].pairs[Use.RECEIPT]
        assert isinstance(pair.private, ec.EllipticCurvePrivateKey)
        return cls(export.checkpoints, leaves, Keys((h.checkpoint_key,), {pair.entry.kid: pair.private.public_key()}))

    def verify(self, *, leaves: list[Leaf] | None = None, kept: tuple[Kept, ...] = ()) -> VerifiedLog:
        return verify_bundle(
            self.notes[-1], leaves if leaves is not None else self.leaves, keys=self.keys, earlier=self.notes[:-1], kept=kept
        )


async def live(h: House, count: int = 3) -> list[bytes]:
    """Accept messages and sequence after each; return the receipts."""
    got = []
    for number in range(count):
        outcome = await h.send(notice("FR", "NL", subject=f"s-{h.clock.now():%H%M%S}-{number}"))
        assert outcome.receipt is not None
        got.append(outcome.receipt)
        await h.run_until_idle()
        h.clock.advance(seconds=1)
    return got


async def test_p9_what_was_in_the_log_stays_and_everything_new_comes_after_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        receipts = await live(h)
        before = await Bundle.of(h)
        receipts += await live(h)
        after = await Bundle.of(h)
    assert after.leaves[: len(before.leaves)] == before.leaves
    assert len(after.leaves) > len(before.leaves)
    kept = [Kept(f"receipt {i}", receipt.decode()) for i, receipt in enumerate(receipts)]
    kept += [Kept(f"note {i}", note) for i, note in enumerate(before.notes)]
    good = after.verify(kept=tuple(kept))
    assert (good.head.size, good.receipts_count) == (len(after.leaves), len(receipts))
    assert good.kinds["accepted"] >= len(receipts)


@pytest.mark.parametrize("lie", ["changed", "left-out", "swapped", "repeated", "cut-short"])
async def test_p9_a_log_that_lost_or_changed_an_entry_is_found_out(tmp_path: Path, lie: str) -> None:
    async with house(tmp_path) as h:
        await live(h)
        bundle = await Bundle.of(h)
    bundle.verify()  # the true one is good
    leaves = list(bundle.leaves)
    match lie:
        case "changed":
            entry = leaves[2].entry.replace(b'"at":"2026', b'"at":"2025')
            assert entry != leaves[2].entry
            leaves[2] = replace(leaves[2], entry=entry, digest=leaf_hash(entry))
        case "left-out":
            leaves = [replace(leaf, index=i) for i, leaf in enumerate(leaves[:2] + leaves[3:])]
        case "swapped":
            leaves[2], leaves[3] = replace(leaves[3], index=2), replace(leaves[2], index=3)
        case "repeated":
            leaves = [replace(leaf, index=i) for i, leaf in enumerate([*leaves, leaves[-1]])]
        case _:
            leaves.pop()
    with pytest.raises(EvidenceError):
        bundle.verify(leaves=leaves)


async def test_p9_a_second_history_is_found_out_by_whoever_kept_a_checkpoint(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with house(tmp_path / "one") as one:
        await live(one)
        kept = (await Bundle.of(one)).notes[-1]
    async with house(tmp_path / "two", keys=one.keys, seed=2) as two:  # the same keys, another log
        await live(two, count=5)
        other = await Bundle.of(two)
    other.verify()
    with pytest.raises(EvidenceError):
        other.verify(kept=(Kept("a checkpoint a partner kept", kept),))
