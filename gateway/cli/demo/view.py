"""What one sees while the demonstration runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.cli.demo.register import Expected, Tally

Legs = Mapping[str, Mapping[str, int]]  # partner → state → how many
COLUMNS: Final = ("planned", "ready", "sending", "available", "held", "delivered", "receipted", "refused", "expired", "cancelled", "dead")
ALWAYS: Final = frozenset({"ready", "sending", "delivered", "receipted"})
LINE_SECONDS: Final = 1.0


class View:
    """Shows how far things are. A context manager."""

    def __init__(self, out: Console, tally: Tally) -> None:
        """Show on `out`."""
        self._out, self._tally = out, tally
        self._bars = Progress(TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        self._submitted = self._bars.add_task("answered", total=tally.total)
        self._ended: TaskID = self._bars.add_task("legs ended", total=None)
        self._live = Live(console=out, refresh_per_second=8) if out.is_terminal else None
        self._last, self._told = "", 0.0

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def show(self, legs: Legs, still_open: int, *, last: bool = False) -> None:
        """Show this state of the legs, `still_open` of them not ended. Lines come once a second at most, but the `last` one always."""
        ended = sum(sum(states.values()) for states in legs.values()) - still_open
        if self._live is not None:
            self._bars.update(self._submitted, completed=len(self._tally.answered))
            self._bars.update(self._ended, completed=ended, total=ended + still_open)
            self._live.update(Group(self._bars, self._answers(), _legs(legs)))
            return
        line = f"answered {len(self._tally.answered)}/{self._tally.total}, legs ended {ended}/{ended + still_open}"
        now = time.monotonic()
        if line != self._last and (last or now - self._told >= LINE_SECONDS):
            self._out.print(line)
            self._last, self._told = line, now
        if last:
            self._out.print(Group(self._answers(), _legs(legs)))

    def _answers(self) -> Table:
        tally = self._tally
        table = Table("answers", "", box=None, show_header=False)
        table.add_row("[green]accepted[/]", str(len(tally.of(Expected.ACCEPTED))))
        table.add_row("[green]repeated[/]", str(len(tally.of(Expected.REPEATED))))
        for code, count in sorted(tally.codes.items()):
            table.add_row(f"[red]rejected[/] {code}", str(count))
        return table


def _legs(legs: Legs) -> Table:
    used = {state for states in legs.values() for state in states} | ALWAYS
    columns = [state for state in COLUMNS if state in used]
    table = Table("partner", *columns, title="Legs by state", title_justify="left")
    for partner, states in sorted(legs.items()):
        table.add_row(partner, *(str(states.get(state, "")) for state in columns))
    return table
