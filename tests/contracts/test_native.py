"""The native format keeps the contract, and changes nothing."""

from __future__ import annotations

import pytest

from gateway.contract.formats import Format
from gateway.contract.loading import load
from gateway.contract.manifest import Manifest, SettingsError
from gateway.testing.contract_format import EVENT, FormatContract, view

BASE = "https://EXAMPLE.invalid/events"
NATIVE = load(["native"], ours={"native": "adapters.formats.native"})["native"]


class TestNative(FormatContract):
    @pytest.fixture
    def manifest(self) -> Manifest:
        return NATIVE.manifest

    @pytest.fixture
    def made(self) -> Format:
        return NATIVE.format({"uri_base": BASE})

    def test_the_event_is_the_views_own_under_its_familys_uri(self, made: Format) -> None:
        document = made.render(view("travel-notification"))
        assert (document.event_uri, document.event) == (f"{BASE}/travel-notification/1.0", EVENT)

    def test_conditions_are_shown(self, made: Format) -> None:
        assert made.shows_conditions()


@pytest.mark.parametrize("settings", [
    pytest.param({}, id="no-base"),
    pytest.param({"uri_base": "http://EXAMPLE.invalid/events"}, id="not-https"),
    pytest.param({"uri_base": BASE + "/"}, id="slash-at-the-end"),
    pytest.param({"uri_base": 7}, id="a-number"),
    pytest.param({"uri_base": BASE, "colour": "red"}, id="unknown-setting"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings):
    with pytest.raises(SettingsError):
        NATIVE.format(settings)
