"""`gateway serve` as a process of its own: started, asked whether it is ready, stopped in order or killed."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.devsetup import REPOSITORY

GATEWAY = (sys.executable, "-m", "gateway.cli")
READY_SECONDS = 60
STOP_SECONDS = 30


def gateway(*arguments: str, tree: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run a command of `gateway` to its end, as it is in `tree`."""
    return subprocess.run([*GATEWAY, *arguments], cwd=tree, capture_output=True, text=True, timeout=60, check=False)


@dataclass(slots=True)
class Served:
    """One process of the gateway. `starts` are the seconds each start took until it was ready."""

    name: str
    settings: Path
    admin_port: int
    log: Path
    prefix: tuple[str, ...] = ()  # what runs the command, such as `ip netns exec`
    tree: Path = REPOSITORY  # where its code is
    starts: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it is ready later."""
        assert self._process is None
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            command = [*self.prefix, *GATEWAY, "serve", "--config", str(self.settings)]
            self._process = subprocess.Popen(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def until_ready(self) -> float:
        """Wait until it says it can work; return how long that took since its start."""
        end = self._started + READY_SECONDS
        while missing := self.missing():
            if self._process is None or self._process.poll() is not None:
                code = self._process and self._process.returncode
                raise AssertionError(f"{self.name} has ended, exit code {code}\n{self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} is not ready after {READY_SECONDS} s: {missing}\n{self.tail()}")
            time.sleep(0.02)
        self.starts.append(time.monotonic() - self._started)
        return self.starts[-1]

    def missing(self) -> list[str]:
        """Return what it says is missing before it can work."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
            try:
                connection.request("GET", "/readyz")
                answer: list[str] = json.loads(connection.getresponse().read())["missing"]
            finally:
                connection.close()
        except OSError:
            return ["an answer"]
        return answer

    @property
    def has_ended(self) -> bool:
        """Say whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it in order; return its exit code, which is 0 after a drain."""
        return self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(by)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not stop in {STOP_SECONDS} s\n{self.tail()}") from None

    def tail(self, *, lines: int = 25) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
