"""The offline check: a good log passes, and one change to anything in it is named."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.contract.values import KeyId
from gateway.core import tokens
from gateway.core.evidence import bundle, entries, receipts
from gateway.core.evidence.bundle import Kept, Keys, Leaf
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.merkle import EMPTY_ROOT, leaf_hash, root_of
from gateway.core.keys import SigningKey, Use
from tests.vectors.evidence import KEYS, ORIGIN, RECEIPT_KEY, SIGNER, START, ReceiptOf, accepted, leaves, log, note

LOG = log(40)
LEAVES = leaves(LOG)
NOTE = note(LOG)
EARLIER = [note(LOG[:size]) for size in (1, 2, 17, 32)]
OTHER_SIGNER = CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
OTHER_KEY = SigningKey(kid=KeyId("receipt-1"), use=Use.RECEIPT, private=ec.derive_private_key(1002, ec.SECP256R1()))


def faults(note=NOTE, leaves=LEAVES, **more) -> list[str]:
    with pytest.raises(EvidenceError) as caught:
        bundle.verify_bundle(note, leaves, **{"keys": KEYS, "earlier": EARLIER, **more})
    return list(caught.value.faults)


def swapped(position: int, entry: bytes, *, digest: bytes | None = None) -> list[Leaf]:
    changed = list(LEAVES)
    changed[position] = Leaf(position, entry, LEAVES[position].digest if digest is None else digest)
    return changed


def test_a_good_log_is_described():
    kept = [Kept("a.jwt", ReceiptOf(5, EARLIER[0]).sign()), Kept("b.jwt", ReceiptOf(6).sign()), Kept("c.note", EARLIER[2])]
    found = bundle.verify_bundle(NOTE, iter(LEAVES), keys=KEYS, earlier=EARLIER, kept=kept)
    assert (found.head.origin, found.head.size, found.head.root) == (ORIGIN, 40, root_of(map(leaf_hash, LOG)))
    assert (found.checkpoints_count, found.receipts_count) == (6, 2)
    assert found.kinds == {"accepted": 39, "log-opened": 1}
    assert (found.first_at, found.last_at) == (entries.moment(START), accepted(39).at)
    assert found.key_ids == (SIGNER.key.key_id.hex(),)


def test_an_empty_checkpoint_seen_is_the_beginning_of_every_log():
    assert bundle.verify_bundle(NOTE, LEAVES, keys=KEYS, kept=[Kept("zero", SIGNER.sign(0, EMPTY_ROOT))]).checkpoints_count == 1


def test_a_changed_entry_is_named():
    changed = bytearray(LOG[17])
    changed[-10] ^= 1
    found = faults(leaves=swapped(17, bytes(changed)))
    assert "leaf 17: digest differs" in found
    assert "the root over all 40 leaves is not that of the checkpoint" in found
    assert "checkpoint 3 of the bundle: the log does not begin with its 32 leaves" in found
    assert not any("checkpoint 2" in fault for fault in found)


def test_a_changed_digest_alone_is_named():
    assert faults(leaves=swapped(17, LOG[17], digest=b"\x00" * 32)) == ["leaf 17: digest differs"]


def test_an_entry_changed_with_its_digest_breaks_the_root_and_the_checkpoints_after_it():
    other = accepted(99).encode()
    assert faults(leaves=swapped(17, other, digest=leaf_hash(other))) == [
        "checkpoint 3 of the bundle: the log does not begin with its 32 leaves",
        "the root over all 40 leaves is not that of the checkpoint",
    ]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        pytest.param(LEAVES[:-1], "the log has 39 leaves, its checkpoint says 40", id="cut-short"),
        pytest.param([*LEAVES, Leaf(40, LOG[1], LEAVES[1].digest)], "the log has 41 leaves, its checkpoint says 40", id="one-more"),
        pytest.param(LEAVES[:5] + LEAVES[6:], "leaf 5: is missing, 6 stands in its place", id="one-left-out"),
        pytest.param([*LEAVES[:5], LEAVES[6], LEAVES[5], *LEAVES[7:]], "leaf 5: is missing, 6 stands in its place", id="two-swapped"),
        pytest.param([], "the log has 0 leaves, its checkpoint says 40", id="nothing"),
    ],
)
def test_a_log_of_another_length_or_order_is_named(changed, fault):
    assert fault in faults(leaves=changed)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        pytest.param([*LOG[:3], b"{}", *LOG[3:]], "leaf 3: not an entry of a known kind", id="no-entry"),
        pytest.param([*LOG[:3], b" " + LOG[3]], "leaf 3: not the canonical spelling of its entry", id="another-spelling"),
        pytest.param([*LOG[:3], LOG[0]], "leaf 3: opens a log inside a log", id="a-second-opening"),
        pytest.param(LOG[1:4], "leaf 0: does not open the log", id="no-opening"),
        pytest.param(log(3, origin="gateway.example/log/2"), "leaf 0: opens another log, gateway.example/log/2", id="another-log"),
    ],
)
def test_a_well_signed_log_with_a_wrong_entry_is_named(raw, fault):
    assert faults(note=note(raw), leaves=leaves(raw), earlier=()) == [fault]


def test_a_checkpoint_signed_by_another_key_ends_the_check_at_once():
    assert faults(note=note(LOG, OTHER_SIGNER)) == ["checkpoint: none of the keys given has signed it"]


def test_a_log_that_was_rewritten_contradicts_what_others_kept():
    """The attack the log exists for: our own key signs another history."""
    rewritten = [*LOG[:20], accepted(77).encode(), *LOG[21:]]
    kept = [Kept("a.jwt", ReceiptOf(20, note(LOG[:32])).sign())]
    assert faults(note=note(rewritten), leaves=leaves(rewritten), earlier=(), kept=kept) == [
        "a.jwt, its checkpoint: the log does not begin with its 32 leaves",
        f"a.jwt: its leaf {LEAVES[20].digest.hex()} is not in the log; if the receipt is newer than the bundle, export again",
    ]


def test_a_log_that_was_cut_contradicts_what_others_kept():
    cut = LOG[:10]
    assert faults(note=note(cut), leaves=leaves(cut), earlier=(), kept=[Kept("n", NOTE)]) == [
        "n: has 40 leaves, the bundle only 10; export again, or the log was cut"
    ]


RECEIPT = ReceiptOf(5).sign()
HEAD, BODY, SIGNATURE = RECEIPT.split(".")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def resigned(head: str, body: str) -> str:
    """Sign any header and body, so that a test reaches the check it means."""
    signer = SigningKey(kid=KeyId("x"), use=Use.RECEIPT, private=RECEIPT_KEY.private)
    raw = tokens._signature(f"{head}.{body}".encode(), signer)
    return f"{head}.{body}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "r: not a receipt: not three parts", id="nothing"),
        pytest.param(RECEIPT + ".", "r: not a receipt: not three parts", id="four-parts"),
        pytest.param(RECEIPT + "=", "r: base64url is not canonical", id="padding"),
        pytest.param("Ä" + RECEIPT, "r: not base64url", id="not-ascii"),
        pytest.param("x" * 300_000, "r: not a receipt: too large", id="too-large"),
        pytest.param(f"{HEAD}.{BODY}.{SIGNATURE[:-2]}", "r: receipt: the signature has the wrong length", id="a-short-signature"),
        pytest.param(f"{HEAD}.{ReceiptOf(6).sign().split('.')[1]}.{SIGNATURE}", "r: receipt: the signature is wrong", id="another-body"),
        pytest.param(ReceiptOf(5, key=OTHER_KEY).sign(), "r: receipt: the signature is wrong", id="another-key-under-our-kid"),
        pytest.param(
            ReceiptOf(5, key=replace(OTHER_KEY, kid=KeyId("receipt-9"))).sign(),
            "r: receipt: the keys given do not have its kid",
            id="unknown-kid",
        ),
        pytest.param(ReceiptOf(5).sign(tokens.REJECTION), "r: not a receipt: another algorithm or type", id="a-rejection"),
        pytest.param(
            resigned(encoded({"alg": "none", "kid": "receipt-1", "typ": "gw-receipt+jwt"}), BODY),
            "r: not a receipt: another algorithm or type",
            id="alg-none",
        ),
        pytest.param(
            resigned(encoded({"alg": "ES256", "crit": ["x"], "kid": "receipt-1", "typ": "gw-receipt+jwt"}), BODY),
            "r: not a receipt: not its members",
            id="crit",
        ),
        pytest.param(
            resigned(encoded({"typ": "gw-receipt+jwt", "kid": "receipt-1", "alg": "ES256"}), BODY),
            "r: not a receipt: its JSON is not in our spelling",
            id="header-in-another-order",
        ),
        pytest.param(resigned(HEAD, encoded({"leaf": "x"})), "r: not a receipt: not its members", id="no-claims"),
        pytest.param(f"WyJ_{'gICA' * 5}.{BODY}.{SIGNATURE}", "r: not a receipt: not its members", id="header-not-utf-8"),
        pytest.param(f"{'W1tb' * 30_000}.{BODY}.{SIGNATURE}", "r: not a receipt: not its members", id="header-of-brackets"),
        pytest.param(resigned(HEAD, encoded([])), "r: not a receipt: not its members", id="a-list"),
        pytest.param(
            ReceiptOf(5, leaf="a" * 64).sign(),
            f"r: its leaf {'a' * 64} is not in the log; if the receipt is newer than the bundle, export again",
            id="a-leaf-that-is-not-there",
        ),
        pytest.param(ReceiptOf(5, leaf=LEAVES[6].digest.hex()).sign(), "r: leaf 6 records something else than it says", id="another-leaf"),
        pytest.param(ReceiptOf(5, leaf=LEAVES[0].digest.hex()).sign(), "r: leaf 0 records something else than it says", id="the-opening"),
        pytest.param(ReceiptOf(5, digest="a" * 64).sign(), "r: leaf 5 records something else than it says", id="another-digest"),
        pytest.param(
            ReceiptOf(5, note(LOG[:8], OTHER_SIGNER)).sign(),
            "r, its checkpoint: checkpoint: none of the keys given has signed it",
            id="a-checkpoint-of-another-key",
        ),
        pytest.param(
            ReceiptOf(5, SIGNER.sign(8, b"x" * 32)).sign(), "r, its checkpoint: the log does not begin with its 8 leaves", id="a-fork"
        ),
    ],
)
def test_a_receipt_with_one_change_is_named(text, fault):
    assert faults(kept=[Kept("r", text)]) == [fault]


def test_a_checkpoint_of_another_log_of_ours_is_named():
    other = CheckpointSigner("gateway.example/log/0", SIGNER.private)
    keys = replace(KEYS, checkpoint=(SIGNER.key, other.key))
    assert faults(keys=keys, kept=[Kept("n", note(LOG[:3], other))]) == ["n: is of another log, gateway.example/log/0"]


def test_a_log_that_is_wrong_everywhere_is_not_listed_in_full():
    wrong = [replace(leaf, digest=b"\x00" * 32) for leaf in leaves(log(300))]
    assert len(faults(leaves=wrong)) == bundle.FAULTS_COUNT_MAX


# --- the files --------------------------------------------------------------------------------------------------------


def test_a_leaf_survives_its_line():
    assert bundle.read_leaf(bundle.write_leaf(LEAVES[7]), 7) == LEAVES[7]


LINE = bundle.write_leaf(LEAVES[7])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE[:-1], id="no-newline"),
        pytest.param(LINE[:-1] + b"\r\n", id="carriage-return"),
        pytest.param(b" " + LINE, id="a-space"),
        pytest.param(LINE.replace(b'"index":7', b'"index":7,"index":7'), id="a-key-twice"),
        pytest.param(LINE.replace(b'"index":7', b'"index":"7"'), id="index-as-text"),
        pytest.param(LINE.replace(b'"entry":"', b'"entry":"*'), id="not-base64"),
        pytest.param(LINE.replace(b'"digest":"', b'"digest":"A'), id="not-hex"),
        pytest.param(LINE[:40], id="cut"),
        pytest.param(b"\xff\n", id="not-utf-8"),
    ],
)
def test_a_line_with_one_change_is_refused_by_its_number(line):
    with pytest.raises(EvidenceError, match=r"^leaf 7: the line"):
        bundle.read_leaf(line, 7)


def test_a_note_survives_its_line_and_a_broken_line_is_refused():
    assert bundle.read_note(bundle.write_note(NOTE), 0) == NOTE
    with pytest.raises(EvidenceError, match="checkpoint 3 of the bundle"):
        bundle.read_note(b"{}", 3)


def test_keys_survive_their_file():
    read = bundle.read_keys(bundle.write_keys(KEYS))
    assert [key.vkey for key in read.checkpoint] == [SIGNER.key.vkey]
    assert receipts.write_keys(read.receipts) == receipts.write_keys(KEYS.receipts)


def test_a_key_file_without_receipt_keys_checks_a_log_alone():
    read = bundle.read_keys(json.dumps({"checkpoint": [SIGNER.key.vkey]}).encode())
    assert read.receipts == {}


JWK = json.loads(receipts.write_keys(KEYS.receipts))["keys"][0]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        pytest.param(b"[]", "not an object", id="a-list"),
        pytest.param(b'{"checkpoint":["\xff"]}', "not an object", id="not-utf-8"),
        pytest.param(b'{"checkpoint":["x"],"receipts":' + b"[" * 100_000, "not an object", id="a-tower-of-brackets"),
        pytest.param(json.dumps({"checkpoint": []}), "no key of a log", id="no-checkpoint-key"),
        pytest.param(json.dumps({"checkpoint": ["x"]}), "not an Ed25519 verifier key", id="no-verifier-key"),
        pytest.param(json.dumps({"checkpoint": [SIGNER.key.vkey], "receipts": 5}), "not a JWKS", id="no-jwks"),
        pytest.param(json.dumps({"checkpoint": [SIGNER.key.vkey], "receipts": {"keys": [JWK, JWK]}}), "there twice", id="a-kid-twice"),
        *(
            pytest.param(json.dumps({"checkpoint": [SIGNER.key.vkey], "receipts": {"keys": [JWK | change]}}), fault, id=name)
            for name, change, fault in [
                ("another-curve", {"crv": "P-384"}, "not on P-256"),
                ("no-coordinate", {"x": None}, "not on P-256"),
                ("a-short-coordinate", {"x": "AAAA"}, "wrong length"),
                ("off-the-curve", {"x": JWK["y"]}, "not a point"),
            ]
        ),
    ],
)
def test_a_key_file_with_one_change_is_refused(raw, fault):
    with pytest.raises(EvidenceError, match=fault):
        bundle.read_keys(raw if isinstance(raw, bytes) else raw.encode())


def test_keys_of_another_use_are_passed_over():
    assert receipts.read_keys(json.dumps({"keys": [JWK | {"gw_use": "document"}]}).encode()) == {}
    assert Keys((SIGNER.key,)).receipts == {}
