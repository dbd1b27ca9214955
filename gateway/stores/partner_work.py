"""The part of a unit of work that is about partners beside their legs: circuits, standing, checks, attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from gateway.app.partner_rows import AttemptFilter, AttemptRow
from gateway.contract.values import LegId, PartnerId
from gateway.core.circuit import Circuit
from gateway.core.standing import Line, Standing
from gateway.stores import line_statements as line
from gateway.stores import statements as s
from gateway.stores.connected import Connected, micros, singles


class PartnerWork(Connected):
    """Rows of partners."""

    async def circuits(self, partners: Sequence[PartnerId]) -> dict[PartnerId, Circuit]:
        """Lock the partners' rows that nobody else holds, and return their circuits; one without a leg has none."""
        rows = await self._rows(line.circuits(), lines=singles(partners)) if partners else ()
        return {row.partner: _circuit(row) for row in rows}

    async def troubles(self) -> dict[PartnerId, Circuit]:
        """Return the circuits that are not at rest."""
        return {row.partner: _circuit(row) for row in await self._rows(line.troubles())}

    async def save_circuits(self, circuits: Mapping[PartnerId, Circuit]) -> None:
        """Write the circuits of locked partners."""
        rows = [
            {"of_partner": id_, **{f"new_{name}": getattr(circuit, name) for name in line.CIRCUIT}} for id_, circuit in circuits.items()
        ]
        await self._many(line.save_circuit(), rows)

    async def standings(self) -> dict[PartnerId, Standing]:
        """Return which partners are paused or suspended."""
        return {row.partner: Standing(row.standing) for row in await self._rows(line.standings())}

    async def set_standing(self, partner: PartnerId, standing: Standing) -> None:
        """Write how a partner stands; its row is made if missing."""
        await self._run(s.insert_partners(), lines=[[partner]])
        await self._run(line.set_standing(), of_partner=partner, new_standing=standing.value)

    async def partner_lines(self) -> dict[PartnerId, Line]:
        """Return what is known of every partner that has a row."""
        due = {row.partner: row.due_at for row in await self._rows(s.oldest_due_each())}
        return {
            row.partner: Line(
                standing=Standing(row.standing), circuit=_circuit(row), check_id=row.check_id, checked_at=row.checked_at,
                check_code=row.check_code, oldest_due=due.get(row.partner),
            )
            for row in await self._rows(line.partner_lines())
        }  # fmt: skip

    async def begin_check(self, partner: PartnerId, check_id: LegId, at: datetime) -> None:
        """Note a check of a partner; its row is made if missing."""
        await self._run(s.insert_partners(), lines=[[partner]])
        await self._run(line.begin_check(), of_partner=partner, new_check_id=check_id, new_checked_at=at, new_check_code=None)

    async def end_check(self, partner: PartnerId, check_id: LegId, code: str) -> bool:
        """Note what became of a partner's last check, once; return whether it was that one."""
        return await self._run(line.end_check(), of_partner=partner, of_check_id=check_id, new_check_code=code) > 0

    async def add_attempts(self, rows: Sequence[AttemptRow]) -> None:
        """Insert attempts, in one statement."""
        if rows:
            await self._run(line.insert_attempts(), lines=[[_plain(getattr(row, name)) for name in line.ATTEMPT] for row in rows])

    async def attempts(self, which: AttemptFilter, *, limit: int) -> list[AttemptRow]:
        """Return attempts, newest first."""
        given = {"of_partner": which.partner, "since": which.since, "before": which.before, "limit": limit}
        return [AttemptRow(**row._asdict()) for row in await self._rows(line.attempts(failed=which.failed), **given)]

    async def forget_attempts(self, before: datetime, *, limit: int) -> int:
        """Delete attempts from before a time, at most `limit`."""
        return await self._run(line.forget_attempts(), before=before, limit=limit)


def _circuit(row: Row[Any]) -> Circuit:
    return Circuit(**{name: getattr(row, name) for name in line.CIRCUIT})


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value
