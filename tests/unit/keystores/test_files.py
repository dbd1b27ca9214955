from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.contract.values import PartnerId
from gateway.core import jwks, keyset, strict_json, tokens, vault
from gateway.core.keys import SigningKey, Use, VerifyKey
from gateway.core.problems import UntrustedError
from gateway.keystores import generate, secret_files
from gateway.keystores.files import FileKeystore, KeystoreError, PrivateKeys, SecretUse

GW = PartnerId("gw-test")
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PASSPHRASE = b"correct horse battery"
PLAN = generate.Plan(owner=GW, now=NOW)


def pem(label: str, body: str = "AAAA") -> bytes:
    """A PEM block (RFC 7468) that holds no key."""
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a gateway, made once; tests change copies."""
    home = tmp_path_factory.mktemp("made")
    generate.create(home / "keys", home / "root", PLAN)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "home")


@pytest.fixture
def keys(home: Path) -> Path:
    return home / "keys"


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def faults(keys: Path, **options: object) -> str:
    with pytest.raises(KeystoreError) as caught:
        FileKeystore(keys, GW, **options).private()
    return "\n".join(caught.value.faults)


def trust(keys: Path, partner: str, *entries: VerifyKey) -> Path:
    path = keys / "trust" / f"{partner}.json"
    path.write_bytes(strict_json.canonical(jwks.write_jwks(entries)))
    return path


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["mode 0600", "encrypted"])
def test_new_keys_load_and_each_has_its_use(tmp_path, passphrase):
    created = generate.create(tmp_path / "keys", tmp_path / "root", replace(PLAN, passphrase=passphrase))
    store = FileKeystore(tmp_path / "keys", GW, passphrase=passphrase)
    private = store.private()
    for use in (Use.DOCUMENT, Use.RECEIPT, Use.CHECKPOINT):
        assert private.signing_key(use, NOW).use is use
    (kid,) = private.decryption_keys
    assert store.own().encryption_key(GW, NOW).kid == kid
    for compartment in (private.registers(NOW), private.referrals(NOW)):
        kek = compartment.keks[compartment.epoch]
        assert vault.unwrap(kek, vault.wrap(kek, compartment.index_key)) == compartment.index_key
    assert all(path.stat().st_mode & 0o077 == 0 for path in (created.root, *(tmp_path / "keys" / "private").iterdir()))


def test_with_a_passphrase_no_file_shows_a_key(tmp_path):
    generate.create(tmp_path / "keys", tmp_path / "root", replace(PLAN, passphrase=PASSPHRASE))
    for path in (tmp_path / "keys" / "private").iterdir():
        assert path.read_bytes().startswith((pem("ENCRYPTED PRIVATE KEY").splitlines()[0], b"eyJ"))
    assert "is encrypted and no passphrase is set" in faults(tmp_path / "keys")
    assert "passphrase is another" in faults(tmp_path / "keys", passphrase=b"another horse battery")
    assert "shorter than" in faults(tmp_path / "keys", passphrase=b"short")


def test_a_signed_key_set_lies_beside_the_keys(keys):
    store = FileKeystore(keys, GW)
    (root,) = (entry for entry in store.own().entries if entry.use is Use.ROOT)
    found = keyset.read_keyset(store.key_set(), root, now=NOW)
    assert {entry.kid for entry in found.keyring.entries} == {entry.kid for entry in store.own().entries} - {root.kid}


def test_the_root_key_is_not_among_the_keys_of_a_running_gateway(home, keys):
    assert not any("root" in path.name for path in keys.rglob("*") if path.suffix == ".pem")
    shutil.copy(one(home / "root", "*.pem"), keys / "private")
    assert "is a root key: it does not belong on this machine" in faults(keys)


def test_a_root_key_signs_the_key_set_and_another_does_not(home, keys):
    entries = FileKeystore(keys, GW).own().entries
    root = secret_files.read_private(one(home / "root", "*.pem").read_bytes(), None)
    assert generate.sign_key_set(entries, root, now=NOW)
    with pytest.raises(KeystoreError):
        generate.sign_key_set(entries, generate.new_pair(PLAN, Use.ROOT).private, now=NOW)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_private_key_others_may_read_is_refused(keys, mode):
    path = one(keys / "private", "document-*.pem")
    path.chmod(mode)
    assert f"{path}: may be read by others" in faults(keys)


def test_a_secret_others_may_read_is_refused(keys):
    path = one(keys / "private", "kek-*.jwk")
    path.chmod(0o644)
    assert f"{path}: may be read by others" in faults(keys)


def test_a_link_or_a_pipe_is_not_read(keys):
    path = one(keys / "private", "receipt-*.pem")
    elsewhere = path.rename(keys / "elsewhere.pem")
    path.symlink_to(elsewhere)
    assert f"{path}: cannot be opened" in faults(keys)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert f"{path}: is no plain file" in faults(keys)


def test_development_keys_are_refused_outside_dev(tmp_path):
    generate.create(tmp_path / "keys", tmp_path / "root", replace(PLAN, dev=True))
    assert FileKeystore(tmp_path / "keys", GW, dev=True).private().registers(NOW).epoch.startswith("dev-kek-")
    assert "is for development only" in faults(tmp_path / "keys")


def test_a_partners_development_key_is_refused_outside_dev(keys):
    pair = generate.new_pair(generate.Plan(owner=PartnerId("se-register"), now=NOW, dev=True), Use.SUBMIT)
    trust(keys, "se-register", pair.entry)
    assert FileKeystore(keys, GW, dev=True).trusted().find(PartnerId("se-register"), pair.entry.kid, use=Use.SUBMIT)
    with pytest.raises(KeystoreError, match=r"se-register\.json: key dev-submit-.* is for development only"):
        FileKeystore(keys, GW).trusted()


@pytest.mark.parametrize(
    ("pattern", "raw", "fault"),
    [
        pytest.param("document-*.pem", b"", "exactly one PEM block", id="empty"),
        pytest.param("document-*.pem", pem("PRIVATE KEY"), "is no PKCS 8 key", id="no key"),
        pytest.param("document-*.pem", b"x" * 20_000, "is larger than", id="too large"),
        pytest.param("kek-*.jwk", b"{}", "exactly the members", id="no members"),
        pytest.param("kek-*.jwk", b"{", "is no JSON Web Key", id="no JSON"),
        pytest.param("kek-*.jwk", b"eyJ.x", "is encrypted and no passphrase", id="encrypted"),
    ],
)
def test_a_key_file_with_other_content_is_refused(keys, pattern, raw, fault):
    path = one(keys / "private", pattern)
    path.write_bytes(raw)
    assert f"{path}: " in faults(keys)
    assert fault in faults(keys)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kty": "EC"}, "kty, kid or gw_use"),
        ({"kid": "other"}, "kty, kid or gw_use"),
        ({"gw_use": ["kek"]}, "kty, kid or gw_use"),
        ({"k": "AAAA"}, "k must be 32 bytes"),
        ({"k": 7}, "k must be 32 bytes"),
        ({"k": "A==="}, "base64url"),
        ({"valid_from": "today"}, "must be an instant"),
    ],
)
def test_a_secret_with_one_change_is_refused_and_not_shown(keys, change, fault):
    path = one(keys / "private", "kek-*.jwk")
    jwk = json.loads(path.read_bytes())
    path.write_bytes(strict_json.canonical({**jwk, **change}))
    found = faults(keys)
    assert fault in found
    assert jwk["k"] not in found


@pytest.mark.parametrize("use", ["document", "receipt", "checkpoint", "encrypt", "kek", "index", "referral-kek", "referral-index"])
def test_each_use_must_have_a_key(keys, use):
    one(keys / "private", f"{use}-*").unlink()
    assert f"{use} key" in faults(keys)


@pytest.mark.parametrize("use", [SecretUse.INDEX, SecretUse.REFERRAL_INDEX])
def test_two_index_keys_are_refused(keys, use):
    second = generate.new_secret(PLAN, use)
    secret_files.write(keys / "private" / f"{second['kid']}.jwk", secret_files.write_secret(second, None))
    assert f"2 {use} keys" in faults(keys)


@pytest.mark.parametrize(("of", "copied"), [("index", "referral-index"), ("kek", "referral-kek"), ("kek", "index")])
def test_one_key_for_two_uses_is_refused(keys, of, copied):
    """Referrals under the registers' key would live apart in name only."""
    source, path = one(keys / "private", f"{of}-*.jwk"), one(keys / "private", f"{copied}-*.jwk")
    jwk = json.loads(path.read_bytes())
    path.write_bytes(strict_json.canonical({**jwk, "k": json.loads(source.read_bytes())["k"]}))
    found = faults(keys)
    assert "are one key" in found
    assert jwk["kid"] in found


