"""Keys follow one another without a gap: published before use, never the last one ended, the key set whole at every moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.contract.values import KeyId, PartnerId
from gateway.core import jwks
from gateway.core.keys import PrivateKey, Use, VerifyKey
from gateway.core.keyset import read_keyset
from gateway.keystores import generate, rotate, secret_files
from gateway.keystores.files import FileKeystore, KeystoreError, SecretUse
from gateway.keystores.generate import OUR_USES, Plan
from gateway.keystores.in_force import in_force

OWNER = PartnerId("gw-main")
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAN = Plan(owner=OWNER, now=START)
HOUR = timedelta(hours=1)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    generate.create(tmp_path / "keys", tmp_path / "root", PLAN)
    return tmp_path / "keys"


@pytest.fixture
def root(keys: Path) -> PrivateKey:
    (path,) = (keys.parent / "root").glob("*.pem")
    return secret_files.read_private(secret_files.read(path), None)


def at(when: datetime) -> Plan:
    return replace(PLAN, now=when)


def only(keys: Path, use: Use):
    return max((e for e in FileKeystore(keys, OWNER).own().entries if e.use is use), key=lambda e: e.valid_from)


def key_set(keys: Path, now: datetime):
    store = FileKeystore(keys, OWNER)
    (pinned,) = [e for e in store.own().entries if e.use is Use.ROOT]
    assert isinstance(pinned, VerifyKey)
    return read_keyset(store.key_set(), pinned, now=now)


def state(keys: Path) -> dict[str, bytes]:
    return {str(path.relative_to(keys)): path.read_bytes() for path in sorted(keys.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("use", OUR_USES)
def test_a_new_key_is_published_at_once_names_its_predecessor_and_is_used_from_its_time_on(keys, root, use):
    before = only(keys, use)
    made = rotate.rotate(keys, at(START + HOUR), use, root=root, at=START)
    published = {e.kid: e for e in key_set(keys, START).keyring.entries}
    assert (published[made.kid].previous, made.previous, made.valid_from) == (before.kid, before.kid, START + HOUR)
    private = FileKeystore(keys, OWNER).private()
    if use is Use.ENCRYPT:
        assert private.decryption_keys.keys() == {before.kid, made.kid}, "it opens what comes early"
        assert [private.public.encryption_key(OWNER, when).kid for when in (START, START + HOUR)] == [before.kid, made.kid]
    else:
        assert [private.signing_key(use, when).kid for when in (START, START + HOUR - timedelta(seconds=1))] == [before.kid] * 2
        assert private.signing_key(use, START + HOUR).kid == made.kid


@pytest.mark.parametrize("use", [SecretUse.KEK, SecretUse.REFERRAL_KEK])
def test_a_new_epoch_is_used_from_its_time_on_and_the_old_one_still_opens(keys, use):
    made = rotate.rotate_epoch(keys, at(START + HOUR), use)
    private = FileKeystore(keys, OWNER).private()

    def compartment(when: datetime):
        return private.registers(when) if use is SecretUse.KEK else private.referrals(when)

    assert [compartment(when).epoch for when in (START, START + HOUR)] == [made.previous, made.kid]
    assert compartment(START + HOUR).keks.keys() == {made.previous, made.kid}


def test_what_is_in_force_changes_with_the_clock_alone(keys, root):
    for use in (Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT):
        rotate.rotate(keys, at(START + HOUR), use, root=root, at=START)
    read = in_force(FileKeystore(keys, OWNER).private(), OWNER)
    early, late = read(START).ids, read(START + HOUR).ids
    assert [one != other for one, other in zip(early, late, strict=True)] == [True, True, True, False, False]


def test_a_key_set_that_was_published_anew_is_newer_so_that_nobody_goes_back(keys, root):
    first = key_set(keys, START).issued_at
    rotate.rotate(keys, at(START + 2 * HOUR), Use.RECEIPT, root=root, at=START + HOUR)
    assert key_set(keys, START + HOUR).issued_at > first


def test_a_retired_key_verifies_what_it_signed_and_its_private_half_is_gone(keys, root):
    old = only(keys, Use.RECEIPT)
    rotate.rotate(keys, at(START + HOUR), Use.RECEIPT, root=root, at=START)
    rotate.retire(keys, at(START + 2 * HOUR), old.kid, root=root)
    assert not (keys / "private" / f"{old.kid}.pem").exists()
    ring = key_set(keys, START + 2 * HOUR).keyring
    assert ring.find_at(OWNER, old.kid, use=Use.RECEIPT, at=START + HOUR).kid == old.kid
    assert old.kid not in FileKeystore(keys, OWNER).private().signing


def test_a_revoked_key_signs_nothing_more_and_every_reader_of_the_key_set_knows(keys, root):
    old = only(keys, Use.DOCUMENT)
    made = rotate.rotate(keys, at(START + HOUR), Use.DOCUMENT, root=root, at=START)
    rotate.revoke(keys, at(START + HOUR), old.kid, root=root)
    assert {e.kid: e.revoked_at for e in key_set(keys, START + HOUR).keyring.entries}[old.kid] == START + HOUR
    assert FileKeystore(keys, OWNER).private().signing_key(Use.DOCUMENT, START + HOUR).kid == made.kid


def test_a_partners_key_is_revoked_among_its_others(keys):
    partner = PartnerId("fr-police")
    pairs = [generate.new_pair(Plan(owner=partner, now=START + n * HOUR), Use.SUBMIT) for n in range(2)]
    (keys / "trust" / "fr-police.json").write_bytes(generate.strict_json.canonical(jwks.write_jwks(p.entry for p in pairs)))
    rotate.revoke_trusted(keys, partner, pairs[0].entry.kid, at=START + 2 * HOUR)
    found = {e.kid: e.revoked_at for e in FileKeystore(keys, OWNER).trusted().entries}
    assert found == {pairs[0].entry.kid: START + 2 * HOUR, pairs[1].entry.kid: None}


REFUSED = {
    "the last key of its use is not retired": lambda keys, root: rotate.retire(
        keys, at(START + HOUR), only(keys, Use.DOCUMENT).kid, root=root
    ),
    "the last key of its use is not revoked": lambda keys, root: rotate.revoke(
        keys, at(START + HOUR), only(keys, Use.DOCUMENT).kid, root=root
    ),
    "the root is not rotated": lambda keys, root: rotate.rotate(keys, at(START + HOUR), Use.ROOT, root=root, at=START),
    "the root is not revoked": lambda keys, root: rotate.revoke(keys, at(START + HOUR), only(keys, Use.ROOT).kid, root=root),
    "a partner's kind of key is none of ours": lambda keys, root: rotate.rotate(keys, at(START + HOUR), Use.SUBMIT, root=root, at=START),
    "a key that is not there": lambda keys, root: rotate.revoke(keys, at(START + HOUR), KeyId("nobody"), root=root),
    "a successor of the same moment": lambda keys, root: rotate.rotate(keys, at(START), Use.DOCUMENT, root=root, at=START),
    "another root": lambda keys, root: rotate.rotate(
        keys, at(START + HOUR), Use.DOCUMENT, root=generate.new_pair(PLAN, Use.ROOT).private, at=START
    ),
    "an index key": lambda keys, root: rotate.rotate_epoch(keys, at(START + HOUR), SecretUse.INDEX),
    "an epoch of the same moment": lambda keys, root: rotate.rotate_epoch(keys, at(START), SecretUse.KEK),
    "a partner we do not know": lambda keys, root: rotate.revoke_trusted(keys, PartnerId("nobody"), KeyId("k"), at=START),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_leave_a_gap_is_refused_and_no_file_is_changed(keys, root, case):
    before = state(keys)
    with pytest.raises(KeystoreError):
        REFUSED[case](keys, root)
    assert state(keys) == before


def test_the_old_key_is_not_retired_before_the_new_one_is_in_force(keys, root):
    old = only(keys, Use.DOCUMENT)
    rotate.rotate(keys, at(START + 2 * HOUR), Use.DOCUMENT, root=root, at=START)
    with pytest.raises(KeystoreError, match="no other document key is in force"):
        rotate.retire(keys, at(START + HOUR), old.kid, root=root)


def test_a_destroyed_key_is_overwritten_before_it_goes(tmp_path):
    path, link = tmp_path / "key.pem", tmp_path / "link.pem"
    path.write_bytes(b"secret" * 100)
    link.hardlink_to(path)
    rotate.destroy(path)
    assert not path.exists()
    assert b"secret" not in link.read_bytes()
