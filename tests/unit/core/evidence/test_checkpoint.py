"""Signed tree heads: the published vector, one round trip, and a table of notes with one change each."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.contract.errors import InvariantError
from gateway.core.evidence import checkpoint
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey, CheckpointSigner
from gateway.core.evidence.errors import EvidenceError

ORIGIN = "example.org/gateway/1"
ROOT = bytes(range(32))
SIGNER = CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
OTHER = CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
NOTE = SIGNER.sign(17, ROOT)
TEXT, SIGNATURE = NOTE.split("\n\n")
WITNESS = f"— witness.example/w {base64.b64encode(b'abcd' + b's' * 72).decode()}\n"


def cut(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def signed(text: str, signer: CheckpointSigner = SIGNER) -> str:
    """Sign any text, so that a test reaches the check it means."""
    raw = signer.key.key_id + signer.private.sign(text.encode())
    return f"{text}\n— {signer.origin} {base64.b64encode(raw).decode()}\n"


def test_a_signed_note_reads_back_as_the_tree_head():
    assert checkpoint.verify(NOTE, [SIGNER.key]) == Checkpoint(ORIGIN, 17, ROOT)


def test_the_note_is_laid_out_as_c2sp_says():
    assert NOTE.startswith(f"{ORIGIN}\n17\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— {ORIGIN} ")
    assert NOTE.endswith("\n")


def test_the_published_verifier_key_of_go_is_spelt_and_identified_as_there():
    """The key of the Go module mirror's checksum database, as golang.org publishes it."""
    vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    key = CheckpointKey.parse(vkey)
    assert (key.name, key.key_id.hex(), key.vkey) == ("sum.golang.org", "033de0ae", vkey)


def test_a_key_survives_its_spelling():
    assert CheckpointKey.parse(SIGNER.key.vkey).public.public_bytes_raw() == SIGNER.private.public_key().public_bytes_raw()


def test_the_signer_does_not_show_its_key():
    assert "private" not in repr(SIGNER)


def test_signatures_of_unknown_witnesses_are_passed_over():
    assert checkpoint.verify(NOTE + WITNESS, [SIGNER.key]).size == 17
    assert checkpoint.verify(f"{TEXT}\n\n{WITNESS}{SIGNATURE}", [SIGNER.key]).size == 17


def test_a_log_with_an_older_and_a_newer_key_verifies_under_either():
    assert checkpoint.verify(OTHER.sign(3, ROOT), [SIGNER.key, OTHER.key]).size == 3


def test_an_empty_tree_has_a_tree_head():
    assert checkpoint.verify(SIGNER.sign(0, ROOT), [SIGNER.key]).size == 0


HEAD = f"{ORIGIN}\n17\n{base64.b64encode(ROOT).decode()}\n"


