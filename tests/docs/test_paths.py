"""What our pages point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("keys/*.md")])
CODE = re.compile(r"`((?:tests|gateway|adapters|schemas|policies|docs|deploy|benchmarks|keys)/[A-Za-z0-9_./*-]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
MADE = {
    "keys/trust/",
    "keys/private/",
    "keys/root/",
    "keys/dev/",
    "deploy/secrets",
    "deploy/secrets/",
}  # by commands, not in the repository
PLACEHOLDERS = {"docs/howto/add-a-family.md"}  # speaks of files that are yet to be written


@pytest.mark.parametrize(
    "page", [page for page in PAGES if str(page.relative_to(ROOT)) not in PLACEHOLDERS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_path_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {ROOT / name for name in CODE.findall(text) if name not in MADE} | {page.parent / name for name in LINK.findall(text)}
    missing = [str(path) for path in named if not (list(path.parent.glob(path.name)) if "*" in path.name else path.exists())]
    assert not missing
