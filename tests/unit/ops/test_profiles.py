from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.contract.manifest import parse
from gateway.contract.values import Environment, Role
from gateway.core.profiles import Closes
from gateway.ops.faults import ConfigurationError
from gateway.ops.profiles import Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas

ROOT = Path(__file__).parents[3]
REFERENCE = load_reference(ROOT / "schemas")
SCHEMAS = load_schemas(ROOT / "schemas", REFERENCE)
VOCABULARY = Vocabulary(
    families=frozenset({"travel-notification", "acknowledgement"}),
    purposes=frozenset({"PREVENT_CHILD_SEX_CRIME", "MANAGE_OFFENDER", "INVESTIGATE", "SAFEGUARD", "BORDER", "SUPPORT"}),
    kinds={"REGISTER": "STATUTORY", "POLICE": "STATUTORY", "BORDER": "STATUTORY", "SUPPORT_NGO": "NGO"},
    countries=frozenset({"GB", "FR", "ES", "NL", "IE"}),
)
ADAPTERS = {m.id: m for m in (parse(p.read_text(encoding="utf-8"), str(p)) for p in (ROOT / "adapters").glob("*/*/manifest.toml"))}

PUSHED = """id = "fr-police"
name = "Police"
country = "FR"
kind = "POLICE"
sector = "STATUTORY"
environment = "TEST"

[[receives]]
family = "travel-notification"
roles = ["DESTINATION"]
purposes = ["MANAGE_OFFENDER"]

[delivery]
format = "native"
transport = "https_push"

[transport]
url = "https://partner.invalid/events"
"""


def load(folder: Path, *, adapters=ADAPTERS, **files: str):
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.toml").write_text(text, encoding="utf-8")
    return load_partners(folder, vocabulary=VOCABULARY, adapters=adapters)


def faults(folder: Path, *, adapters=ADAPTERS, **files: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, adapters=adapters, **files)
    return [str(f).removeprefix(f"{folder}/") for f in caught.value.faults]


@pytest.mark.parametrize("desk", ["", "fr-police"])
def test_the_desk_is_a_partner_that_can_be_told_or_nobody(tmp_path, desk):
    (tmp_path / "fr-police.toml").write_text(PUSHED, encoding="utf-8")
    assert load_partners(tmp_path, vocabulary=VOCABULARY, adapters=ADAPTERS, desk=desk).profiles


