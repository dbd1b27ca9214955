"""The two compartments: what one key opens, finds or joins, no key of the other does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.app.ports import SubjectRow
from gateway.app.safe import EpochMissingError, Safe, is_referral
from gateway.contract.values import Family, Jti, PartnerId, SubjectKey
from gateway.core import vault
from gateway.core.vault import Compartment
from gateway.testing.clock import SeededDice
from tests.unit.core.samples import message

REGISTERS = Compartment(index_key=b"i" * 32, keks={"kek-1": b"1" * 32, "kek-2": b"2" * 32}, epoch="kek-2")
REFERRALS = Compartment(index_key=b"r" * 32, keks={"referral-1": b"3" * 32}, epoch="referral-1")
SAFE = Safe(REGISTERS, REFERRALS, SeededDice(1))
NOTICE = message()
REFERRAL = replace(NOTICE, family=Family("support-referral", "1.0"))
TXN = "01900000-0000-7000-8000-000000000001"
FAMILIES = ["order-summary", "risk-update", "registration-record", "intelligence-report", "breach-notification", "supervision-transfer",
            "information-request", "information-response", "acknowledgement", "correction"]  # fmt: skip


def row(key: SubjectKey, *, seq: int = 0) -> SubjectRow:
    made = SAFE.new_subject_key(key)
    return SubjectRow(key=key, seq=seq, epoch=made.epoch, wrapped=made.wrapped)


def test_the_same_subject_has_another_row_key_among_referrals():
    register, referred = SAFE.index(NOTICE), SAFE.index(REFERRAL)
    assert NOTICE.subject == REFERRAL.subject
    assert (is_referral(register), is_referral(referred)) == (False, True)
    assert referred == "r-" + vault.subject_key_of(REFERRALS.index_key, *NOTICE.subject)
    assert vault.subject_key_of(REGISTERS.index_key, *NOTICE.subject) == register
    assert register not in referred


def test_an_anonymous_referral_is_its_own_subject():
    event = {**REFERRAL.event, "subject": {"status": "SELF_REFERRED", "is_minor": "UNKNOWN"}}
    first, second = (replace(REFERRAL, event=event, jti=Jti(TXN[:-1] + n)) for n in "12")
    assert SAFE.index(first) != SAFE.index(second)
    assert is_referral(SAFE.index(first))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_other_family_counts_to_the_registers_subject(family):
    assert SAFE.index(replace(NOTICE, family=Family(family, "1.0"))) == SAFE.index(NOTICE)


@pytest.mark.parametrize("family", ["support-referral", *FAMILIES])
def test_a_reply_counts_to_the_subject_of_what_it_answers_and_a_referral_stays_among_referrals(family):
    reply = replace(NOTICE, iss=PartnerId("fr-police"), family=Family(family, "1.0"))
    register, referred = SAFE.index(NOTICE), SAFE.index(REFERRAL)
    assert SAFE.index(reply, referred) == referred
    assert SAFE.index(reply, register) == (SAFE.index(reply) if reply.family == REFERRAL.family else register)
    assert is_referral(SAFE.index(reply, register)) == (family == "support-referral")


def test_a_conversation_among_referrals_is_not_spelt_as_its_txn():
    register, referred = SAFE.index(NOTICE), SAFE.index(REFERRAL)
    assert SAFE.conversation(register, TXN) == TXN
    spelt = SAFE.conversation(referred, TXN)
    assert spelt == SAFE.conversation(SAFE.index(replace(REFERRAL, iss=PartnerId("se-register"))), TXN)  # one conversation, two senders
    assert spelt not in {TXN, vault.conversation_key_of(REGISTERS.index_key, TXN), SAFE.conversation(referred, TXN[:-1] + "2")}


def test_record_keys_come_from_the_compartments_own_key():
    fr, register, referred = PartnerId("fr-police"), SAFE.index(NOTICE), SAFE.index(REFERRAL)
    assert SAFE.record_key(fr, register) == vault.record_key_of(REGISTERS.index_key, fr, register)
    assert SAFE.record_key(fr, referred) == vault.record_key_of(REFERRALS.index_key, fr, referred)


@pytest.mark.parametrize(
    ("of", "keys", "others"),
    [pytest.param(NOTICE, REGISTERS, REFERRALS, id="register"), pytest.param(REFERRAL, REFERRALS, REGISTERS, id="referral")],
)
def test_a_subjects_key_opens_under_the_epochs_of_its_compartment_alone(of, keys, others):
    subject = row(SAFE.index(of))
    assert subject.epoch == keys.epoch
    key, wrapped = SAFE.new_message_key(subject)
    sealed = SAFE.seal(key, b"payload", of=of.ref, what="payload")
    assert SAFE.open(SAFE.message_key(subject, wrapped), sealed, of=of.ref, what="payload") == b"payload"
    for kek in others.keks.values():
        with pytest.raises(vault.VaultError):
            vault.unwrap(kek, subject.wrapped)


@pytest.mark.parametrize(
    ("of", "epoch"),
    [
        pytest.param(NOTICE, "referral-1", id="register-row-under-a-referral-epoch"),
        pytest.param(REFERRAL, "kek-2", id="referral-row-under-a-register-epoch"),
        pytest.param(NOTICE, "kek-9", id="destroyed-epoch"),
    ],
)
def test_an_epoch_that_is_not_of_the_compartment_is_missing(of, epoch):
    with pytest.raises(EpochMissingError):
        SAFE.subject_key(replace(row(SAFE.index(of)), epoch=epoch))


def test_an_older_epoch_still_opens():
    older = Safe(replace(REGISTERS, epoch="kek-1"), REFERRALS, SeededDice(2)).new_subject_key(SAFE.index(NOTICE))
    subject = SubjectRow(key=SAFE.index(NOTICE), seq=0, epoch=older.epoch, wrapped=older.wrapped)
    assert SAFE.subject_key(subject) == vault.unwrap(REGISTERS.keks["kek-1"], older.wrapped)
