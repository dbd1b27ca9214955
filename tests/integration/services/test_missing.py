"""Where a service cannot be had, its tests say so and are skipped; where the run is to be complete they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("test_services.py")


def run_without_java_and_maven(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the broker's tests on a machine that has neither."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_TEST_", "PYTEST_")) and name != "CI"}
    environment = kept | {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")} | more
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "broker", str(TESTS)]
    return subprocess.run(command, env=environment, cwd=TESTS.parents[3], capture_output=True, text=True, check=False, timeout=60)


def test_what_cannot_be_had_is_skipped_with_its_reason(tmp_path: Path) -> None:
    done = run_without_java_and_maven(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert "no `mvn` to fetch the broker's jars with" in done.stdout


def test_in_ci_it_is_a_failure_with_the_same_reason(tmp_path: Path) -> None:
    done = run_without_java_and_maven(tmp_path, CI="true")
    assert done.returncode == 1
    assert "passed" not in done.stdout
    assert "CI needs this service. Kafka: no `mvn`" in done.stdout


@pytest.mark.services
def test_an_address_in_the_environment_is_used_instead(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kafka = request.getfixturevalue("kafka")
    done = run_without_java_and_maven(tmp_path, **kafka.environment)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
