"""What processes have used of the processors: wall-clock figures of a busy machine say little alone."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


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
