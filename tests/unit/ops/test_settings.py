from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract.values import Environment
from gateway.ops.faults import ConfigurationError, lines_of
from gateway.ops.settings import ProcessRole, RunProfile, load_settings

EMBEDDED = """profile = "production"
environment = "PRODUCTION"
id = "gateway"
uri_base = "https://events.invalid/v"
origin = "https://gateway.invalid:8443"

[contact]
unit = "Desk"
email = "desk@gateway.invalid"

[store]
url = "sqlite:///gateway.db"

[partner_listener]
tls_certificate = "tls.pem"
tls_key = "tls.key"
"""
KAFKA = """
[bus]
kind = "kafka"
bootstrap = "kafka.invalid:9093"
user = "gw"
password_file = "secret"
"""
SQLITE = '[store]\nurl = "sqlite:///gateway.db"\n'
POSTGRES = '[store]\nurl = "postgresql+asyncpg://gw@db.invalid/gw?ssl=verify-full"\n'
OUTER = EMBEDDED.replace(SQLITE, "") + KAFKA
EDGE = 'role = "edge"\nstatic_id = "edge-1"\n' + OUTER
COURIER = 'role = "courier"\n' + OUTER
INNER = 'role = "inner"\n' + EMBEDDED.replace(SQLITE, POSTGRES) + KAFKA
FORMS = {"embedded": EMBEDDED, "edge": EDGE, "courier": COURIER, "inner": INNER}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a folder with everything the settings above name, and go there."""
    for name in [n for n in os.environ if n.upper().startswith("GATEWAY__")]:
        monkeypatch.delenv(name)
    for name in ("schemas", "policies", "partners", "keys"):
        (tmp_path / name).mkdir()
    (tmp_path / "tls.pem").write_text("")
    for name in ("tls.key", "secret"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str):
    Path("gateway.toml").write_text(text, encoding="utf-8")
    return load_settings(Path("gateway.toml"))


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    return [str(f) for f in caught.value.faults]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("form", FORMS)
def test_each_form_can_be_set_right(form):
    read = load(FORMS[form])
    assert read.role is ProcessRole(form)
    assert read.environment is Environment.PRODUCTION


@pytest.mark.usefixtures("place")
def test_who_says_nothing_gets_the_careful_profile():
    assert load(EMBEDDED.replace('profile = "production"\n', "")).profile is RunProfile.PRODUCTION


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("form", "old", "new", "expected"),
    [
        pytest.param("embedded", 'id = "gateway"', "", "id: is missing", id="no-id"),
        pytest.param("embedded", 'id = "gateway"', 'id = "Gate Way"', "gateway.toml:3: id: String should match", id="odd-id"),
        pytest.param("embedded", 'id = "gateway"', 'id = "gateway"\nbuss = 1', "gateway.toml:4: buss: unknown key", id="unknown-key"),
        pytest.param("embedded", 'unit = "Desk"', 'unit = "Desk"\nfax = "1"', "gateway.toml:9: contact.fax: unknown key", id="unknown-key-in-a-table"),
        pytest.param("embedded", "https://events.invalid/v", "http://events.invalid/v/", "gateway.toml:4: uri_base: is no base", id="uri-base"),
        pytest.param("embedded", "https://gateway.invalid:8443", "http://gateway.invalid", "gateway.toml:5: origin: is not how", id="origin"),
        pytest.param("embedded", 'profile = "production"', 'profile = "dev"', "gateway.toml:2: environment: PRODUCTION is not for", id="dev"),
        pytest.param("embedded", 'id = "gateway"', 'id = "gateway"\nwaivers = ["tls"]', "gateway.toml:4: waivers: unknown waiver tls", id="waiver"),
        pytest.param("embedded", 'email = "desk@gateway.invalid"', "", "gateway.toml:7: contact: unit and email", id="contact"),
        pytest.param("embedded", "sqlite:///gateway.db", "", "gateway.toml:12: store.url: is missing", id="no-database"),
        pytest.param("embedded", "sqlite:///", "mysql://x/", "gateway.toml:12: store.url: is of no database we know", id="other-database"),
        pytest.param("embedded", 'tls_certificate = "tls.pem"\ntls_key = "tls.key"', "", "partner_listener.tls_certificate: is missing", id="no-tls"),
        pytest.param("embedded", 'tls_key = "tls.key"', "", "gateway.toml:14: partner_listener: has one of", id="half-tls"),
        pytest.param("embedded", '"tls.pem"', '"gone.pem"', "gateway.toml:15: partner_listener.tls_certificate: is no file", id="no-file"),
        pytest.param("embedded", "[contact]", '[admin_listener]\nhost = "0.0.0.0"\n[contact]', "gateway.toml:8: admin_listener.host: is reached", id="admin"),
        pytest.param("embedded", "[contact]", '[admin_listener]\ntls_key = "tls.key"\n[contact]', "gateway.toml:7: admin_listener: has one of", id="admin-half-tls"),
        pytest.param("embedded", "[contact]", '[admin_listener]\ntls_key = "x"\ntls_certificate = "tls.pem"\n[contact]', "admin_listener.tls_key: is no file", id="admin-tls-file"),
        pytest.param("embedded", "[contact]", '[paths]\noperators = "nowhere"\n[contact]', "paths.operators: is no folder", id="operators"),
        pytest.param("embedded", "[contact]", '[bus]\nkind = "kafka"\n[contact]', "gateway.toml:8: bus.kind: kafka does not fit", id="embedded-kafka"),
        pytest.param("inner", 'kind = "kafka"', 'kind = "memory"', "bus.kind: memory does not fit role inner", id="inner-memory"),
        pytest.param("inner", "postgresql+asyncpg://gw@db.invalid/gw?ssl=verify-full", "sqlite:///x", "store.url: SQLite is for", id="inner-sqlite"),
        pytest.param("inner", "?ssl=verify-full", "", "store.url: reaches another machine without TLS", id="database-without-tls"),
        pytest.param("inner", "gw@db", "gw:geheim@db", "store.url: holds a password", id="password-in-url"),
        pytest.param("inner", 'user = "gw"', 'security = "PLAINTEXT"', "bus.security: PLAINTEXT is for the dev profile; SASL_SSL", id="plaintext"),
        pytest.param("inner", 'user = "gw"', "", "bus.user: is missing", id="no-user"),
        pytest.param("inner", 'password_file = "secret"', "", "bus.password_file: is missing", id="no-password"),
        pytest.param("inner", 'bootstrap = "kafka.invalid:9093"', "", "bus.bootstrap: is missing", id="no-broker"),
        pytest.param("edge", 'static_id = "edge-1"', "", "static_id: is missing", id="edge-without-name"),
        pytest.param("edge", "[contact]", POSTGRES + "[contact]", "store: role edge has no database", id="edge-with-database"),
        pytest.param("courier", "[contact]", POSTGRES + "[contact]", "store: role courier has no database", id="courier-with-database"),
        pytest.param("edge", 'role = "edge"', 'role = "edge"\npassphrase_file = "secret"', "passphrase_file: role edge holds no", id="edge-passphrase"),
    ],
)  # fmt: skip
def test_one_change_from_right_is_refused_by_its_key(form, old, new, expected):
    assert old in FORMS[form]
    (fault,) = faults(FORMS[form].replace(old, new, 1))
    assert expected in fault


def test_all_faults_come_at_once_whatever_their_kind(place):
    (place / "tls.key").chmod(0o644)
    text = EMBEDDED.replace('id = "gateway"', 'id = "gateway"\nlimits = { threads = "many" }\nodd = 1').replace(
        "https://events.invalid/v", "x"
    )
    keys = [f.split(": ")[1] for f in faults(text)]
    assert sorted(keys) == ["limits.threads", "odd", "partner_listener.tls_key", "uri_base"]


def test_a_secret_that_others_can_read_is_refused_outside_dev(place):
    (place / "secret").chmod(0o640)
    (fault,) = faults(INNER)
    assert "bus.password_file: can be read by others; mode 0600" in fault
    load(INNER.replace('"production"', '"dev"').replace('"PRODUCTION"', '"TEST"'))


@pytest.mark.parametrize("form", ["edge", "courier"])
def test_the_outer_zone_refuses_a_folder_with_private_keys(place, form):
    (place / "keys" / "private").mkdir()
    (place / "keys" / "private" / "x.pem").write_text("")
    (fault,) = faults(FORMS[form])
    assert f"role {form} holds no private keys" in fault


@pytest.mark.usefixtures("place")
def test_a_waiver_holds_only_where_the_environment_is_not_production():
    waived = EMBEDDED.replace('id = "gateway"', 'id = "gateway"\nwaivers = ["kafka-in-sync-replicas"]')
    (fault,) = faults(waived)
    assert "nothing can be waived where the environment is PRODUCTION" in fault
    assert load(waived.replace('"PRODUCTION"', '"TEST"')).waivers == {"kafka-in-sync-replicas"}


@pytest.mark.usefixtures("place")
def test_the_environment_goes_over_the_file(monkeypatch):
    monkeypatch.setenv("GATEWAY__PARTNER_LISTENER__PORT", "9000")
    monkeypatch.setenv("GATEWAY__ENVIRONMENT", "TEST")
    monkeypatch.setenv("GATEWAY__WAIVERS", '["kafka-in-sync-replicas"]')
    read = load(EMBEDDED)
    assert (read.partner_listener.port, read.environment, len(read.waivers)) == (9000, Environment.TEST, 1)
    assert read.partner_listener.tls_key == Path("tls.key")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GATEWAY__BUSS__KIND", "kafka", "GATEWAY__BUSS__KIND: unknown variable"),
        ("GATEWAY__BUS__KINDD", "kafka", "GATEWAY__BUS__KINDD: unknown key"),
        ("GATEWAY__LIMITS__THREADS", "many", "GATEWAY__LIMITS__THREADS: Input should be a valid integer"),
        ("GATEWAY__WAIVERS", "a,b", "GATEWAY__WAIVERS: is not JSON"),
        ("GATEWAY__URI_BASE", "x", "GATEWAY__URI_BASE: is no base of event URIs"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name_and_never_by_its_value(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    (fault,) = faults(EMBEDDED)
    assert fault.startswith(expected)
    assert len(value) < 2 or value not in fault.split(": ", 1)[1]


@pytest.mark.usefixtures("place")
def test_settings_are_frozen_and_do_not_show_the_database_url():
    read = load(INNER)
    with pytest.raises(ValueError, match="frozen"):
        read.id = "other"
    assert "db.invalid" not in repr(read)


@pytest.mark.parametrize(("text", "expected"), [("id = ", "gateway.toml:1: is not TOML in UTF-8"), (None, "gateway.toml: cannot be read")])
def test_a_file_that_cannot_be_read_is_a_fault(place, text, expected):
    if text is not None:
        (place / "gateway.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(Path("gateway.toml"))
    assert any(str(f).startswith(expected) for f in caught.value.faults)


VALUES = st.none() | st.integers() | st.text(max_size=5) | st.booleans() | st.lists(st.integers(), max_size=2)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["id", "profile", "bus", "bus.kind", "limits.threads", "waivers", "contact", "paths.keys", "store.url"]), VALUES)
def test_any_value_gives_settings_or_faults(place, key, value):
    """Whatever a file says, the answer is settings or a list of faults, never another error."""
    head, _, tail = key.partition(".")
    line = f"{tail or head} = {json.dumps(value)}\n" if value is not None else ""
    with suppress(ConfigurationError):
        load(f"[{head}]\n{line}" if tail else line)


def test_lines_are_found_in_tables_and_lists_of_tables():
    text = 'a = 1\n[t]\nb = 2\n\n[[l]]\nc = 3\n[[l]]\n"d" = 4\n[t.u]\ne = 5\n'
    assert lines_of(text) == {"a": 1, "t": 2, "t.b": 3, "l": 5, "l.0": 5, "l.0.c": 6, "l.1": 7, "l.1.d": 8, "t.u": 9, "t.u.e": 10}


INNER_ALONE = 'role = "inner"\n[store]\nurl = "postgresql+asyncpg://gw@db.invalid/gw?ssl=verify-full"\npassword_file = "not-there"\n'


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["store"], ["gateway.toml:4: store.password_file: is no file; an existing file"], id="a-table"),
        pytest.param(["bus"], ["gateway.toml: bus.kind: memory does not fit role inner; kafka"], id="a-table-that-is-not-there"),
        pytest.param(["paths.keys"], [], id="a-member-that-is-right"),
        pytest.param(["id", "uri_base"], ["gateway.toml: id: is missing", "gateway.toml: uri_base: is no base"], id="two"),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_command_is_told_the_faults_of_the_settings_it_needs(needs, expected):
    Path("gateway.toml").write_text(INNER_ALONE)
    found = []
    try:
        assert load_settings(Path("gateway.toml"), needs=needs).role is ProcessRole.INNER
    except ConfigurationError as exc:
        found = [str(fault) for fault in exc.faults]
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for fault, start in zip(found, expected, strict=True))


@pytest.mark.usefixtures("place")
def test_a_key_that_nobody_knows_is_a_fault_whatever_a_command_needs():
    Path("gateway.toml").write_text("[contact]\nunti = 'x'\n")
    with pytest.raises(ConfigurationError, match=r"contact\.unti: unknown key"):
        load_settings(Path("gateway.toml"), needs=["store"])
