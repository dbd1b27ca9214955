"""What processes have used of the machine: wall-clock figures of a busy one say little alone."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = frozenset({"register", "partners"})


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, of those it has started, and of those of them that have ended."""
    times: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = stat.read_text(encoding="utf-8", errors="replace").rsplit(") ", 1)[1].split()
        except OSError:  # it has just ended
            continue
        number = int(stat.parent.name)
        times[number] = sum(map(int, values[11:15])) / TICKS  # utime, stime, cutime, cstime
        children[int(values[1])].append(number)
    wanted, total = [pid], 0.0
    while wanted:
        one = wanted.pop()
        total += times.get(one, 0.0)
        wanted += children[one]
    return total


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def gateway_cores(found: Mapping[str, Any]) -> float:
    """Return how many processors the gateway's own processes kept busy."""
    return float(sum(cores for name, cores in found["cores"].items() if name not in CLIENTS))


def clients_cores(found: Mapping[str, Any]) -> float:
    """Return how many the register and the partners kept busy beside it."""
    return float(sum(cores for name, cores in found["cores"].items() if name in CLIENTS))
