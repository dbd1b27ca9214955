from __future__ import annotations

import itertools

import pytest

from gateway.contract.errors import InvariantError
from gateway.contract.values import PartnerId, SubjectKey
from gateway.core import vault

KEK, SUBJECT, MESSAGE, NONCE = b"k" * 32, b"s" * 32, b"m" * 32, b"n" * 12
SE = PartnerId("se-register")


def test_a_payload_opens_through_its_three_keys_alone():
    under_kek, under_subject = vault.wrap(KEK, SUBJECT), vault.wrap(SUBJECT, MESSAGE)
    sealed = vault.seal(MESSAGE, b"payload", nonce=NONCE, aad=b"place")
    key = vault.unwrap(vault.unwrap(KEK, under_kek), under_subject)
    assert vault.open_sealed(key, sealed, aad=b"place") == b"payload"
    assert b"payload" not in sealed
    assert MESSAGE not in under_subject


@pytest.mark.parametrize(
    ("key", "change", "aad"),
    [
        pytest.param(SUBJECT, lambda s: s, b"place", id="another key"),
        pytest.param(MESSAGE, lambda s: s, b"elsewhere", id="another place"),
        pytest.param(MESSAGE, lambda s: s[:-1] + bytes([s[-1] ^ 1]), b"place", id="tag changed"),
        pytest.param(MESSAGE, lambda s: bytes([s[0] ^ 1]) + s[1:], b"place", id="nonce changed"),
        pytest.param(MESSAGE, lambda s: s[:20], b"place", id="cut"),
        pytest.param(MESSAGE, lambda s: s[:5], b"place", id="shorter than a nonce"),
        pytest.param(MESSAGE, lambda _: b"", b"place", id="empty"),
    ],
)
def test_a_sealed_payload_does_not_open_otherwise(key, change, aad):
    sealed = vault.seal(MESSAGE, b"payload", nonce=NONCE, aad=b"place")
    with pytest.raises(vault.VaultError):
        vault.open_sealed(key, change(sealed), aad=aad)


@pytest.mark.parametrize("wrapped", [vault.wrap(SUBJECT, MESSAGE), b"", b"x" * 40, vault.wrap(KEK, MESSAGE)[:-8]])
def test_a_wrapped_key_does_not_open_otherwise(wrapped):
    with pytest.raises(vault.VaultError):
        vault.unwrap(KEK, wrapped)


def test_a_key_moves_to_a_newer_epoch():
    moved = vault.rewrap(vault.wrap(KEK, SUBJECT), old=KEK, new=b"K" * 32)
    assert vault.unwrap(b"K" * 32, moved) == SUBJECT


@pytest.mark.parametrize(
    "use",
    [
        lambda: vault.wrap(b"short", MESSAGE),
        lambda: vault.wrap(KEK, b"m" * 16),
        lambda: vault.unwrap(b"k" * 16, vault.wrap(KEK, MESSAGE)),
        lambda: vault.seal(b"k" * 16, b"", nonce=NONCE, aad=b""),
        lambda: vault.seal(MESSAGE, b"", nonce=b"n" * 8, aad=b""),
        lambda: vault.open_sealed(b"", b"x" * 40, aad=b""),
        lambda: vault.subject_key_of(b"", SE, SE, "1"),
    ],
)
def test_a_key_or_nonce_of_another_length_is_refused(use):
    with pytest.raises(InvariantError):
        use()


def test_subjects_that_differ_in_any_part_have_different_keys():
    subjects = [
        ("se", "se", "1"),
        ("se", "no", "1"),
        ("no", "se", "1"),
        ("se", "se", "2"),
        ("ses", "e", "1"),
        ("s", "ese", "1"),
        ("se", "se1", ""),
    ]
    keys = [vault.subject_key_of(KEK, PartnerId(partner), iss, ref) for partner, iss, ref in subjects]
    assert all(one != two for one, two in itertools.combinations(keys, 2))
    assert all(len(key) == 64 for key in keys)
    assert vault.subject_key_of(SUBJECT, PartnerId("se"), "se", "1") not in keys


def test_the_key_of_a_subject_is_the_documented_hmac():
    """The rows of a database live longer than a release: this value may not change."""
    assert vault.subject_key_of(bytes(32), SE, "se-register", "A-17") == "cb5fbcde2db895cac1c18cbac1409afe608fa943bbf47806b59820c67746c8db"


def test_records_of_one_subject_to_two_partners_share_nothing():
    subject = SubjectKey("ab" * 32)
    assert vault.record_key_of(KEK, SE, subject) != vault.record_key_of(KEK, PartnerId("no-police"), subject)
