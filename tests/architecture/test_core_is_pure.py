"""What imports alone do not show: core asks no clock, opens no file, waits for nothing, and imports only what is on the list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "gateway" / "core").rglob("*.py"))
CONTRACT = sorted((ROOT / "gateway" / "contract").glob("*.py"))
LIBRARIES = {"cryptography", "jwt", "joserfc", "msgspec", "jiter", "jsonschema", "jsonschema_rs", "cedarpy", "referencing"}
STANDARD = {
    "__future__", "base64", "binascii", "bisect", "calendar", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "functools",
    "hashlib", "hmac", "itertools", "json", "math", "operator", "re", "string", "struct", "textwrap", "types", "typing", "unicodedata", "urllib", "uuid",
    "abc", "contextlib", "graphlib",
}  # fmt: skip
CALLS = {"open", "print", "input", "eval", "exec", "__import__"}
CLOCKS = {"now", "utcnow", "today"}


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide from review"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_only_what_is_on_the_list(path: Path) -> None:
    strangers = _imports(ast.parse(path.read_text(encoding="utf-8"))) - LIBRARIES - STANDARD - {"gateway"}
    assert not strangers, f"{path.name} imports {strangers}: one more library takes a decision record"


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_owns_no_clock_no_file_and_no_waiting(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.name}:{node.lineno} waits"
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else None
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else None
            assert name not in CALLS, f"{path.name}:{node.lineno} calls {name}"
            if attribute in CLOCKS and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                assert owner not in {"datetime", "date", "time"}, f"{path.name}:{node.lineno} asks the clock"


@pytest.mark.parametrize("path", CONTRACT, ids=lambda p: p.name)
def test_contract_imports_the_standard_library_and_itself(path: Path) -> None:
    import sys

    strangers = _imports(ast.parse(path.read_text(encoding="utf-8"))) - set(sys.stdlib_module_names) - {"gateway"}
    assert not strangers


@pytest.mark.parametrize("path", [*CORE, *CONTRACT], ids=lambda p: str(p.relative_to(ROOT)))
def test_values_are_frozen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            if "dataclass" in text and not node.name.startswith("_"):
                assert "frozen=True" in text, f"{path.name}: {node.name} is a value that can change"