def test_a_desk_that_is_no_partner_or_cannot_be_told_is_told_with_the_other_faults(tmp_path):
    silent = PUSHED.partition("[[receives]]")[0]
    for desk, text, expected in (
        ("xx-desk", PUSHED.replace("FR", "QQ"), ["desk: no partner has this id; the id of", "fr-police.toml:3: country: unknown country QQ"]),
        ("fr-police", silent.replace("FR", "QQ"), [
            "fr-police.toml:1: delivery: the national desk (setting desk) cannot be told anything; a table [delivery]",
            "fr-police.toml:3: country: unknown country QQ",
        ]),
    ):  # fmt: skip
        (tmp_path / "fr-police.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load_partners(tmp_path, vocabulary=VOCABULARY, adapters=ADAPTERS, desk=desk)
        told = [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]
        assert len(told) == len(expected)
        assert all(found.startswith(start) for found, start in zip(told, expected, strict=True)), told


def test_the_shipped_examples_are_right_and_there_is_one_of_each_kind():
    vocabulary = Vocabulary.of(SCHEMAS, REFERENCE)
    partners = load_partners(ROOT / "partners", vocabulary=vocabulary, adapters=ADAPTERS)
    assert {p.kind for p in partners.profiles.values()} == vocabulary.kinds.keys()
    assert {p.environment for p in partners.profiles.values()} == {Environment.TEST}
    assert set(partners.transports) == {"fr-police", "es-police"}


def test_every_family_has_a_shipped_sender_and_what_is_no_reply_a_shipped_receiver():
    partners = load_partners(ROOT / "partners", vocabulary=Vocabulary.of(SCHEMAS, REFERENCE), adapters=ADAPTERS).profiles.values()
    families = {family.name for family in SCHEMAS.families}
    assert {family for p in partners for family in p.sends} == families - {"acknowledgement"}
    assert {r.family for p in partners for r in p.receives} == families - {"acknowledgement", "information-response", "correction"}


def test_a_profile_is_read_with_its_digest_and_its_transport_apart(tmp_path):
    partners = load(tmp_path, fr_police=PUSHED)
    profile = partners.profiles["fr-police"]
    assert profile.digest == hashlib.sha256(PUSHED.encode()).hexdigest()
    assert profile.receives_for("travel-notification", Role.DESTINATION, "MANAGE_OFFENDER")
    assert profile.delivery.closes is Closes.DELIVERED
    assert "partner.invalid" not in repr(profile)
    assert partners.transports["fr-police"].settings["url"] == "https://partner.invalid/events"
    assert partners.transports["fr-police"].settings["connections_max"] == 8


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param('name = "Police"', 'nmae = "Police"', ["fr-police.toml:1: name: is missing", "fr-police.toml:2: nmae: unknown key"], id="typo"),
        pytest.param('format = "native"', 'format = "native"\nwindw = 3', ["fr-police.toml:15: delivery.windw: unknown key"], id="typo-in-a-table"),
        pytest.param('roles = ["DESTINATION"]', 'roles = ["GUEST"]', ["fr-police.toml:10: receives.0.roles.0: Input should be"], id="role"),
        pytest.param('roles = ["DESTINATION"]', "roles = []", ["fr-police.toml:10: receives.0.roles: "], id="no-role"),
        pytest.param('country = "FR"', 'country = "ZQ"', ["fr-police.toml:3: country: unknown country ZQ"], id="country"),
        pytest.param('kind = "POLICE"', 'kind = "CIRCUS"', ["fr-police.toml:4: kind: unknown kind of authority CIRCUS; one of BORDER"], id="kind"),
        pytest.param('sector = "STATUTORY"', 'sector = "NGO"', ["fr-police.toml:5: sector: does not fit kind POLICE; STATUTORY"], id="sector"),
        pytest.param('"MANAGE_OFFENDER"', '"FUN"', ["fr-police.toml:11: receives.0.purposes: unknown purpose FUN"], id="purpose"),
        pytest.param('environment = "TEST"', 'environment = "PROD"', ["fr-police.toml:6: environment: Input should be"], id="environment"),
        pytest.param('sector = "STATUTORY"', 'sector = "STATUTORY"\nhub = "atlantis"', ["fr-police.toml:6: hub: unknown partner atlantis"], id="hub"),
        pytest.param(
            'sector = "STATUTORY"', 'sector = "STATUTORY"\nmanaging_authority = "atlantis"',
            ["fr-police.toml:6: managing_authority: unknown partner atlantis"], id="managing-authority",
        ),
        pytest.param('id = "fr-police"', 'id = "fr-polizei"', ["fr-police.toml:1: id: is not the file's name"], id="other-name"),
        pytest.param('"travel-notification"', '"post"', [
            "fr-police.toml:9: receives.0.family: unknown family post", "fr-police.toml:14: delivery.format: format native cannot carry post",
        ], id="family"),
        pytest.param('"travel-notification"', '"support-referral"', [
            "fr-police.toml:9: receives.0.family: unknown family support-referral; one of acknowledgement, travel-notification",
        ], id="family-without-a-whole-way"),
        pytest.param('format = "native"', 'format = "fax"', ["fr-police.toml:14: delivery.format: unknown format fax; one of native"], id="format"),
        pytest.param('"https_push"', '"pigeon"', ["fr-police.toml:15: delivery.transport: unknown transport pigeon"], id="transport"),
        pytest.param('"https_push"', '"native"', ["fr-police.toml:15: delivery.transport: unknown transport native"], id="format-as-transport"),
        pytest.param('"https_push"', '"inbox"', ["fr-police.toml:17: transport: inbox has no transport settings"], id="inbox-with-settings"),
        pytest.param('url = "https://partner.invalid/events"', "", ["fr-police.toml:17: transport.url: is missing"], id="no-url"),
        pytest.param("[transport]", '[transport]\npassword = "x"', ["fr-police.toml:18: transport.password: is no setting"], id="unknown-setting"),
        pytest.param('format = "native"', 'format = "native"\nencrypt = false', ["fr-police.toml:15: delivery.encrypt: waived without a reason"], id="clear"),
        pytest.param('format = "native"', 'format = "native"\nwindow = 0', ["fr-police.toml:15: delivery.window: "], id="window"),
        pytest.param('format = "native"', 'format = "native"\nwindow = "3"', ["fr-police.toml:15: delivery.window: "], id="number-as-text"),
        pytest.param('country = "FR"', "country = ", ["fr-police.toml:3: is not TOML in UTF-8"], id="not-toml"),
    ],
)  # fmt: skip
def test_one_change_from_right_is_refused_naming_file_and_line(tmp_path, old, new, expected):
    assert old in PUSHED
    found = faults(tmp_path, fr_police=PUSHED.replace(old, new, 1))
    assert len(found) == len(expected)
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


