"""What the Dockerfile copies is enough to run: laid out as in the image and started there. No container engine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.ops.settings import ProcessRole

ROOT = Path(__file__).parents[3]
COPY = re.compile(r"^COPY (?:--from=build )?(\S+) (/app/\S+)$", re.MULTILINE)
IGNORED = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def copied() -> dict[str, str]:
    """Return what comes from the repository into the image, by where it goes."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return {target: source.removeprefix("/build/") for source, target in COPY.findall(text)}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's /app."""
    for target, source in copied().items():
        to = tmp_path / target.removeprefix("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, to)
    return tmp_path / "app"


@pytest.fixture
def setup(tmp_path: Path, image: Path) -> DevSetup:
    paths = {name: str(image / name) for name in ("schemas", "policies")}
    return make_dev_setup(tmp_path / "made", settings={ProcessRole.EMBEDDED: {"paths": paths}})


def run(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the image's entry point: nothing of the checkout is on its path."""
    command = [sys.executable, "-P", "-c", "import sys; sys.path.insert(0, sys.argv.pop(1)); from gateway.cli.main import app; app()"]
    return subprocess.run([*command, str(image), *arguments], cwd=image, capture_output=True, text=True, check=False, timeout=60)


def test_everything_that_is_copied_may_be_and_nothing_else_may() -> None:
    assert IGNORED[0] == "*", "what is not named stays out of the image"
    named = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert named == {*copied().values(), "pyproject.toml", "requirements"}


def test_a_gateway_would_start_from_the_image(image: Path, setup: DevSetup) -> None:
    checked = run(image, "serve", "--check", "--config", str(setup.settings[ProcessRole.EMBEDDED]))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.endswith("ok\n")


def test_without_the_page_of_problems_it_says_which_file_is_missing(image: Path, setup: DevSetup) -> None:
    (image / "docs" / "problems.md").unlink()
    config = str(setup.settings[ProcessRole.EMBEDDED])
    for command in (["serve", "--check"], ["serve"]):
        refused = run(image, *command, "--config", config)
        assert refused.returncode == 1
        assert f"{image}/docs/problems.md: cannot be read" in refused.stderr
        assert "Traceback" not in refused.stderr
