"""P9: evidence can only grow, and anyone can check it offline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.evidence import bundle, checkpoint, merkle
from gateway.core.evidence.checkpoint import Checkpoint
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.merkle import Edge, append, consistency_spans, inclusion_spans, leaf_hash
from tests.vectors.evidence import KEYS, SIGNER, leaves, log, note

LOG = log(40)
HASHES = [leaf_hash(entry) for entry in LOG]
ROOTS = [merkle.root_of(HASHES[:size]) for size in range(len(LOG) + 1)]
STORED = {(level, index): here for level, index, here in append(Edge(), HASHES)[1]}
NOTE = note(LOG)
SIZES = st.integers(1, len(LOG))


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(changed)


def flipped_one(path: tuple[bytes, ...], bit: int) -> tuple[bytes, ...]:
    which = bit // 256 % len(path)
    return (*path[:which], flipped(path[which], bit), *path[which + 1 :])


@given(st.lists(st.integers(0, 7), max_size=12), st.data())
def test_however_a_log_grows_its_root_is_that_of_its_leaves(steps, data):
    """In whatever batches entries come, edge, root and stored nodes are those of the whole."""
    edge, nodes = Edge(), {}
    for step in steps:
        before = edge.size
        edge, new = append(Edge.of(before, nodes), HASHES[before : min(before + step, len(HASHES))])
        assert not {(level, index) for level, index, _ in new} & nodes.keys()  # a node once written never changes
        nodes |= {(level, index): here for level, index, here in new}
    assert edge.root == ROOTS[edge.size]
    assert nodes.items() <= STORED.items()


@given(SIZES, st.data())
def test_every_leaf_of_every_size_can_be_proved_and_no_changed_proof_passes(size, data):
    index = data.draw(st.integers(0, size - 1))
    bit = data.draw(st.integers(0, 2**20))
    path = merkle.proof(inclusion_spans(index, size), STORED)
    assert merkle.verify_inclusion(HASHES[index], index, size, path=path, root=ROOTS[size]) == HASHES[index]
    for leaf, steps, root in [
        (flipped(HASHES[index], bit), path, ROOTS[size]),
        (HASHES[index], path, flipped(ROOTS[size], bit)),
        *([(HASHES[index], flipped_one(path, bit), ROOTS[size])] if path else []),
    ]:
        with pytest.raises(EvidenceError):
            merkle.verify_inclusion(leaf, index, size, path=steps, root=root)


@given(SIZES, st.data())
def test_a_log_can_only_grow(second, data):
    """Every earlier head is proved to be the beginning of every later one, and no changed proof or head passes."""
    first = data.draw(st.integers(1, second))
    bit = data.draw(st.integers(0, 2**20))
    path = merkle.proof(consistency_spans(first, second), STORED)
    assert merkle.verify_consistency(first, second, path=path, first_root=ROOTS[first], second_root=ROOTS[second]) == ROOTS[second]
    for steps, old, new in [
        (path, flipped(ROOTS[first], bit), ROOTS[second]),
        (path, ROOTS[first], flipped(ROOTS[second], bit)),
        *([(flipped_one(path, bit), ROOTS[first], ROOTS[second])] if path else []),
    ]:
        with pytest.raises(EvidenceError):
            merkle.verify_consistency(first, second, path=steps, first_root=old, second_root=new)


@given(st.integers(0, len(LOG) - 2), st.data())
def test_no_proof_joins_two_histories(changed, data):
    """Whoever changes an entry finds no proof from a head that covered it: any hashes at all are refused."""
    other = [*HASHES[:changed], leaf_hash(b"another"), *HASHES[changed + 1 :]]
    first = data.draw(st.integers(changed + 1, len(LOG) - 1))
    nodes = {(level, index): here for level, index, here in append(Edge(), other)[1]}
    honest, forged = (merkle.proof(consistency_spans(first, len(LOG)), hashes) for hashes in (STORED, nodes))
    mixed = tuple(data.draw(st.sampled_from(pair)) for pair in zip(honest, forged, strict=True))
    with pytest.raises(EvidenceError):
        merkle.verify_consistency(first, len(LOG), path=mixed, first_root=ROOTS[first], second_root=merkle.root_of(other))


@given(st.integers(0, len(NOTE.encode()) * 8 - 1))
def test_a_note_with_any_bit_changed_is_refused(bit):
    try:
        text = flipped(NOTE.encode(), bit).decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(EvidenceError):
        checkpoint.verify(text, [SIGNER.key])


@given(st.text(max_size=300))
def test_any_text_is_refused_as_a_note(text):
    with pytest.raises(EvidenceError):
        checkpoint.verify(text, [SIGNER.key])


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_every_tree_head_reads_back_as_it_was_signed(size, root):
    assert checkpoint.verify(SIGNER.sign(size, root), [SIGNER.key]) == Checkpoint(SIGNER.origin, size, root)


@given(st.integers(0, len(LOG) - 1), st.integers(0, 2**20))
def test_p9_a_bundle_with_any_bit_of_any_line_changed_is_refused(number, bit):
    lines = [bundle.write_leaf(leaf) for leaf in leaves(LOG)]
    lines[number] = flipped(lines[number], bit)
    with pytest.raises(EvidenceError):
        bundle.verify_bundle(NOTE, (bundle.read_leaf(line, i) for i, line in enumerate(lines)), keys=KEYS)
