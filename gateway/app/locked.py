"""Subjects locked by the current transaction, and the order they give out."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.app.ports import SubjectRow, UnitOfWork
from gateway.contract.values import SubjectKey


class Locked:
    """Gives out `seq` numbers of locked subjects; `save` writes what was given out."""

    def __init__(self, rows: Mapping[SubjectKey, SubjectRow]) -> None:
        """Take the rows as `lock_subjects` or `relock_subjects` returned them."""
        self.rows = dict(rows)
        self._given: dict[SubjectKey, int] = {}

    def next(self, key: SubjectKey) -> int:
        """Return the next place in the subject's order."""
        self._given[key] = self._given.get(key, self.rows[key].seq) + 1
        return self._given[key]

    async def save(self, work: UnitOfWork) -> None:
        """Store what was given out."""
        if self._given:
            await work.set_seq(self._given)
