"""The part of a unit of work that is about partners beside their legs: circuits, standing, checks, attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from gateway.app.partner_rows import AttemptFilter, AttemptRow, KeyRow
from gateway.contract.values import KeyId, LegId, PartnerId
from gateway.core.circuit import Circuit
from gateway.core.next_key import KeyState
from gateway.core.standing import Line, Standing
from gateway.stores import line_statements as line
from gateway.stores import statements as s
from gateway.stores.connected import Connected, micros, singles

KEY_FIELDS: Final = tuple(field.name for field in fields(KeyRow))


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

    async def add_key(self, row: KeyRow) -> bool:
        """Insert a key; return whether its id was free."""
        return bool(await self._rows(line.insert_key(), **{name: getattr(row, name) for name in KEY_FIELDS}))

    async def key(self, kid: KeyId) -> KeyRow | None:
        """Return a key, locked where this unit of work writes."""
        row = await self._row(line.key(locked=self._writes), of_kid=kid)
        return None if row is None else _key(row)

    async def keys(self, partner: PartnerId | None, states: Collection[KeyState], *, after: KeyId | None, limit: int) -> list[KeyRow]:
        """Return keys in one of `states`, by their ids."""
        given = {"states": sorted(state.value for state in states), "after": after or "", "limit": limit}
        given |= {} if partner is None else {"of_partner": partner}
        return [_key(row) for row in await self._rows(line.keys(of_partner=partner is not None), **given)]

    async def save_key(self, row: KeyRow) -> None:
        """Write what was decided of a locked key."""
        await self._run(line.save_key(), of_kid=row.kid, **{f"new_{name}": getattr(row, name) for name in line.DECIDED})


def _circuit(row: Row[Any]) -> Circuit:
    return Circuit(**{name: getattr(row, name) for name in line.CIRCUIT})


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value


def _key(row: Row[Any]) -> KeyRow:
    return KeyRow(**row._asdict() | {"state": KeyState(row.state)})
