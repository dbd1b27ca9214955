"""Every test: what needs no service first; then the shared services' tests, one at a time, with the short form of the trials beside them.

Trials have services of their own and mostly wait, so the two share the machine well; more than one trial at once would not leave the other
tests the time they need. What the trials print comes when both have ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence

PYTEST = (sys.executable, "-m", "pytest", "--tb=short")
ALONE = (*PYTEST, "-n", "2", "-m", "not services and not trials")
SERVICES = (*PYTEST, "-m", "services and not trials")
TRIALS = (*PYTEST, "-m", "trials")


def main() -> int:
    """Run all; return 1 where anything failed."""
    failed = subprocess.run(ALONE, check=False).returncode != 0
    return int(_together(SERVICES, TRIALS) or failed)


def _together(shown: Sequence[str], beside: Sequence[str]) -> bool:
    """Run two commands at once, the second into a file that is shown at the end; say whether one failed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told, subprocess.Popen(beside, stdout=told, stderr=subprocess.STDOUT) as other:
        first = subprocess.run(shown, check=False).returncode
        second = other.wait()
        told.seek(0)
        sys.stdout.write(told.read())
    return first != 0 or second != 0


if __name__ == "__main__":
    sys.exit(main())
