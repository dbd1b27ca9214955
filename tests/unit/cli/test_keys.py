from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.keys import app
from gateway.contract.values import PartnerId
from gateway.core import keyset
from gateway.core.keys import Use
from gateway.keystores.files import FileKeystore, KeystoreError, SecretUse

GW = PartnerId("gw-test")


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    result = cli("init", "--gateway", GW, "--dir", tmp_path / "keys", "--root-out", tmp_path / "usb")
    assert result.exit_code == 0, result.output
    assert "Take the root key offline" in result.stdout
    return tmp_path / "keys"


def test_init_makes_keys_that_load(keys):
    assert len(FileKeystore(keys, GW).private().secrets) == len(SecretUse)
    assert [path.suffix for path in (keys.parent / "usb").iterdir()] == [".pem"]


def test_init_again_refuses_and_changes_nothing(keys):
    before = {path: path.read_bytes() for path in keys.parent.rglob("*") if path.is_file()}
    result = cli("init", "--gateway", GW, "--dir", keys, "--root-out", keys.parent / "usb")
    assert result.exit_code == 3
    assert "there are keys already; nothing was written" in result.stderr
    assert {path: path.read_bytes() for path in keys.parent.rglob("*") if path.is_file()} == before


def test_init_outside_dev_asks_where_the_root_key_goes(tmp_path):
    result = cli("init", "--gateway", GW, "--dir", tmp_path / "keys")
    assert result.exit_code == 2
    assert "--root-out" in result.stderr
    assert not (tmp_path / "keys").exists()


def test_init_for_dev_marks_every_key(tmp_path):
    assert cli("init", "--gateway", GW, "--dir", tmp_path, "--profile", "dev").exit_code == 0
    assert {path.name[:4] for path in (tmp_path / "private").iterdir()} == {"dev-"}
    assert cli("list", "--gateway", GW, "--dir", tmp_path).exit_code == 3
    assert cli("list", "--gateway", GW, "--dir", tmp_path, "--dev").exit_code == 0


@pytest.mark.parametrize("gateway", ["x", "GW", "../gw", "a" * 33])
def test_an_id_that_is_no_partner_id_is_refused(tmp_path, gateway):
    result = cli("init", "--gateway", gateway, "--dir", tmp_path / "keys", "--root-out", tmp_path / "usb")
    assert result.exit_code == 2
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("content", "mode", "fault"), [("short", 0o600, "at least 14 bytes"), ("correct horse battery", 0o644, "may be read by others")]
)
def test_a_bad_passphrase_file_is_refused(tmp_path, content, mode, fault):
    file = tmp_path / "pass"
    file.write_text(content)
    file.chmod(mode)
    result = cli("init", "--gateway", GW, "--dir", tmp_path / "keys", "--root-out", tmp_path / "usb", "--passphrase-file", file)
    assert (result.exit_code, fault in result.stderr) == (3, True)
    assert not (tmp_path / "keys").exists()


def test_keys_from_before_referrals_are_completed_once(keys):
    for path in (keys / "private").glob("referral-*.jwk"):
        path.unlink()
    with pytest.raises(KeystoreError, match="no referral-kek key"):
        FileKeystore(keys, GW).private()
    before = {path: path.read_bytes() for path in (keys / "private").iterdir()}
    assert cli("add-referrals", "--gateway", GW, "--dir", keys).exit_code == 0
    assert len(FileKeystore(keys, GW).private().secrets) == len(SecretUse)
    again = cli("add-referrals", "--gateway", GW, "--dir", keys)
    assert again.exit_code == 3
    assert again.stderr.count("there are such keys already; nothing was written") == 2
    assert all(path.read_bytes() == raw for path, raw in before.items())


def test_add_referrals_completes_keys_and_does_not_begin_them(tmp_path):
    result = cli("add-referrals", "--gateway", GW, "--dir", tmp_path)
    assert result.exit_code == 3
    assert "gateway keys init makes all keys" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_with_a_passphrase_encrypts(tmp_path):
    file = tmp_path / "pass"
    file.write_text("correct horse battery\n")
    file.chmod(0o600)
    options = ("--gateway", GW, "--dir", tmp_path / "keys", "--root-out", tmp_path / "usb", "--passphrase-file", file)
    assert cli("init", *options).exit_code == 0
    assert FileKeystore(tmp_path / "keys", GW, passphrase=b"correct horse battery").private().secrets


def test_list_shows_every_public_key_and_its_state(keys):
    result = cli("list", "--gateway", GW, "--dir", keys)
    assert result.exit_code == 0
    for entry in FileKeystore(keys, GW).own().entries:
        assert entry.kid in result.stdout
    assert "valid" in result.stdout


def test_list_names_every_fault(keys):
    (keys / "trust" / "se-register.json").write_text("{}")
    result = cli("list", "--gateway", GW, "--dir", keys)
    assert result.exit_code == 3
    assert f"{keys / 'trust' / 'se-register.json'}: " in result.stderr


@pytest.mark.parametrize("resign", [False, True], ids=["as it is", "signed anew"])
def test_export_gives_partners_what_they_need(keys, resign):
    out = keys.parent / "out"
    (root_file,) = (keys.parent / "usb").iterdir()
    options = ("--root-key", root_file) if resign else ()
    assert cli("export", "--gateway", GW, "--dir", keys, "--out", out, *options).exit_code == 0
    assert {path.name for path in out.iterdir()} == {f"{GW}.jwks.json", f"{GW}.root.json", f"{GW}.keys.jwt"}
    assert b'"d"' not in b"".join(path.read_bytes() for path in out.iterdir())
    (root,) = (entry for entry in FileKeystore(keys, GW).own().entries if entry.use is Use.ROOT)
    found = keyset.read_keyset((out / f"{GW}.keys.jwt").read_bytes().rstrip(b"\n"), root, now=root.valid_from)
    assert found.keyring.encryption_key(GW, root.valid_from)


def test_export_overwrites_nothing_and_refuses_another_root(keys):
    out = keys.parent / "out"
    assert cli("export", "--gateway", GW, "--dir", keys, "--out", out).exit_code == 0
    again = cli("export", "--gateway", GW, "--dir", keys, "--out", out)
    assert (again.exit_code, "File exists" in again.stderr) == (3, True)
    (document,) = (keys / "private").glob("document-*.pem")
    other = cli("export", "--gateway", GW, "--dir", keys, "--out", keys.parent / "out2", "--root-key", document)
    assert (other.exit_code, "not the gateway's root key" in other.stderr) == (3, True)
    assert not (keys.parent / "out2").exists()
