"""Reads `operators/<id>.toml`: one person a file, strictly, every fault of every file at once with file and line.

The public keys stand in the file itself, as JSON Web Keys with dates and `gw_use = "command"`, so that one file is all there is of a
person: taken away, nothing of theirs is believed any more.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.contract.values import PartnerId
from gateway.core import jwks
from gateway.core.keys import Use, VerifyKey
from gateway.core.operators import Operator, OperatorId, OperatorRole, Operators
from gateway.ops.faults import ConfigurationError, Fault, line_of, lines_of
from gateway.ops.profiles import ID

DEV_PREFIX: Final = "dev-"  # as of every other key (keystores/files.py)
_TOLD: Final = {"extra_forbidden": "unknown key", "missing": "is missing"}


class _Person(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str
    name: str = Field(min_length=1, max_length=100)
    roles: frozenset[OperatorRole] = Field(min_length=1)
    keys: list[dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that could be read, with the place of each key."""

    path: Path
    lines: Mapping[str, int]
    operator: Operator

    def fault(self, key: str, what: str, expected: str = "") -> Fault:
        return Fault(str(self.path), line_of(self.lines, key), key, what, expected)


def load_operators(directory: Path, *, partners: Collection[str], dev: bool = False) -> Operators:
    """Return the operators of a folder. `dev` lets keys through that say they are for development only.

    Raises `ConfigurationError` with every fault of every file.
    """
    files: list[_File] = []
    faults: list[Fault] = []
    for path in sorted(directory.glob("*.toml")):
        outcome = _read(path)
        if isinstance(outcome, _File):
            files.append(outcome)
            faults += _meaning(outcome, partners, dev=dev)
        else:
            faults += outcome
    faults += _shared(files)
    if faults:
        raise ConfigurationError(faults)
    return Operators(file.operator for file in files)


def _read(path: Path) -> _File | list[Fault]:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        content = json.dumps(tomllib.loads(text), default=str)
    except OSError as exc:
        return [Fault(str(path), 0, "", f"cannot be read: {exc.strerror}")]
    except ValueError:
        return [Fault(str(path), 1, "", "is not TOML in UTF-8")]
    lines = lines_of(text)
    try:
        person = _Person.model_validate_json(content)
        keys = jwks.read_keys(person.keys, PartnerId(person.id))
    except ValidationError as exc:
        told = exc.errors(include_input=False, include_url=False)
        placed = [(".".join(map(str, error["loc"])), _TOLD.get(error["type"], error["msg"])) for error in told]
        return [Fault(str(path), line_of(lines, key), key, what) for key, what in placed]
    except jwks.JwksError as exc:
        pointed = [fault.partition(": ") for fault in exc.faults]
        return [Fault(str(path), line_of(lines, _dotted(place)), _dotted(place), what) for place, _, what in pointed]
    operator = Operator(
        id=OperatorId(person.id), name=person.name, roles=person.roles, keys=tuple(key for key in keys if isinstance(key, VerifyKey)),
        digest=hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip
    return _File(path, lines, operator)


def _dotted(pointer: str) -> str:
    return pointer.strip("/").replace("/", ".")


def _meaning(file: _File, partners: Collection[str], *, dev: bool) -> Iterator[Fault]:
    operator = file.operator
    if ID.fullmatch(operator.id) is None:
        yield file.fault("id", "is no operator id", "2 to 32 of a-z, 0-9 and dash")
    if operator.id != file.path.stem:
        yield file.fault("id", "is not the file's name", f"{operator.id}.toml, or id = {json.dumps(file.path.stem)}")
    if operator.id in partners:
        yield file.fault("id", "is a partner's", "an id of the person's own")
    if not operator.keys:
        yield file.fault("keys", "none of them signs", f'a key with gw_use = "{Use.COMMAND}"')
    for key in operator.keys:
        if key.use is not Use.COMMAND:
            yield file.fault("keys", f"key {key.kid} is a {key.use} key", f'gw_use = "{Use.COMMAND}"')
        if key.kid.startswith(DEV_PREFIX) and not dev:
            yield file.fault("keys", f"key {key.kid} is for development only", "a key that the person made: gateway operator new")


def _shared(files: Collection[_File]) -> Iterator[Fault]:
    """Find keys that two people have: what one signs could be the other's."""
    owner: dict[tuple[str, ...], str] = {}
    for file in files:
        for key in file.operator.keys:
            jwk = jwks.write_jwk(key)
            first = owner.setdefault((jwk["x"], jwk.get("y", "")), file.operator.id)
            if first != file.operator.id:
                yield file.fault("keys", f"key {key.kid} is that of {first} too", "a key of the person's own")
