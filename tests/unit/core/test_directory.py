"""Who receives what for a country."""

from __future__ import annotations

import pytest

from gateway.contract.values import Country, PartnerId, Role
from gateway.core.directory import Directory, UnknownPartnerError
from tests.unit.core.samples import partner, receives

FR, BE = Country("FR"), Country("BE")
HUB = partner("a-hub", "BE", serves=frozenset({FR}))
POLICE = partner("fr-police", "FR", receives=receives(roles=[Role.DESTINATION]))
SENDER = partner("fr-sender", "FR", delivery=None)
DIRECTORY = Directory([POLICE, SENDER, HUB])


@pytest.mark.parametrize(
    ("country", "family", "role", "purpose", "expected"),
    [
        pytest.param(FR, "travel-notification", Role.DESTINATION, "PREVENT_CHILD_SEX_CRIME", ["a-hub", "fr-police"], id="own-and-served"),
        pytest.param(FR, "travel-notification", Role.TRANSIT, "PREVENT_CHILD_SEX_CRIME", ["a-hub"], id="another-role"),
        pytest.param(FR, "order-summary", Role.DESTINATION, "PREVENT_CHILD_SEX_CRIME", [], id="another-family"),
        pytest.param(FR, "travel-notification", Role.DESTINATION, "SUPPORT", [], id="another-purpose"),
        pytest.param(BE, "travel-notification", Role.DESTINATION, "PREVENT_CHILD_SEX_CRIME", ["a-hub"], id="the-hub-s-own-country"),
        pytest.param(Country("DE"), "travel-notification", Role.DESTINATION, "PREVENT_CHILD_SEX_CRIME", [], id="nobody-there"),
    ],
)
def test_country_family_role_and_purpose_must_all_fit(country, family, role, purpose, expected):
    assert [p.id for p in DIRECTORY.receivers(country, family, role=role, purpose=purpose)] == expected


def test_a_profile_is_found_by_its_id():
    assert DIRECTORY.by_id(PartnerId("a-hub")) is HUB
    assert DIRECTORY.find("a-hub") is HUB
    assert [p.id for p in DIRECTORY] == ["a-hub", "fr-police", "fr-sender"]
    assert len(DIRECTORY) == 3


def test_an_unknown_id_has_no_profile():
    assert DIRECTORY.find("nobody") is None
    with pytest.raises(UnknownPartnerError):
        DIRECTORY.by_id(PartnerId("nobody"))
