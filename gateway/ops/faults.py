"""Faults of configuration, told all at once: the place, what is wrong, what would be right. Never a value: it may be a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.contract.errors import OperatorError

_TABLE: Final = re.compile(r"\s*\[(\[)?\s*([A-Za-z0-9_.\"-]+)\s*\]?\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]+\")\s*=")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: in which file and line (0: none, as of the environment), of which key."""

    file: str
    line: int
    key: str
    what: str
    expected: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.key}{': ' if self.key else ''}{self.what}{'; ' if self.expected else ''}{self.expected}"


class ConfigurationError(OperatorError):
    """The configuration cannot be used. Carries every fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep all faults, in order of place; the text lists them, one a line."""
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


def lines_of(text: str) -> Mapping[str, int]:
    """Return the line on which each key of a TOML text stands, by its dotted path (`receives.0.family`). tomllib does not tell."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        table, key = _TABLE.match(line), _KEY.match(line)
        if table is not None:
            name = table[2].replace('"', "")
            if table[1]:
                counts[name] = counts.get(name, -1) + 1
                found.setdefault(name, number)
                name = f"{name}.{counts[name]}"
            prefix = f"{name}."
            found.setdefault(name, number)
        elif key is not None:
            found.setdefault(prefix + key[1].strip('"'), number)
    return found


def line_of(lines: Mapping[str, int], path: str) -> int:
    """Return the line of a path, or of the nearest thing around it; the first line where there is none."""
    while path:
        if path in lines:
            return lines[path]
        path = path.rpartition(".")[0]
    return 1
