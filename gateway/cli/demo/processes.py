"""The processes of the demonstration. Each is stopped by its own id, whatever happens here."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.cli.devsetup import REPOSITORY
from gateway.contract.errors import OperatorError
from gateway.ops.settings import PREFIX

STOP_SECONDS: Final = 15.0  # for draining; then it is killed


class StartError(OperatorError):
    """A process of the demonstration ended by itself. Carries the end of what it said."""


class Processes:
    """Started together, stopped together. An async context manager."""

    def __init__(self, logs: Path) -> None:
        """Write what each says to `logs`/<name>.log."""
        self._logs = logs
        self._running: dict[str, Process] = {}

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything that was started."""
        await asyncio.shield(asyncio.gather(*map(_stop, self._running.values())))

    async def start(self, name: str, module: str, *arguments: str | Path) -> Process:
        """Start `python -m module`. Settings in our environment are not for it."""
        environment = {key: value for key, value in os.environ.items() if not key.upper().startswith(PREFIX)}
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *map(str, arguments), cwd=REPOSITORY, env=environment, stdin=PIPE, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C is for us alone: we stop them in order
            )  # fmt: skip
        self._running[name] = process
        return process

    async def begin(self) -> None:
        """Tell every process that things begin: a line on its standard input."""
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.write(b"begin\n")

    def check(self) -> None:
        """Raise `StartError` if a process has ended."""
        for name, process in self._running.items():
            if process.returncode is not None:
                tail = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
                raise StartError("\n".join([f"{name} has ended with code {process.returncode}; it said:", *tail]))


async def run(*arguments: str | Path) -> tuple[int, str]:
    """Run a `gateway` command to its end; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *map(str, arguments), cwd=REPOSITORY, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    said, errors = await process.communicate()
    return process.returncode or 0, (said + errors).decode("utf-8", "replace")


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
