"""Ending a process by its id."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.services.processes import alive, stop


def test_a_child_that_was_ended_is_collected_so_that_nobody_takes_it_for_alive():
    """PostgreSQL refuses to start beside the file of a process that `kill -0` still finds."""
    for _ in range(100):  # the moment matters
        child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        assert alive(child.pid)
        stop(child.pid, by=signal.SIGKILL)
        assert not Path(f"/proc/{child.pid}").exists()
        child.returncode = -signal.SIGKILL  # else it would wait for it
