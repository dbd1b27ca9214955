"""Somebody fictional who is on the register: what every message about them agrees on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

MALE: Final = 1  # ISO 5218


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A person of the register, with the one offence and disposal that brought them there."""

    ref: str
    person: Mapping[str, Any]
    band: str  # of the list risk-level
    offence: Mapping[str, Any]  # as `offences[]` of a registration-record has it
    disposal: str
    relevant: date  # from when the period of registration counts

    @property
    def cautioned(self) -> bool:
        """Whether a caution is all there was: no conviction, and no tool made for the convicted."""
        return self.disposal == "CAUTION"

    @property
    def scored(self) -> bool:
        """Whether RM2000 and ARMS are tools for this person: a man, and convicted."""
        return self.person["sex"] == MALE and not self.cautioned

    @property
    def said(self) -> dict[str, str]:
        """The `subject` of a message."""
        return {"ref": self.ref, "status": "CAUTIONED" if self.cautioned else "CONVICTED", "is_minor": "NO"}
