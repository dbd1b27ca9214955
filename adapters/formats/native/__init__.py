"""The native format: the view's event, unchanged, under its family's URI (domain.md e.7)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.contract.formats import Format
from gateway.contract.manifest import Manifest, SettingsError
from gateway.contract.values import Document, View


class NativeFormat(Format):
    """Renders a view as it is. The event carries `handling`, and in it the conditions and the environment's mark."""

    def __init__(self, manifest: Manifest, uri_base: str) -> None:
        """Take id and families from the manifest. `uri_base` has no slash at its end."""
        self.id = manifest.id
        self.families = manifest.families
        self._uri_base = uri_base

    def _render(self, view: View) -> Document:
        return Document(f"{self._uri_base}/{view.family.name}/{view.family.version}", view.event)

    def shows_conditions(self) -> bool:
        """Say yes: `handling` travels whole."""
        return True


def create(manifest: Manifest, settings: Mapping[str, object]) -> NativeFormat:
    """Return the format. Raises `SettingsError` where `uri_base` is no https URI."""
    uri_base = str(settings["uri_base"])
    if not uri_base.startswith("https://") or uri_base.endswith("/"):
        raise SettingsError(manifest.id, ("uri_base: must start with https:// and not end with a slash",))
    return NativeFormat(manifest, uri_base)
