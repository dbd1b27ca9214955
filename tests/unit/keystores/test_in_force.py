"""Until when there are keys of each use: the successors of a key are counted, and a gap is an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.values import KeyId, PartnerId
from gateway.core.keyring import Keyring
from gateway.core.keys import KeyEntry, Use
from gateway.keystores import generate, rotate
from gateway.keystores.files import FileKeystore, PrivateKeys, SecretUse
from gateway.keystores.in_force import ends, in_force

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GATEWAY = PartnerId("gw-main")


@pytest.fixture
def keys(tmp_path: Path) -> PrivateKeys:
    plan = generate.Plan(owner=GATEWAY, now=NOW)
    generate.create(tmp_path / "keys", tmp_path / "root", plan)
    rotate.rotate_epoch(tmp_path / "keys", replace(plan, now=NOW + timedelta(days=100)), SecretUse.KEK)
    return FileKeystore(tmp_path / "keys", GATEWAY).private()


def changed(keys: PrivateKeys, kid: str, **changes: Any) -> PrivateKeys:
    entries = [replace(entry, **changes) if entry.kid == kid else entry for entry in keys.public.entries]
    return replace(keys, public=Keyring(entries))


def of(keys: PrivateKeys, use: Use) -> KeyEntry:
    (entry,) = (entry for entry in keys.public.entries if entry.use is use)
    return entry


def with_successor(keys: PrivateKeys, use: Use, *, gap: timedelta) -> PrivateKeys:
    first = of(keys, use)
    second = replace(first, kid=KeyId("second"), valid_from=first.valid_to + gap, valid_to=first.valid_to + timedelta(days=400))
    signing = {**keys.signing, second.kid: keys.signing[first.kid]}
    return replace(keys, public=Keyring([*keys.public.entries, second]), signing=signing)


def test_each_use_of_ours_has_an_end_and_the_root_which_we_do_not_hold_has_none(keys: PrivateKeys) -> None:
    found = ends(keys, NOW)
    assert found.keys() == {"document", "receipt", "checkpoint", "encrypt", "kek", "referral-kek"}
    assert found["receipt"] == of(keys, Use.RECEIPT).valid_to
    assert found["kek"] == max(secret.valid_to for secret in keys.secrets if secret.use is SecretUse.KEK)
    assert found["kek"] > found["referral-kek"]
    assert in_force(keys, GATEWAY)(NOW).ends == found


@pytest.mark.parametrize(("gap", "counts"), [(-timedelta(days=1), True), (timedelta(), True), (timedelta(seconds=1), False)])
def test_a_successor_counts_where_it_leaves_no_gap(keys: PrivateKeys, gap: timedelta, counts: bool) -> None:
    first = of(keys, Use.DOCUMENT).valid_to
    expected = first + timedelta(days=400) if counts else first
    assert ends(with_successor(keys, Use.DOCUMENT, gap=gap), NOW)["document"] == expected


def test_where_the_only_key_is_revoked_or_over_the_end_is_now(keys: PrivateKeys) -> None:
    entry = of(keys, Use.ENCRYPT)
    assert ends(changed(keys, entry.kid, revoked_at=NOW), NOW)["encrypt"] == NOW
    later = entry.valid_to + timedelta(days=1)
    assert ends(keys, later)["encrypt"] == later
