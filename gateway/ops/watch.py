"""Files that are read again when they change: a certificate that was renewed, a key set that was published anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.contract.errors import OperatorError
from gateway.ops.telemetry import Telemetry


class Watch:
    """Calls `read` when one of the files is another; what was read before stays in use while they cannot be read."""

    def __init__(self, files: Sequence[Path], read: Callable[[], None], telemetry: Telemetry, *, name: str) -> None:
        """Take files that were read a moment ago. `name` is the event that is told where they cannot be read again."""
        self._files, self._read, self._telemetry, self._name = files, read, telemetry, name
        self._seen = self._state()

    async def run_once(self) -> int:
        """Look, and read again what changed. Nobody notices a file that is half written: it is read at the next look."""
        state = await asyncio.to_thread(self._state)
        if state == self._seen:
            return 0
        try:
            await asyncio.to_thread(self._read)
        except (OperatorError, OSError) as exc:
            self._telemetry.event(self._name, code=type(exc).__name__)
        else:
            self._seen = state
        return 0

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_identity(path) for path in self._files)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
