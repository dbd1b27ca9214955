"""What an operator must mend, told in plain lines on standard error: no traceback, exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from gateway.contract.errors import OperatorError

EXIT_FAULTS: Final = 1  # of typer itself: 2, usage


class Commands(TyperGroup):
    """A group of commands that tells an `OperatorError` as lines."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Every error that is nobody's to mend stays what it is."""
        try:
            return super().invoke(ctx)
        except OperatorError as exc:
            stop(lines_of(exc))
        except OSError as exc:
            if exc.filename is None:  # of no file: not an operator's to mend
                raise
            stop([f"{exc.filename}: {exc.strerror}"])


def lines_of(exc: OperatorError) -> Iterator[str]:
    """Yield every fault that an error carries, one a line."""
    faults = getattr(exc, "faults", None)
    if faults is not None:
        yield from map(str, faults)
    else:
        yield from (": ".join(map(str, exc.args)) or type(exc).__name__).splitlines()


def stop(lines: Iterator[str] | list[str], code: int = EXIT_FAULTS) -> NoReturn:
    """Write lines to standard error and end with `code`."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(code)
