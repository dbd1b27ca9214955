"""What both services share: a free port, waiting for an open one, and ending a process by its id."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from gateway.cli.devsetup import free

STOP_SECONDS = 20


class UnavailableError(Exception):
    """A service cannot be had on this machine; the text says what is missing."""


def free_port() -> int:
    """Return a loopback port that nothing listens on now, and that no outgoing connection takes while its process is away."""
    (port,) = free(1)
    return port


def tail(log: Path, *, lines: int = 15) -> str:
    """Return the end of a log, for the message of a failed start."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if log.exists() else ""


def alive(pid: int) -> bool:
    """Say whether a process still runs; our own child that has ended is collected on the way."""
    ended = _ended(pid)  # asked first: what ends after this is collected now, or seen the next time
    with suppress(ChildProcessError):  # another process of the test run started it
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    return not ended


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].startswith("Z")
    except FileNotFoundError:
        return True


def stop(pid: int, *, by: signal.Signals = signal.SIGTERM) -> None:
    """End one process by its id: politely, and after `STOP_SECONDS` by force."""
    for sign in (by, signal.SIGKILL):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            if not alive(pid):
                return
            time.sleep(0.05)


def wait_for_port(port: int, *, pid: int, log: Path, seconds: float = 60) -> None:
    """Return when somebody listens on `port`. Raises `RuntimeError` with the end of the log if the process ends first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if not alive(pid):
                raise RuntimeError(f"the service ended at its start:\n{tail(log)}") from None
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s:\n{tail(log)}")
