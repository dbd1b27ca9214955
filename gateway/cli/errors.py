"""What an operator must mend, told in plain lines on standard error: no traceback, exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from gateway.contract.errors import OperatorError
from gateway.ops.faults import ConfigurationError, Fault

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


def read_bytes(path: Path) -> bytes:
    """Return what a file holds. Raises `ConfigurationError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise fault_in(path, f"cannot be read: {exc.strerror}") from exc


def fault_in(path: Path, what: str, expected: str = "") -> ConfigurationError:
    """Return the error of one fault in a file that an operator named."""
    return ConfigurationError([Fault(str(path), 0, "", what, expected)])


def stop(lines: Iterator[str] | list[str], code: int = EXIT_FAULTS) -> NoReturn:
    """Write lines to standard error and end with `code`."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(code)
