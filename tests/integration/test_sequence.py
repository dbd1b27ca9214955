"""The sequencer on a real SQLite store: staged entries become a signed log that only grows."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.app import sequence
from gateway.app.sequence import Evidence, Sequencer
from gateway.contract.errors import InvariantError
from gateway.core.evidence import bundle, checkpoint, entries, merkle
from gateway.core.evidence.bundle import Keys
from gateway.core.evidence.checkpoint import CheckpointKey, CheckpointSigner
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.problems import RefusedInputError
from gateway.stores.open import open_store
from gateway.testing.clock import FakeClock
from tests.vectors.evidence import ORIGIN, accepted

SIGNER = CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x05" * 32))


@pytest.fixture
async def store(tmp_path):
    async with open_store(f"sqlite:///{tmp_path / 'gateway.db'}", dev=True) as opened:
        yield opened


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def sequencer(store, clock):
    return Sequencer(store, SIGNER, clock, holder="inner-1")


async def stage(store, *numbers: int) -> list[bytes]:
    raw = [accepted(number).encode() for number in numbers]
    async with store.unit_of_work() as work:
        await work.stage_evidence(raw)
    return raw


async def integrated(store) -> list[bytes]:
    async with store.reading() as work:
        return [entry for _, entry in await work.leaves(0, 100_000)]


async def test_the_first_entry_of_an_empty_log_opens_it_also_before_what_was_staged_earlier(store, sequencer):
    raw = await stage(store, 1, 2)
    assert await sequencer.run_once() == 3
    log = await integrated(store)
    assert entries.decode(log[0]) == entries.LogOpened(at="2026-11-21T12:00:00.000000Z", origin=ORIGIN)
    assert log[1:] == raw


async def test_an_idle_gateway_opens_its_log_once(store, sequencer):
    assert [await sequencer.run_once() for _ in range(3)] == [1, 0, 0]
    assert len(await integrated(store)) == 1


async def test_a_restored_gateway_opens_the_log_that_was_staged_for_it_under_its_own_name(store, sequencer):
    previous = entries.PreviousLog(origin=ORIGIN, size=9, root="a" * 64)
    opening = entries.LogOpened(at="2026-11-21T12:00:00.000000Z", origin=f"{ORIGIN}/2", previous=previous)
    raw = await stage(store, 1)
    async with store.unit_of_work() as work:
        await work.replace_log(opening.encode())
    assert await sequencer.run_once() == 2
    await stage(store, 2)
    await sequencer.run_once()
    assert (await integrated(store))[:2] == [opening.encode(), *raw], "what opens the log is first, and there once"
    async with store.reading() as work:
        notes = [row.note for row in await work.checkpoints()]
    key = CheckpointKey(f"{ORIGIN}/2", SIGNER.key.public)
    assert [checkpoint.verify(note, [key]).origin for note in notes] == [f"{ORIGIN}/2"] * 2


async def test_every_run_signs_the_head_of_what_it_integrated(store, sequencer):
    for numbers in [(1,), (2, 3, 4), (5, 6)]:
        await stage(store, *numbers)
        await sequencer.run_once()
    log = [leaf_hash(entry) for entry in await integrated(store)]
    async with store.reading() as work:
        rows = await work.checkpoints()
    assert [row.size for row in rows] == [2, 5, 7]
    for row in rows:
        head = checkpoint.verify(row.note, [SIGNER.key])
        assert (head.size, head.root) == (row.size, row.root) == (row.size, merkle.root_of(log[: row.size]))


async def test_a_backlog_is_taken_in_batches_and_in_order(store, sequencer):
    count = sequence.BATCH_COUNT_MAX + 5
    raw = await stage(store, *range(1, count + 1))
    assert [await sequencer.run_once() for _ in range(3)] == [sequence.BATCH_COUNT_MAX, 6, 0]
    assert (await integrated(store))[1:] == raw


async def test_a_second_sequencer_waits_until_the_first_is_silent(store, sequencer, clock):
    other = Sequencer(store, SIGNER, clock, holder="inner-2")
    await sequencer.run_once()
    await stage(store, 1)
    assert await other.run_once() == 0
    clock.advance(seconds=sequence.LEASE_SECONDS)
    assert await other.run_once() == 1
    await stage(store, 2)
    assert await sequencer.run_once() == 0
    assert [entries.decode(entry).kind for entry in await integrated(store)] == ["log-opened", "accepted"]


async def test_a_sequencer_that_gives_its_lease_back_is_followed_at_once(store, sequencer):
    other = Sequencer(store, SIGNER, sequencer._clock, holder="inner-2")
    await sequencer.run_once()
    await stage(store, 1)
    await other.release()  # it is not his: nothing ends
    assert await other.run_once() == 0
    await sequencer.release()
    assert await other.run_once() == 1


async def test_a_sequencer_that_wakes_up_too_late_writes_nothing(store, sequencer):
    """It read size and staged entries, was frozen, and its successor integrated them meanwhile."""
    await sequencer.run_once()
    await stage(store, 1)
    async with store.reading() as work:
        size, staged = await work.log_size(), await work.staged(10)
    await sequencer.run_once()
    before = await integrated(store)
    with pytest.raises(InvariantError):
        async with store.unit_of_work() as work:
            await sequencer._integrate(work, size, staged)
    assert await integrated(store) == before


async def test_what_is_asked_of_the_log_can_be_proved(store, sequencer):
    evidence = Evidence(store)
    raw = []
    for numbers in [(1, 2, 3), (4,), (5, 6, 7, 8, 9)]:
        raw += await stage(store, *numbers)
        await sequencer.run_once()
    newest = await evidence.checkpoint()
    assert newest is not None
    for entry in raw:
        found = await evidence.inclusion(leaf_hash(entry))
        merkle.verify_inclusion(leaf_hash(entry), found.index, found.size, path=found.path, root=newest.root)
    async with store.reading() as work:
        for old in await work.checkpoints():
            path = await evidence.consistency(old.size)
            merkle.verify_consistency(old.size, newest.size, path=path, first_root=old.root, second_root=newest.root)
    early = await evidence.inclusion(leaf_hash(raw[0]), 4)
    assert (early.index, early.size) == (1, 4)


async def test_what_is_not_in_the_log_is_refused_with_a_reason(store, sequencer):
    evidence = Evidence(store)
    [staged] = await stage(store, 1)

    async def code(question) -> str:
        with pytest.raises(RefusedInputError) as caught:
            await question
        return caught.value.problem.code.value

    assert await evidence.checkpoint() is None
    assert await code(evidence.export()) == "not-found"
    assert await code(evidence.inclusion(leaf_hash(staged))) == "not-found"
    assert await code(evidence.consistency(1)) == "request-invalid"
    await sequencer.run_once()
    assert await code(evidence.inclusion(leaf_hash(b"never"))) == "not-found"
    assert await code(evidence.inclusion(leaf_hash(staged), 1)) == "not-found"
    assert await code(evidence.inclusion(leaf_hash(staged), 3)) == "request-invalid"
    assert await code(evidence.inclusion(leaf_hash(staged), -1)) == "request-invalid"
    assert await code(evidence.consistency(0, 2)) == "request-invalid"
    assert await code(evidence.consistency(2, 1)) == "request-invalid"
    assert await code(evidence.consistency(1, 3)) == "request-invalid"


async def test_an_export_is_checked_offline(store, sequencer):
    evidence = Evidence(store)
    for numbers in [range(1, 5), range(5, 1200)]:
        await stage(store, *numbers)
        while await sequencer.run_once() == sequence.BATCH_COUNT_MAX:
            pass
    export = await evidence.export()
    await stage(store, 2000)
    await sequencer.run_once()  # the log grows while it is exported
    leaves = [leaf async for page in evidence.leaves(export.size) for leaf in page]
    found = bundle.verify_bundle(export.checkpoints[-1], leaves, keys=Keys((SIGNER.key,)), earlier=export.checkpoints[:-1])
    assert (found.head.size, found.kinds) == (1200, {"accepted": 1199, "log-opened": 1})
