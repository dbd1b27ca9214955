"""What the checks of this package raise."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.contract.errors import OperatorError

UNREADABLE: Final = (
    msgspec.MsgspecError,
    ValueError,
    RecursionError,
)  # what msgspec raises: also for bad UTF-8, and for a tower of brackets


class EvidenceError(OperatorError):
    """The evidence does not hold together: somebody must find out why. `faults` name leaves, sizes, keys and files, never content."""

    def __init__(self, *faults: str) -> None:
        """Keep all faults."""
        self.faults = faults
        super().__init__("; ".join(faults))
