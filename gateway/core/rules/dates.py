"""Reckoning with days: ages from birth dates of any precision, and periods of months and years."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from typing import Final

from gateway.contract.errors import InvariantError
from gateway.core.rules.tables import RuleRow, Unit

SATURDAY: Final = 5  # of date.weekday()


def ages(birth: str, on: date) -> tuple[int, int]:
    """Return the least and the greatest age on a day of somebody born on a day of any precision (YYYY, YYYY-MM, YYYY-MM-DD)."""
    known = [int(part) for part in birth.split("-")]
    (year, *late), (_, *early) = (*known, *(12, 31)[len(known) - 1 :]), (*known, *(1, 1)[len(known) - 1 :])
    least, greatest = (on.year - year - ((on.month, on.day) < tuple(day)) for day in (late, early))
    return least, greatest


def after(start: date, row: RuleRow) -> date:
    """Return the day a row's period after a start. A day a month does not have is its last. Raises `InvariantError` for hours."""
    return moved(start, row, 1)


def before(end: date, row: RuleRow) -> date:
    """Return the day a row's period before an end. Raises `InvariantError` for hours."""
    return moved(end, row, -1)


def moved(day: date, row: RuleRow, direction: int) -> date:
    """Return a day moved by a row's period, forwards (1) or back (-1). Raises `InvariantError` for a row that counts no days."""
    amount = direction * row.quantity
    if row.unit is Unit.DAYS:
        return day + timedelta(days=amount)
    if row.unit is Unit.WORKING_DAYS:
        return _worked(day, amount)
    if row.unit not in {Unit.MONTHS, Unit.YEARS}:
        raise InvariantError("no period of days", row.id)
    year, month = divmod(day.year * 12 + day.month - 1 + amount * (12 if row.unit is Unit.YEARS else 1), 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _worked(day: date, amount: int) -> date:
    """Return the day so many working days later, or earlier; a start on no working day counts from there."""
    step = timedelta(days=1 if amount > 0 else -1)
    while amount:
        day += step
        if day.weekday() < SATURDAY:
            amount -= step.days
    return day