def test_referrals_have_keys_of_their_own(keys):
    private = FileKeystore(keys, GW).private()
    registers, referrals = private.registers(NOW), private.referrals(NOW)
    assert registers.index_key != referrals.index_key
    assert not set(registers.keks) & set(referrals.keks)
    assert not set(registers.keks.values()) & set(referrals.keks.values())
    assert (registers.epoch, referrals.epoch) == (*registers.keks, *referrals.keks)
    assert all(key.hex() not in repr((registers, referrals)) for key in (registers.index_key, *referrals.keks.values()))


def test_a_private_key_that_is_not_the_public_one_is_refused(keys):
    path = one(keys / "private", "document-*.pem")
    path.write_bytes(secret_files.write_private(generate.new_pair(PLAN, Use.DOCUMENT).private, None))
    assert f"{path}: does not belong to the public key" in faults(keys)
    stranger = generate.new_pair(PLAN, Use.DOCUMENT)
    secret_files.write(keys / "private" / f"{stranger.entry.kid}.pem", secret_files.write_private(stranger.private, None))
    assert "has no public key of this id" in faults(keys)


def test_every_fault_is_reported_at_once(keys):
    (keys / "private" / "note.txt").write_text("x")
    one(keys / "private", "kek-*.jwk").write_bytes(b"{")
    one(keys / "private", "receipt-*.pem").chmod(0o644)
    found = faults(keys)
    assert all(part in found for part in ("note.txt: is neither", "is no JSON Web Key", "may be read by others"))


