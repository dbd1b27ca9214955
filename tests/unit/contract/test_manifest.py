from __future__ import annotations

import pytest

from gateway.contract.manifest import Manifest, ManifestError, SettingsError, Type, check_pair, parse

GOOD = """
id = "carrier_pigeon"
kind = "transport"
contract = "1"
summary = "Carries a document under its wing."
create = "create"
media_types = ["application/secevent+jwt"]

[fields.loft]
label = "Loft"
help = "Where it flies to."
type = "string"
required = true

[fields.birds]
label = "Birds"
help = "How many."
type = "integer"
default = 2
minimum = 1
maximum = 9

[fields.whistle]
label = "Whistle"
help = "What calls it back."
type = "path"
secret = true

[fields.stops]
label = "Stops"
help = "Where it rests."
type = "strings"
default = []

[fields.night]
label = "Night"
help = "Whether it flies by night."
type = "boolean"
default = false
"""


def manifest(text: str = GOOD) -> Manifest:
    return parse(text, "here")


def test_a_manifest_says_what_its_adapter_needs():
    found = manifest()
    assert (found.id, found.kind, found.create) == ("carrier_pigeon", "transport", "create")
    assert {name: field.type for name, field in found.fields.items()} == {
        "loft": Type.STRING, "birds": Type.INTEGER, "whistle": Type.PATH, "stops": Type.STRINGS, "night": Type.BOOLEAN,
    }  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), [
    pytest.param('id = "carrier_pigeon"', "", "id", id="no-id"),
    pytest.param('kind = "transport"', 'kind = "bird"', "kind", id="unknown-kind"),
    pytest.param('kind = "transport"', 'kind = ["transport"]', "kind", id="kind-is-a-list"),
    pytest.param('contract = "1"', 'contract = "2"', "contract", id="another-contract"),
    pytest.param('contract = "1"', "contract = 1", "contract", id="contract-is-a-number"),
    pytest.param('create = "create"', "", "create", id="no-factory"),
    pytest.param('create = "create"', 'create = "create"\nfamilies = ["a"]', "families", id="a-transport-with-families"),
    pytest.param('kind = "transport"', 'kind = "format"', "families", id="a-format-without-families"),
    pytest.param('create = "create"', 'create = "create"\ncolour = "red"', "colour", id="unknown-member"),
    pytest.param(GOOD[GOOD.index("[fields") :], "fields = 3", "fields", id="fields-are-no-tables"),
    pytest.param(GOOD[GOOD.index("[fields") :], "fields = {loft = 3}", "fields.loft.must be a table", id="a-field-is-no-table"),
    pytest.param('type = "integer"', 'type = ["integer"]', "fields.birds.type", id="type-is-a-list"),
    pytest.param('label = "Loft"', "", "fields.loft.label", id="field-without-label"),
    pytest.param('label = "Loft"', 'label = "Loft"\ncolour = "red"', "fields.loft.colour", id="unknown-member-of-a-field"),
    pytest.param('type = "integer"', 'type = "float"', "fields.birds.type", id="unknown-type"),
    pytest.param("default = 2", 'default = "two"', "fields.birds.default", id="default-of-another-type"),
    pytest.param("required = true", 'required = true\ndefault = "x"', "fields.loft.default", id="required-with-default"),
    pytest.param('id = "carrier_pigeon"', "id = ", "is not TOML", id="not-toml"),
])  # fmt: skip
def test_one_change_from_a_good_manifest_is_refused(old, new, fault):
    assert old in GOOD
    with pytest.raises(ManifestError) as caught:
        manifest(GOOD.replace(old, new, 1))
    assert any(each.startswith(fault) for each in caught.value.faults)


def test_defaults_fill_in_what_settings_leave_out():
    assert manifest().validate({"loft": "Tromsø"}) == {"loft": "Tromsø", "birds": 2, "whistle": None, "stops": (), "night": False}


def test_what_was_validated_is_valid_again():
    once = manifest().validate({"loft": "x"})
    assert manifest().validate(once) == once
    with pytest.raises(SettingsError, match="loft"):
        manifest().validate({**once, "loft": None})


@pytest.mark.parametrize(("settings", "faults"), [
    pytest.param({}, ["loft: is missing"], id="missing"),
    pytest.param({"loft": ""}, ["loft: must be of type string"], id="empty"),
    pytest.param({"loft": "x", "colour": 1}, ["colour: is no setting of this adapter"], id="unknown"),
    pytest.param({"loft": "x", "birds": "2"}, ["birds: must be of type integer"], id="text-for-a-number"),
    pytest.param({"loft": "x", "birds": True}, ["birds: must be of type integer"], id="truth-for-a-number"),
    pytest.param({"loft": "x", "birds": 0}, ["birds: must be at least 1"], id="too-small"),
    pytest.param({"loft": "x", "birds": 10}, ["birds: must be at most 9"], id="too-large"),
    pytest.param({"loft": "x", "stops": "here"}, ["stops: must be of type strings"], id="text-for-a-list"),
    pytest.param({"loft": "x", "stops": [1]}, ["stops: must be of type strings"], id="list-of-numbers"),
    pytest.param({"loft": "x", "night": 1}, ["night: must be of type boolean"], id="number-for-a-truth"),
    pytest.param({"birds": 0, "night": "x"}, ["birds: must be at least 1", "loft: is missing", "night: must be of type boolean"], id="all-at-once"),
])  # fmt: skip
def test_every_fault_of_the_settings_is_named(settings, faults):
    with pytest.raises(SettingsError) as caught:
        manifest().validate(settings)
    assert list(caught.value.faults) == faults


def test_a_fault_never_shows_the_value():
    with pytest.raises(SettingsError) as caught:
        manifest().validate({"loft": "x", "whistle": ["s3cr3t"]})
    assert "s3cr3t" not in str(caught.value)


def test_a_secret_is_masked_and_so_is_what_nobody_described():
    assert manifest().masked({"loft": "x", "whistle": "/etc/whistle", "typo_of_whistle": "abc"}) == {
        "loft": "x", "whistle": "***", "typo_of_whistle": "***",
    }  # fmt: skip


def test_a_format_goes_only_with_a_transport_that_carries_its_media_type():
    xml = manifest(GOOD.replace('kind = "transport"', 'kind = "format"\nfamilies = ["a"]').replace("secevent+jwt", "xml"))
    with pytest.raises(SettingsError, match="application/xml"):
        check_pair(xml, manifest())
    check_pair(manifest(GOOD.replace('kind = "transport"', 'kind = "format"\nfamilies = ["a"]')), manifest())
