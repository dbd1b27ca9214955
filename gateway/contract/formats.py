"""What a format is: pure, a view in, a document out. Adapters implement it, core calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from gateway.contract.errors import InvariantError
from gateway.contract.values import Document, View


class UnsupportedFamilyError(InvariantError):
    """A view was given to a format whose manifest does not list its family."""


class Format(ABC):
    """Renders views for one kind of partner. Pure: no I/O, no clock, no dice."""

    id: str
    families: frozenset[str]

    @final
    def render(self, view: View) -> Document:
        """Return the document for `view`. Raises `UnsupportedFamilyError` if the format does not carry its family."""
        if view.family.name not in self.families:
            raise UnsupportedFamilyError(self.id, view.family.name)
        return self._render(view)

    @abstractmethod
    def _render(self, view: View) -> Document:
        """Render one view of a family listed in `families`."""

    @abstractmethod
    def shows_conditions(self) -> bool:
        """Say whether the format has a place for the sender's handling conditions (R-GEN-14)."""
