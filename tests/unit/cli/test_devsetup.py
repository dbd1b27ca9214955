"""What is made new in a folder is what settings, keystore and kit take: nobody has to mend it."""

from __future__ import annotations

import stat
import tomllib

import pytest

from gateway.cli.desk import read_me
from gateway.cli.devsetup import make_dev_setup, merged, to_toml
from gateway.cli.kit import read_kit
from gateway.core.keys import Use
from gateway.core.operators import OperatorRole
from gateway.keystores.files import FileKeystore
from gateway.ops.faults import ConfigurationError
from gateway.ops.operators import load_operators
from gateway.ops.settings import ProcessRole, RunProfile, load_settings
from gateway.ops.system import SystemClock

SCALED_OUT = (ProcessRole.EDGE, ProcessRole.INNER, ProcessRole.COURIER)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    return make_dev_setup(tmp_path_factory.mktemp("dev") / "made", profiles={"fr-police": {"delivery": {"window": 3}}})


def test_the_settings_are_free_of_faults(setup):
    settings = load_settings(setup.settings[ProcessRole.EMBEDDED])
    assert settings.origin == setup.origin
    assert settings.admin_listener.port == setup.ports.admin[ProcessRole.EMBEDDED]


def test_the_scaled_out_form_passes_the_checks_of_production_and_keeps_private_keys_inside(tmp_path):
    password = tmp_path / "password"
    password.touch(mode=0o600)
    bus = {"bus": {"kind": "kafka", "bootstrap": "localhost:1", "user": "u", "password_file": str(password)}}
    setup = make_dev_setup(
        tmp_path / "made",
        roles=SCALED_OUT,
        profile=RunProfile.PRODUCTION,
        store_url="postgresql+asyncpg://u@localhost/x",
        settings=dict.fromkeys(SCALED_OUT, bus),
    )
    for role in SCALED_OUT:
        assert load_settings(setup.settings[role]).role is role
    assert not list((setup.folder / "outer").rglob("*.pem"))


def test_there_is_an_operator_of_each_role_whom_the_gateway_knows(setup):
    known = {operator.id: operator for operator in load_operators(setup.folder / "operators", partners=setup.partners, dev=True)}
    for role in OperatorRole:
        identity = read_me(setup.operator(role)).identity
        operator = known[identity.operator]
        assert (operator.roles, operator.keys[0].kid, operator.keys[0].public) == (
            {role},
            identity.key.kid,
            identity.key.private.public_key(),
        )


def test_the_keystore_loads_what_was_made(setup):
    keystore = FileKeystore(setup.folder / "keys", setup.gateway, dev=True)
    assert keystore.private().signing_key(Use.RECEIPT, SystemClock().now())
    assert {entry.owner for entry in keystore.trusted().entries} == set(setup.partners)


def test_a_profile_has_its_real_port_and_what_was_overridden(setup):
    profile = tomllib.loads((setup.folder / "partners" / "fr-police.toml").read_text())
    assert profile["transport"]["url"] == f"https://localhost:{setup.ports.partners['fr-police']}/events"
    assert profile["delivery"] == {"format": "native", "transport": "https_push", "window": 3}
    assert profile["receives"][0]["family"] == "travel-notification"


def test_every_private_key_is_for_its_owners_eyes_only(setup):
    files = [path for path in setup.folder.rglob("*.pem") if path.name != "ca.pem"]
    assert len(files) > 20
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_is_there_is_never_overwritten(setup):
    with pytest.raises(FileExistsError):
        make_dev_setup(setup.folder)


def test_a_kit_knows_the_gateway_by_the_pinned_root_alone(setup, tmp_path):
    kit = setup.kit("gb-register")
    assert (kit.partner, kit.gateway, kit.url) == ("gb-register", "gw-main", setup.origin)
    assert kit.gateway_encryption.owner == "gw-main"
    assert "PrivateKey" not in repr(kit)


def edit(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


BROKEN = {
    "no TOML": ("client.toml", lambda _: b"id =", "client.toml: is not TOML"),
    "an id that is none": ("client.toml", lambda raw: raw.replace(b'"gb-register"', b'"GB register"'), "client.toml:1: id"),
    "an address with a path": (
        "client.toml",
        lambda raw: raw.replace(b"\nuri_base", b'/x"\nuri_base').replace(b'"/x', b"/x"),
        "client.toml:3: url",
    ),
    "a member too many": ("client.toml", lambda raw: raw + b"more = 1\n", "client.toml:5: more"),
    "a key file of another key": ("keys/public.json", lambda raw: raw.replace(b'"x":"', b'"x":"A', 1), "public.json: /keys/0/x"),
    "no root key": ("gateway.root.json", lambda _: b'{"keys":[]}', "gateway.root.json: /keys"),
    "a key set that was changed": ("gateway.keys.jwt", lambda raw: raw[:-6] + b"AAAAA\n", "gateway.keys.jwt: is not a key set"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_kit_says_what_is_wrong_with_which_file(case, tmp_path):
    setup = make_dev_setup(tmp_path / "made", partners=("gb-register", "gb-police"))
    name, change, told = BROKEN[case]
    edit(setup.kit_folder("gb-register"), name, change)
    with pytest.raises(ConfigurationError) as caught:
        setup.kit("gb-register")
    assert told in str(caught.value)


def test_a_kit_with_the_root_of_another_gateway_is_refused(tmp_path):
    one, other = (make_dev_setup(tmp_path / name, partners=("gb-register", "gb-police")) for name in ("one", "other"))
    foreign = (other.kit_folder("gb-register") / "gateway.root.json").read_bytes()
    (one.kit_folder("gb-register") / "gateway.root.json").write_bytes(foreign)
    with pytest.raises(ConfigurationError, match="pinned root key"):
        one.kit("gb-register")


def test_a_kit_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match=r"client.toml: cannot be read"):
        read_kit(tmp_path, now=SystemClock().now())


def test_a_table_written_as_toml_is_read_as_the_same():
    table = {"a": 'quote " and \\', "b": [1, 2], "c": True, "d": {"e": "f", "g": {"h": 1}}, "i": [{"j": 1}, {"j": 2, "k": {"l": []}}]}
    assert tomllib.loads(to_toml(table)) == table


def test_merging_goes_into_tables_and_changes_neither():
    low, high = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}}
    assert merged(low, high) == {"a": {"b": 1, "c": 4}, "d": 3}
    assert low == {"a": {"b": 1, "c": 2}, "d": 3}
