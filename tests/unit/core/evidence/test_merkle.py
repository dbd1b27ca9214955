"""The tree against the well known vectors of Certificate Transparency, and every proof of small trees against the definition."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.contract.errors import InvariantError
from gateway.core.evidence import merkle
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.merkle import Edge, append, consistency_spans, inclusion_spans, leaf_hash, node_hash, parts

ENTRIES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
EDGE, NODES = append(Edge(), LEAVES)
STORED = {(level, index): here for level, index, here in NODES}


def inclusion(index: int, size: int) -> tuple[bytes, ...]:
    return merkle.proof(inclusion_spans(index, size), STORED)


def consistency(first: int, second: int) -> tuple[bytes, ...]:
    return merkle.proof(consistency_spans(first, second), STORED)


def root(size: int) -> bytes:
    return bytes.fromhex(ROOTS[size])


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size):
    assert merkle.root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index, size):
    assert [step.hex() for step in inclusion(index, size)] == INCLUSION[index, size]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(first, second):
    assert [step.hex() for step in consistency(first, second)] == CONSISTENCY[first, second]


@pytest.mark.parametrize("size", range(1, 9))
def test_every_inclusion_proof_verifies_and_returns_the_leaf(size):
    for index in range(size):
        assert merkle.verify_inclusion(LEAVES[index], index, size, path=inclusion(index, size), root=root(size)) == LEAVES[index]


@pytest.mark.parametrize("second", range(1, 9))
def test_every_consistency_proof_verifies_and_returns_the_newer_root(second):
    for first in range(1, second + 1):
        path = consistency(first, second)
        assert merkle.verify_consistency(first, second, path=path, first_root=root(first), second_root=root(second)) == root(second)


def test_the_stored_nodes_are_the_definition_of_rfc_6962():
    assert STORED[0, 3] == sha256(b"\x00" + ENTRIES[3]).digest()
    assert STORED[1, 0] == sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()
    assert STORED[3, 0] == root(8)
    assert len(NODES) == 15


def test_an_entry_that_spells_an_inner_node_has_another_hash():
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("size", range(9))
def test_a_tree_grows_from_its_stored_edge_as_if_at_once(size):
    edge = Edge.of(size, STORED)
    assert edge.root == root(size)
    grown, nodes = append(edge, LEAVES[size:])
    assert grown == EDGE
    assert all(STORED[level, index] == here for level, index, here in nodes)


def test_a_proof_takes_few_nodes_of_a_great_log():
    size = 10_000_019
    for index in (0, 1, 4_999_999, 8_388_608, size - 1):
        assert sum(len(parts(span)) for span in inclusion_spans(index, size)) <= 2 * size.bit_length()
    for first in (1, 2, 4_999_999, 8_388_608, size - 1, size):
        assert sum(len(parts(span)) for span in consistency_spans(first, size)) <= 2 * size.bit_length()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (8, 8)])
def test_there_is_no_inclusion_proof_of_what_is_not_there(index, size):
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_spans(index, size)
    with pytest.raises(EvidenceError, match="outside a tree"):
        merkle.verify_inclusion(LEAVES[0], index, size, path=[], root=root(1))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 0), (2, 1), (-1, 4)])
def test_there_is_no_consistency_proof_from_nothing_nor_backwards(first, second):
    with pytest.raises(ValueError, match="no proof"):
        consistency_spans(first, second)
    with pytest.raises(EvidenceError, match="no proof"):
        merkle.verify_consistency(first, second, path=[], first_root=root(1), second_root=root(1))


PATH = inclusion(5, 8)


@pytest.mark.parametrize(
    ("leaf", "index", "size", "path", "top"),
    [
        pytest.param(LEAVES[4], 5, 8, PATH, root(8), id="another-leaf"),
        pytest.param(LEAVES[5], 4, 8, PATH, root(8), id="another-index"),
        pytest.param(LEAVES[5], 5, 6, PATH, root(8), id="another-size"),
        pytest.param(LEAVES[5], 5, 16, PATH, root(8), id="a-larger-size"),
        pytest.param(LEAVES[5], 5, 8, PATH, root(7), id="another-root"),
        pytest.param(LEAVES[5], 5, 8, PATH[:-1], root(8), id="too-short"),
        pytest.param(LEAVES[5], 5, 8, (*PATH, PATH[0]), root(8), id="too-long"),
        pytest.param(LEAVES[5], 5, 8, PATH[::-1], root(8), id="another-order"),
        pytest.param(LEAVES[5], 5, 8, (PATH[0][:-1], *PATH[1:]), root(8), id="a-short-hash"),
        pytest.param(LEAVES[0], 0, 1, PATH[:1], root(1), id="a-step-above-the-root"),
        pytest.param(LEAVES[1], 0, 1, LEAVES[:1], root(2), id="the-second-leaf-as-the-first-of-one"),
    ],
)
def test_one_change_to_an_inclusion_proof_is_refused(leaf, index, size, path, top):
    with pytest.raises(EvidenceError, match=f"leaf {index}"):
        merkle.verify_inclusion(leaf, index, size, path=path, root=top)


@pytest.mark.parametrize("path", [(*PATH[:2], PATH[2] + b"\x00"), (PATH[0][:-1], *PATH[1:]), (b"", *PATH[1:])])
def test_a_step_that_is_no_hash_is_refused_before_it_is_hashed(path):
    with pytest.raises(EvidenceError, match="wrong shape"):
        merkle.verify_inclusion(LEAVES[5], 5, 8, path=path, root=root(8))


GROWTH = consistency(6, 8)


@pytest.mark.parametrize(
    ("first", "second", "path", "old", "new"),
    [
        pytest.param(5, 8, GROWTH, root(6), root(8), id="another-first"),
        pytest.param(6, 16, GROWTH, root(6), root(8), id="another-second"),
        pytest.param(6, 8, GROWTH, root(5), root(8), id="another-old-root"),
        pytest.param(6, 8, GROWTH, root(6), root(7), id="another-new-root"),
        pytest.param(6, 8, GROWTH[:-1], root(6), root(8), id="too-short"),
        pytest.param(6, 8, (*GROWTH, GROWTH[0]), root(6), root(8), id="too-long"),
        pytest.param(6, 8, (), root(6), root(8), id="empty"),
        pytest.param(6, 8, GROWTH[::-1], root(6), root(8), id="another-order"),
        pytest.param(6, 8, (GROWTH[0] + b"\x00", *GROWTH[1:]), root(6), root(8), id="a-long-hash"),
        pytest.param(8, 8, (), root(7), root(8), id="same-size-other-root"),
        pytest.param(8, 8, GROWTH, root(8), root(8), id="same-size-with-a-proof"),
        pytest.param(4, 8, GROWTH, root(4), root(8), id="a-power-of-two"),
    ],
)
def test_one_change_to_a_consistency_proof_is_refused(first, second, path, old, new):
    with pytest.raises(EvidenceError, match=f"checkpoint {first}"):
        merkle.verify_consistency(first, second, path=path, first_root=old, second_root=new)


def test_a_missing_or_short_node_is_our_fault_and_says_which():
    with pytest.raises(InvariantError, match="no node', 2, 0"):
        Edge.of(5, {(0, 4): LEAVES[4]})
    with pytest.raises(InvariantError, match="not a SHA-256"):
        append(Edge(), [b"short"])
    with pytest.raises(InvariantError, match="no node"):
        merkle.proof([(0, 8)], {})
