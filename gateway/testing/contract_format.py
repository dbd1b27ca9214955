"""What every format must do. A test class inherits this and gives `made` (a format) and, where it renders more, `views`."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

import pytest

from gateway.contract.formats import Format, UnsupportedFamilyError
from gateway.contract.manifest import Kind, Manifest
from gateway.contract.values import Environment, Family, Removed, View

EVENT = {
    "handling": {"environment": "TEST", "purpose": "PUBLIC_PROTECTION", "handling_codes": ["POLICE_ONLY"]},
    "routing": {"priority": "PRIORITY"},
    "subject": {"iss": "no-register", "ref": "S-1"},
    "body": {"person": {"names": [{"native": "Иван Вымышленный", "latin": "Ivan Vymyshlennyy"}]}},
}


def view(name: str, event: object = None) -> View:
    """Return a view of a family, with one field group removed."""
    found = copy.deepcopy(EVENT if event is None else event)
    assert isinstance(found, dict)
    return View(Family(name, "1.0"), found, (Removed("identity_documents", "POLICY", ("default-deny",)),), Environment.TEST)


class FormatContract:
    """Inherited by the tests of every format. The fixtures `made` and `manifest` come from the test class."""

    @pytest.fixture
    def views(self, manifest: Manifest) -> Sequence[View]:
        """One view of each family."""
        return [view(name) for name in sorted(manifest.families)]

    def test_the_manifest_describes_this_format(self, made: Format, manifest: Manifest) -> None:
        assert (manifest.kind, manifest.id, manifest.families) == (Kind.FORMAT, made.id, made.families)

    def test_every_family_of_the_manifest_renders_to_json_under_an_https_uri(self, made: Format, views: Sequence[View]) -> None:
        assert views
        for each in views:
            document = made.render(each)
            assert document.event_uri.startswith("https://")
            assert json.loads(json.dumps(document.event)) == document.event

    def test_another_family_is_refused(self, made: Format) -> None:
        with pytest.raises(UnsupportedFamilyError):
            made.render(view("no-family-of-anybody"))

    def test_the_same_view_gives_the_same_document(self, made: Format, views: Sequence[View]) -> None:
        for each in views:
            assert made.render(each) == made.render(each)

    def test_a_view_is_left_as_it_was(self, made: Format, views: Sequence[View]) -> None:
        for each in views:
            before = copy.deepcopy(each.event)
            made.render(each)
            assert each.event == before

    def test_the_mark_of_a_test_message_is_in_the_document(self, made: Format, views: Sequence[View]) -> None:
        """What is not PRODUCTION carries its mark into every format (R-GEN-16)."""
        for each in views:
            assert "TEST" in json.dumps(made.render(each).event)

    def test_conditions_are_shown_where_the_format_says_so(self, made: Format, views: Sequence[View]) -> None:
        for each in views:
            assert ("POLICE_ONLY" in json.dumps(made.render(each).event)) == made.shows_conditions()