def test_an_id_that_cannot_be_a_topic_is_refused(tmp_path):
    (tmp_path / "FR.Police.toml").write_text(PUSHED.replace("fr-police", "FR.Police"), encoding="utf-8")
    assert faults(tmp_path) == ["FR.Police.toml:1: id: is no partner id; 2 to 32 of a-z, 0-9 and dash"]


def test_the_faults_of_all_files_come_at_once(tmp_path):
    found = faults(tmp_path, fr_police=PUSHED.replace('"FR"', '"ZQ"'), es_police="x = 1")
    assert {f.split(":")[0] for f in found} == {"fr-police.toml", "es-police.toml"}


def test_a_format_that_the_transport_does_not_carry_is_refused(tmp_path):
    xml = replace(ADAPTERS["native"], media_types=frozenset({"application/xml"}))
    (found,) = faults(tmp_path, adapters={**ADAPTERS, "native": xml}, fr_police=PUSHED)
    assert found.startswith("fr-police.toml:15: delivery.transport: format native yields application/xml")


def test_a_partner_that_only_sends_needs_no_delivery_and_one_that_receives_does(tmp_path):
    head = PUSHED[: PUSHED.index("[[receives]]")]
    assert load(tmp_path, fr_police=head).profiles["fr-police"].delivery is None
    (found,) = faults(tmp_path, fr_police=PUSHED[: PUSHED.index("[delivery]")])
    assert found.startswith("fr-police.toml:8: receives: there is no delivery")


def test_an_empty_folder_is_a_fault(tmp_path):
    with pytest.raises(ConfigurationError, match="has no profiles"):
        load(tmp_path)


def test_no_fault_shows_the_value_of_a_transport_setting(tmp_path):
    found = faults(tmp_path, fr_police=PUSHED.replace('"https://partner.invalid/events"', '17\ntoken = "geheim"'))
    assert not any("geheim" in f or "17" in f.split(": ", 1)[1] for f in found)


def test_a_channel_without_a_broker_is_refused_where_the_profile_asks_for_it(tmp_path):
    (tmp_path / "fr-police.toml").write_text(PUSHED.replace("environment", "kafka_channel = true\nenvironment"), encoding="utf-8")
    assert load(tmp_path).profiles["fr-police"].kafka_channel
    with pytest.raises(ConfigurationError) as caught:
        load_partners(tmp_path, vocabulary=VOCABULARY, adapters=ADAPTERS, has_channels=False)
    assert str(caught.value).endswith(
        "fr-police.toml:6: kafka_channel: a channel needs the scaled-out form; false, or a gateway with Kafka"
    )


def test_a_shard_that_no_topic_can_be_named_after_is_refused(tmp_path):
    (found,) = faults(tmp_path, fr_police=PUSHED.replace('format = "native"', 'format = "native"\nshard = "x"'))
    assert found.startswith("fr-police.toml:15: delivery.shard")


def test_a_profile_may_name_every_family_there_is_a_schema_for():
    assert Vocabulary.of(SCHEMAS, REFERENCE).families == {family.name for family in SCHEMAS.families}
