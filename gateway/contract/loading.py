"""Loads adapters: only those the configuration names, ours by their package, other people's by entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata, resources
from types import ModuleType
from typing import Final, TypeVar

from gateway.contract.errors import OperatorError
from gateway.contract.formats import Format
from gateway.contract.manifest import Kind, Manifest, parse
from gateway.contract.transports import Transport

GROUP: Final = "gateway.adapters"  # entry points of third parties: name = adapter id, value = its package
_Made = TypeVar("_Made")


class AdapterError(OperatorError):
    """An adapter that the configuration names is unknown, there twice, or not what it says."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded adapter: its manifest, and the package with the factory it names."""

    manifest: Manifest
    package: ModuleType

    def format(self, settings: Mapping[str, object]) -> Format:
        """Return a format with checked settings. Raises `SettingsError`, and `AdapterError` where the adapter is none."""
        return self._make(Format, Kind.FORMAT, settings)  # type: ignore[type-abstract]  # only isinstance is asked of it

    def transport(self, settings: Mapping[str, object]) -> Transport:
        """Return a transport with checked settings. Raises `SettingsError`, and `AdapterError` where the adapter is none."""
        return self._make(Transport, Kind.TRANSPORT, settings)  # type: ignore[type-abstract]  # only isinstance is asked of it

    def _make(self, wanted: type[_Made], kind: Kind, settings: Mapping[str, object]) -> _Made:
        if self.manifest.kind is not kind:
            raise AdapterError(self.manifest.id, f"is no {kind.value}")
        factory = getattr(self.package, self.manifest.create, None)
        if factory is None:
            raise AdapterError(self.manifest.id, f"has no factory {self.manifest.create}")
        made = factory(self.manifest, self.manifest.validate(settings))
        if not isinstance(made, wanted):
            raise AdapterError(self.manifest.id, f"its factory gives no {kind.value}")
        return made


def load(ids: Iterable[str], *, ours: Mapping[str, str]) -> dict[str, Adapter]:
    """Return the named adapters. `ours` is id → package; any other id must be exactly one entry point of `GROUP`.

    Nothing else is imported, whatever is installed, and an entry point cannot stand in for one of ours.
    Raises `AdapterError` and `ManifestError`.
    """
    return {adapter_id: _load(adapter_id, ours.get(adapter_id) or _foreign(adapter_id)) for adapter_id in sorted(set(ids))}


def _foreign(adapter_id: str) -> str:
    found = metadata.entry_points(group=GROUP, name=adapter_id)
    if len(found) != 1:
        raise AdapterError(adapter_id, "is installed twice" if found else "is not known")
    (entry,) = found
    return entry.module


def _load(adapter_id: str, package: str) -> Adapter:
    try:
        text = (resources.files(package) / "manifest.toml").read_text(encoding="utf-8")
        module = import_module(package)
    except (ImportError, OSError) as exc:
        raise AdapterError(adapter_id, f"package {package} cannot be loaded") from exc
    manifest = parse(text, f"{package}/manifest.toml")
    if manifest.id != adapter_id:
        raise AdapterError(adapter_id, f"package {package} calls itself {manifest.id}")
    return Adapter(manifest, module)
