"""The partners we know, and which of them receive what for a country."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.contract.errors import InvariantError
from gateway.contract.values import Country, PartnerId, Role
from gateway.core.profiles import Profile


class UnknownPartnerError(InvariantError):
    """No profile has this id, though something that was checked says so."""


class Directory:
    """All profiles, by id and by country. Never changed: a reload makes a new one."""

    __slots__ = ("_by_country", "_by_id")

    def __init__(self, profiles: Iterable[Profile]) -> None:
        """Index profiles, in order of id, so that equal inputs route alike."""
        self._by_id = {p.id: p for p in sorted(profiles, key=lambda p: p.id)}
        self._by_country: dict[Country, list[Profile]] = {}
        for profile in self._by_id.values():
            for country in sorted({profile.country, *profile.serves}):
                self._by_country.setdefault(country, []).append(profile)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, partner: str) -> Profile | None:
        """Return the profile of an id that is not known to be ours."""
        return self._by_id.get(PartnerId(partner))

    def by_id(self, partner: PartnerId) -> Profile:
        """Return a partner's profile. Raises `UnknownPartnerError`."""
        profile = self._by_id.get(partner)
        if profile is None:
            raise UnknownPartnerError(partner)
        return profile

    def receivers(self, country: Country, family: str, *, role: Role, purpose: str) -> tuple[Profile, ...]:
        """Return the partners that receive `family` in `role` for `purpose`, where `country` is theirs or one they serve (R-RTE-01)."""
        return tuple(p for p in self._by_country.get(country, ()) if p.delivery is not None and p.receives_for(family, role, purpose))
