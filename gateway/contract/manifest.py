"""What an adapter says about itself: form, help, checks and masking come from its `manifest.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from gateway.contract.errors import OperatorError

CONTRACT_VERSION: Final = "1"


class Kind(StrEnum):
    """What an adapter is."""

    FORMAT = "format"
    TRANSPORT = "transport"


class Type(StrEnum):
    """The type of a setting."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    PATH = "path"  # of a file; what it holds never stands in the settings
    STRINGS = "strings"  # a list


class ManifestError(OperatorError):
    """A manifest is not what the contract asks for. Arguments: where it is, and every fault."""

    def __init__(self, where: str, faults: tuple[str, ...]) -> None:
        """Keep all faults: they are mended together."""
        super().__init__(where, *faults)
        self.where = where
        self.faults = faults


class SettingsError(OperatorError):
    """Settings of an adapter do not fit its manifest. Names keys, never values: a value may be a secret."""

    def __init__(self, adapter: str, faults: tuple[str, ...]) -> None:
        """Keep all faults: they are mended together."""
        super().__init__(adapter, *faults)
        self.adapter = adapter
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting of an adapter."""

    name: str
    label: str
    help: str
    type: Type = Type.STRING
    required: bool = False
    default: object = None
    secret: bool = False  # masked in console, logs and exports
    minimum: int | None = None
    maximum: int | None = None

    def fault(self, value: object) -> str | None:
        """Say what is wrong with `value`, without showing it; None where it fits."""
        if not _fits(self.type, value):
            return f"must be of type {self.type.value}"
        if self.type is Type.INTEGER and isinstance(value, int):
            if self.minimum is not None and value < self.minimum:
                return f"must be at least {self.minimum}"
            if self.maximum is not None and value > self.maximum:
                return f"must be at most {self.maximum}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An adapter's description of itself. `create` names its factory: `create(manifest, settings)`."""

    id: str
    kind: Kind
    summary: str
    create: str
    families: frozenset[str] = frozenset()  # of a format: what it can render
    media_types: frozenset[str] = frozenset()  # of a format: what it yields; of a transport: what it carries
    fields: Mapping[str, Field]

    def validate(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Return `settings` with defaults filled in. Raises `SettingsError` that names every fault at once."""
        faults = tuple(sorted(self._faults(settings)))
        if faults:
            raise SettingsError(self.id, faults)
        defaults = {name: field.default for name, field in self.fields.items()}
        return MappingProxyType({**defaults, **settings})

    def masked(self, settings: Mapping[str, object]) -> dict[str, object]:
        """Return `settings` as people may see them: a secret that is set shows as `***`, and so does what is not in the manifest."""
        return {name: value if name in self.fields and not self.fields[name].secret else "***" for name, value in settings.items()}

    def _faults(self, settings: Mapping[str, object]) -> Iterator[str]:
        for name in settings.keys() - self.fields.keys():
            yield f"{name}: is no setting of this adapter"
        for name, field in self.fields.items():
            if name not in settings:
                if field.required:
                    yield f"{name}: is missing"
            elif settings[name] is None and field.default is None and not field.required:
                continue  # left out, as `validate` fills it in: what it returned is valid again
            elif (fault := field.fault(settings[name])) is not None:
                yield f"{name}: {fault}"


def check_pair(document: Manifest, transport: Manifest) -> None:
    """Raise `SettingsError` unless `transport` carries what the format `document` yields."""
    if not document.media_types <= transport.media_types:
        fault = f"format {document.id} yields {', '.join(sorted(document.media_types))}, which this transport does not carry"
        raise SettingsError(transport.id, (fault,))


def parse(text: str, where: str) -> Manifest:
    """Return the manifest that `text` describes. Raises `ManifestError`: nothing is guessed, nothing unknown is passed over."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ManifestError(where, ("is not TOML",)) from exc
    faults = tuple(_manifest_faults(table))
    if faults:
        raise ManifestError(where, faults)
    return Manifest(
        id=table["id"],
        kind=Kind(table["kind"]),
        summary=table["summary"],
        create=table["create"],
        families=frozenset(table.get("families", ())),
        media_types=frozenset(table["media_types"]),
        fields=MappingProxyType({name: _field(name, spec) for name, spec in table.get("fields", {}).items()}),
    )


_MEMBERS: Final = {
    "id": Type.STRING,
    "kind": Type.STRING,
    "contract": Type.STRING,
    "summary": Type.STRING,
    "create": Type.STRING,
    "media_types": Type.STRINGS,
}
_FIELD_MEMBERS: Final = {
    "label": Type.STRING,
    "help": Type.STRING,
    "type": Type.STRING,
    "required": Type.BOOLEAN,
    "secret": Type.BOOLEAN,
    "minimum": Type.INTEGER,
    "maximum": Type.INTEGER,
}


def _fits(kind: Type, value: object) -> bool:
    match kind:
        case Type.STRING | Type.PATH:
            return isinstance(value, str) and bool(value)
        case Type.INTEGER:
            return type(value) is int  # True is an int for Python, not for a reader
        case Type.BOOLEAN:
            return isinstance(value, bool)
        case Type.STRINGS:
            return isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)


def _manifest_faults(table: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in _MEMBERS.items():
        if name not in table or not _fits(kind, table[name]):
            yield f"{name}: must be there, of type {kind.value}"
    for name in sorted(table.keys() - _MEMBERS.keys() - {"families", "fields"}):
        yield f"{name}: is no member of a manifest"
    if table.get("contract") != CONTRACT_VERSION:
        yield f"contract: must be {CONTRACT_VERSION!r}"
    if table.get("kind") not in list(Kind):
        yield f"kind: must be one of {', '.join(Kind)}"
    if not _fits(Type.STRINGS, table.get("families", [])) or (table.get("kind") == Kind.FORMAT) != bool(table.get("families")):
        yield "families: a list of names, for a format alone"
    fields = table.get("fields", {})
    if not isinstance(fields, dict):
        yield "fields: must be tables"
        return
    for name, spec in fields.items():
        yield from (f"fields.{name}.{fault}" for fault in _field_faults(spec))


def _field_faults(spec: object) -> Iterator[str]:
    if not isinstance(spec, dict):
        yield "must be a table"
        return
    for name in sorted({"label", "help", "type"} - spec.keys()):
        yield f"{name}: is missing"
    for name, value in spec.items():
        if name != "default" and (name not in _FIELD_MEMBERS or not _fits(_FIELD_MEMBERS[name], value)):
            yield f"{name}: is no member of a field, or of the wrong type"
    if spec.get("type") not in list(Type):
        yield f"type: must be one of {', '.join(Type)}"
    elif "default" in spec and not _fits(Type(spec["type"]), spec["default"]):
        yield "default: is not of the field's type"
    if spec.get("required") and "default" in spec:
        yield "default: a required field has none"


def _field(name: str, spec: Mapping[str, Any]) -> Field:
    default = spec.get("default")
    return Field(
        name=name,
        label=spec["label"],
        help=spec["help"],
        type=Type(spec["type"]),
        required=spec.get("required", False),
        default=tuple(default) if isinstance(default, list) else default,
        secret=spec.get("secret", False),
        minimum=spec.get("minimum"),
        maximum=spec.get("maximum"),
    )
