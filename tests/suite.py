"""Every test: what needs no service first; then the shared services' tests; then the short form of the trials.

One after the other: trials keep both processors of a small machine busy in bursts, and a test that says how long something may take beside
them says more about the machine than about the gateway.
"""

from __future__ import annotations

import subprocess
import sys

PYTEST = (sys.executable, "-m", "pytest", "--tb=short", "--durations=15")
ALONE = (*PYTEST, "-n", "2", "-m", "not services and not trials")
SERVICES = (*PYTEST, "-m", "services and not trials")
TRIALS = (*PYTEST, "-m", "trials")


def main() -> int:
    """Run all; return 1 where anything failed."""
    failed = [command for command in (ALONE, SERVICES, TRIALS) if subprocess.run(command, check=False).returncode != 0]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