def test_an_ended_key_signs_nothing_new(keys):
    private = FileKeystore(keys, GW).private()
    late = NOW + timedelta(days=generate.PAIR_DAYS)
    for ask in (
        lambda: private.signing_key(Use.DOCUMENT, late), lambda: private.signing_key(Use.ROOT, NOW),
        lambda: private.registers(late), lambda: private.referrals(late),
    ):  # fmt: skip
        with pytest.raises(KeystoreError):
            ask()


@pytest.mark.parametrize(
    ("use", "of"), [(SecretUse.KEK, PrivateKeys.registers), (SecretUse.REFERRAL_KEK, PrivateKeys.referrals)], ids=["registers", "referrals"]
)
def test_the_newest_key_and_epoch_are_used(keys, use, of):
    later = replace(PLAN, now=NOW + timedelta(days=30))
    pair, kek = generate.new_pair(later, Use.RECEIPT), generate.new_secret(later, use)
    public = keys / "public" / f"{GW}.json"
    public.write_bytes(strict_json.canonical(jwks.write_jwks([*FileKeystore(keys, GW).own().entries, pair.entry])))
    secret_files.write(keys / "private" / f"{pair.entry.kid}.pem", secret_files.write_private(pair.private, None))
    secret_files.write(keys / "private" / f"{kek['kid']}.jwk", secret_files.write_secret(kek, None))
    private = FileKeystore(keys, GW).private()
    assert private.signing_key(Use.RECEIPT, later.now).kid == pair.entry.kid
    assert private.signing_key(Use.RECEIPT, NOW).kid != pair.entry.kid
    assert of(private, later.now).epoch == kek["kid"] != of(private, NOW).epoch
    assert len(of(private, NOW).keks) == 2


def test_trusted_keys_are_found_by_partner(keys):
    partner = PartnerId("se-register")
    pair = generate.new_pair(generate.Plan(owner=partner, now=NOW), Use.SUBMIT)
    trust(keys, partner, pair.entry)
    (keys / "trust" / "README.md").write_text("how keys come here")
    ring = FileKeystore(keys, GW).trusted()
    raw = tokens.sign({"iss": partner, "jti": "1"}, SigningKey(kid=pair.entry.kid, use=Use.SUBMIT, private=pair.private), typ=tokens.EVENT)
    token = tokens.unwrap(raw, {}, typ=tokens.EVENT, encrypted="allowed")
    assert tokens.verify(token, ring.find(partner, token.kid, use=Use.SUBMIT)).signer == partner
    with pytest.raises(UntrustedError):
        ring.find(PartnerId("no-register"), token.kid, use=Use.SUBMIT)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        pytest.param("SE.json", b"{}", id="name of no partner"),
        pytest.param(f"{GW}.json", b"{}", id="our own id"),
        pytest.param("se-register.pem", b"", id="another kind of file"),
        pytest.param("se-register.json", b"{}", id="no keys"),
        pytest.param("se-register.json", b'{"keys":[]}', id="empty"),
        pytest.param("se-register.json", b'{"keys":[{"kty":"EC"}]}', id="members missing"),
        pytest.param("se-register.json", b" " * 300_000, id="too large"),
    ],
)
def test_one_trusted_key_that_does_not_load_stops_the_start(keys, name, raw):
    good = generate.new_pair(generate.Plan(owner=PartnerId("no-register"), now=NOW), Use.SUBMIT)
    trust(keys, "no-register", good.entry)
    path = keys / "trust" / name
    path.write_bytes(raw)
    with pytest.raises(KeystoreError) as caught:
        FileKeystore(keys, GW).trusted()
    assert caught.value.faults
    assert all(fault.startswith(str(path)) for fault in caught.value.faults)


def test_an_edge_needs_no_private_folder(keys):
    shutil.rmtree(keys / "private")
    store = FileKeystore(keys, GW)
    assert store.own().entries
    assert store.trusted().entries == ()
    assert "cannot be read" in faults(keys)


def test_a_missing_folder_or_key_set_is_named(tmp_path):
    store = FileKeystore(tmp_path, GW)
    for ask in (store.trusted, store.own, store.key_set, store.private):
        with pytest.raises(KeystoreError, match=str(tmp_path)):
            ask()


def test_keys_are_never_overwritten(home, keys):
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(KeystoreError, match="there are keys already; nothing was written"):
        generate.create(keys, home / "root2", PLAN)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    with pytest.raises(FileExistsError):
        secret_files.write(one(keys / "private", "kek-*.jwk"), b"")


def test_the_root_key_does_not_go_among_the_others(tmp_path):
    with pytest.raises(KeystoreError, match="must not lie among the other keys"):
        generate.create(tmp_path / "keys", tmp_path / "keys" / "private", PLAN)