@pytest.mark.parametrize(
    ("note", "fault"),
    [
        pytest.param("", "not three lines", id="nothing"),
        pytest.param(HEAD, "not three lines", id="no-signature"),
        pytest.param(HEAD + "\n", "not three lines", id="no-signature-after-the-gap"),
        pytest.param(NOTE[:-1], "not three lines", id="no-last-newline"),
        pytest.param(NOTE + "\n", "not a signature", id="an-empty-line-more"),
        pytest.param(NOTE + "x", "not three lines", id="text-after-the-last-newline"),
        pytest.param(NOTE + "x\n", "not a signature", id="a-line-more"),
        pytest.param(cut(NOTE, "\n17\n", "\n18\n"), "signature of key", id="another-size"),
        pytest.param(cut(NOTE, "AAEC", "AAED"), "signature of key", id="another-root"),
        pytest.param(cut(NOTE, f"{ORIGIN}\n", "example.org/gateway/2\n"), "none of the keys", id="another-origin"),
        pytest.param(signed(cut(HEAD, "17", "017")), "origin and a size", id="a-leading-zero"),
        pytest.param(signed(cut(HEAD, "17", "+17")), "origin and a size", id="a-plus-sign"),
        pytest.param(signed(cut(HEAD, "17", "-17")), "origin and a size", id="a-negative-size"),
        pytest.param(signed(cut(HEAD, "17", "\u0661\u0667")), "origin and a size", id="foreign-digits"),
        pytest.param(signed(cut(HEAD, "17", str(2**63))), "origin and a size", id="a-size-beyond-63-bits"),
        pytest.param(signed(cut(HEAD, "17\n", "17\r\n")), "origin and a size", id="carriage-return"),
        pytest.param(signed(cut(HEAD, "Hh8=", "Hh9=")), "not canonical", id="spare-bits-in-the-root"),
        pytest.param(signed(cut(HEAD, "Hh8=", "Hh8")), "not base64", id="root-without-padding"),
        pytest.param(signed(cut(HEAD, "Hh8=", "Hg==")), "32 bytes", id="a-short-root"),
        pytest.param(signed(HEAD + "extension\n"), "not three lines", id="an-extension-line"),
        pytest.param(signed(cut(HEAD, ORIGIN, "Example.org/gateway/1")), "origin and a size", id="a-capital-in-the-origin"),
        pytest.param(cut(NOTE, "— ", "- "), "not a signature", id="a-hyphen-for-the-dash"),
        pytest.param(cut(NOTE, "— ", "—  "), "not a signature", id="two-spaces"),
        pytest.param(NOTE + SIGNATURE, "signed twice", id="the-same-signature-twice"),
        pytest.param(NOTE + WITNESS * 16, "too many", id="too-many-signatures"),
        pytest.param(NOTE + WITNESS * 100, "larger than", id="too-large"),
        pytest.param(OTHER.sign(17, ROOT), "none of the keys", id="an-unknown-key"),
        pytest.param(f"{HEAD}\n{WITNESS}", "none of the keys", id="witnesses-only"),
        pytest.param(f"{HEAD}\n— {ORIGIN} YWJj\n", "not a signature", id="shorter-than-a-key-id"),
        pytest.param(
            f"{HEAD}\n— {ORIGIN} {base64.b64encode(SIGNER.key.key_id + b'x').decode()}\n", "signature of key", id="a-short-signature"
        ),
        pytest.param(cut(NOTE, f"— {ORIGIN}", "— another.example"), "none of the keys", id="another-name-beside-the-signature"),
    ],
)
def test_one_change_to_a_note_is_refused(note, fault):
    with pytest.raises(EvidenceError, match=fault):
        checkpoint.verify(note, [SIGNER.key])


def test_a_bad_signature_of_a_trusted_key_is_not_made_good_by_another():
    both = OTHER.sign(17, ROOT) + cut(SIGNER.sign(18, ROOT), f"{ORIGIN}\n18\n{base64.b64encode(ROOT).decode()}\n\n", "")
    with pytest.raises(EvidenceError, match=SIGNER.key.key_id.hex()):
        checkpoint.verify(both, [SIGNER.key, OTHER.key])


def test_the_key_of_another_log_does_not_sign_for_this_one():
    other = CheckpointSigner("example.org/gateway/2", SIGNER.private)
    note = HEAD + "\n" + other.sign(17, ROOT).partition("\n\n")[2]
    with pytest.raises(EvidenceError, match="none of the keys"):
        checkpoint.verify(note, [SIGNER.key, other.key])


@pytest.mark.parametrize(
    "vkey",
    [
        pytest.param("", id="nothing"),
        pytest.param(SIGNER.key.vkey + "\n", id="a-newline"),
        pytest.param(SIGNER.key.vkey.replace("example", "sample"), id="another-name"),
        pytest.param(f"{ORIGIN}+00000000+{SIGNER.key.vkey.rpartition('+')[2]}", id="another-id"),
        pytest.param(f"{ORIGIN}+{SIGNER.key.key_id.hex()}+{base64.b64encode(b'x' * 33).decode()}", id="another-type"),
        pytest.param(f"{ORIGIN}+{SIGNER.key.key_id.hex()}+AQ==", id="a-short-key"),
    ],
)
def test_a_verifier_key_with_one_change_is_refused(vkey):
    with pytest.raises(EvidenceError):
        CheckpointKey.parse(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "A", "a\nb", "x" * 129])
def test_a_name_no_note_can_carry_is_refused(name):
    with pytest.raises(InvariantError):
        CheckpointKey(name, Ed25519PublicKey.from_public_bytes(SIGNER.key.public.public_bytes_raw()))
    with pytest.raises(InvariantError):
        replace(SIGNER, origin=name).sign(1, ROOT)


@pytest.mark.parametrize(("size", "root"), [(-1, ROOT), (2**63, ROOT), (1, ROOT[:-1])])
def test_what_is_no_tree_head_is_not_signed(size, root):
    with pytest.raises(InvariantError):
        SIGNER.sign(size, root)
