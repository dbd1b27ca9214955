from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.contract.values import KeyId, PartnerId
from gateway.core.keyring import Keyring, KeyringError, NoEncryptionKeyError
from gateway.core.keys import Use
from gateway.core.problems import UntrustedError
from tests.vectors.tokens import ENCRYPT, FROM, NOW, OWNER, TO, VERIFY_EC, VERIFY_ED

GW = PartnerId("gw")
OTHER = PartnerId("no-register")
REVOKED = replace(VERIFY_EC, kid=KeyId("r1"), revoked_at=NOW)
KEYRING = Keyring([VERIFY_EC, VERIFY_ED, REVOKED, replace(VERIFY_ED, owner=OTHER, kid=KeyId("o1")), ENCRYPT])
SECOND = timedelta(seconds=1)


def test_a_key_is_found_by_owner_id_and_use():
    assert KEYRING.find(OWNER, KeyId("s1"), use=Use.SUBMIT) is VERIFY_EC


@pytest.mark.parametrize(
    ("owner", "kid", "use"),
    [
        pytest.param(OWNER, "s9", Use.SUBMIT, id="unknown id"),
        pytest.param(OTHER, "s1", Use.SUBMIT, id="another partner's key"),
        pytest.param(PartnerId("nobody"), "s1", Use.SUBMIT, id="unknown partner"),
        pytest.param(OWNER, "s1", Use.REQUEST, id="another use"),
        pytest.param(OWNER, "s1", Use.DOCUMENT, id="a use that signs the same kind of token"),
        pytest.param(GW, "d1", Use.ENCRYPT, id="an encryption key does not verify"),
        pytest.param(OWNER, "r1", Use.SUBMIT, id="revoked"),
    ],
)
def test_no_other_key_is_found(owner, kid, use):
    with pytest.raises(UntrustedError):
        KEYRING.find(owner, KeyId(kid), use=use)


@pytest.mark.parametrize("at", [FROM, NOW, TO - SECOND], ids=["first", "middle", "last"])
def test_inside_its_period_a_key_may_sign_something_new(at):
    VERIFY_EC.check_period(at)


@pytest.mark.parametrize("at", [FROM - SECOND, TO, TO + SECOND], ids=["before", "end", "after"])
def test_outside_its_period_a_key_is_found_but_signs_nothing_new(at):
    entry = KEYRING.find(OWNER, KeyId("s1"), use=Use.SUBMIT)
    with pytest.raises(UntrustedError) as caught:
        entry.check_period(at)
    assert caught.value.reason == "key s1 is outside its period"


def test_an_old_receipt_verifies_by_the_key_of_its_day():
    assert KEYRING.find_at(OWNER, KeyId("s1"), use=Use.SUBMIT, at=FROM) is VERIFY_EC
    assert KEYRING.find_at(OWNER, KeyId("r1"), use=Use.SUBMIT, at=NOW - SECOND) is REVOKED


@pytest.mark.parametrize(("kid", "at"), [("s1", TO), ("s1", FROM - SECOND), ("r1", NOW), ("r1", NOW + SECOND), ("s9", NOW)])
def test_a_receipt_from_outside_the_days_of_its_key_does_not_verify(kid, at):
    with pytest.raises(UntrustedError):
        KEYRING.find_at(OWNER, KeyId(kid), use=Use.SUBMIT, at=at)


def test_we_encrypt_to_the_newest_valid_key():
    newer = replace(ENCRYPT, kid=KeyId("d2"), valid_from=NOW - SECOND)
    future = replace(ENCRYPT, kid=KeyId("d3"), valid_from=NOW + SECOND)
    revoked = replace(ENCRYPT, kid=KeyId("d4"), valid_from=NOW, revoked_at=NOW)
    ended = replace(ENCRYPT, kid=KeyId("d5"), valid_to=NOW)
    assert Keyring([ENCRYPT, newer, future, revoked, ended]).encryption_key(GW, NOW) is newer


@pytest.mark.parametrize("owner", [OWNER, PartnerId("nobody")])
def test_without_a_valid_key_nothing_is_encrypted(owner):
    with pytest.raises(NoEncryptionKeyError):
        KEYRING.encryption_key(owner, NOW)


def test_one_id_twice_is_refused():
    with pytest.raises(KeyringError):
        Keyring([VERIFY_EC, replace(VERIFY_ED, kid=VERIFY_EC.kid)])
