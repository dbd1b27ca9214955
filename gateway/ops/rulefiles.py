"""Reads `schemas/rules/*.toml` into rule tables, all or nothing."""

from __future__ import annotations

import tomllib
from hashlib import sha256
from pathlib import Path

from gateway.contract.errors import OperatorError
from gateway.core.rules.tables import RuleRow, RuleTables, parse_rows, repeated


class RuleFilesError(OperatorError):
    """The rule tables cannot be used. Names every fault with its file and row."""


def load_rule_tables(folder: Path) -> RuleTables:
    """Read every rule file of a folder. The digest covers names and bytes. Raises `RuleFilesError`, with all faults at once."""
    rows: list[RuleRow] = []
    faults: list[str] = []
    digest = sha256()
    files = sorted(folder.glob("*.toml"))
    for file in files:
        raw = file.read_bytes()
        digest.update(f"{file.name}\0{len(raw)}\0".encode() + raw)
        try:
            document = tomllib.loads(raw.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            faults.append(f"{file.name}: not TOML: {exc}")
            continue
        found, wrong = parse_rows(document, file=file.name)
        rows += found
        faults += wrong
    faults += repeated(rows)
    if not files:
        faults.append(f"{folder}: no rule files")
    if faults:
        raise RuleFilesError("; ".join(faults))
    return RuleTables(tuple(rows), digest.hexdigest())
