from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.contract.loading import GROUP, AdapterError, load

OURS = {"native": "adapters.formats.native", "https_push": "adapters.transports.https_push"}
MANIFEST = """
id = "{id}"
kind = "format"
contract = "1"
summary = "Made by somebody else."
create = "{create}"
families = ["travel-notification"]
media_types = ["application/secevent+jwt"]
"""


@pytest.fixture
def install(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    """Install somebody else's adapter for real: a package and its distribution's metadata on the path."""
    sys.path.insert(0, str(tmp_path))

    def made(package: str, entry: str, *, calls_itself: str, create: str = "create", code: str = "") -> None:
        folder, info = tmp_path / package, tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        info.mkdir()
        (folder / "__init__.py").write_text(code, encoding="utf-8")
        (folder / "manifest.toml").write_text(MANIFEST.format(id=calls_itself, create=create), encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry} = {package}\n", encoding="utf-8")

    yield made
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("foreign_")]:
        del sys.modules[name]


def test_ours_are_loaded_by_name():
    assert {name: adapter.manifest.kind for name, adapter in load(OURS, ours=OURS).items()} == {
        "native": "format",
        "https_push": "transport",
    }


def test_an_unknown_id_is_refused():
    with pytest.raises(AdapterError, match="not known"):
        load(["carrier_pigeon"], ours=OURS)


def test_an_adapter_of_somebody_else_is_found_by_its_entry_point(install):
    install("foreign_a", "theirs", calls_itself="theirs", code="def create(manifest, settings): return 'no format'")
    [adapter] = load(["theirs"], ours=OURS).values()
    assert adapter.manifest.summary == "Made by somebody else."
    with pytest.raises(AdapterError, match="gives no format"):
        adapter.format({})


def test_what_is_installed_but_not_named_is_not_imported(install):
    install("foreign_b", "unnamed", calls_itself="unnamed", code="raise SystemExit")
    load(["native"], ours=OURS)
    assert "foreign_b" not in sys.modules


def test_an_entry_point_cannot_stand_in_for_one_of_ours(install):
    install("foreign_c", "native", calls_itself="native", code="raise SystemExit")
    assert load(["native"], ours=OURS)["native"].package.__name__ == "adapters.formats.native"


def test_two_entry_points_of_one_id_are_refused(install):
    install("foreign_d", "twice", calls_itself="twice")
    install("foreign_e", "twice", calls_itself="twice")
    with pytest.raises(AdapterError, match="installed twice"):
        load(["twice"], ours=OURS)


def test_an_adapter_that_calls_itself_otherwise_is_refused(install):
    install("foreign_f", "mine", calls_itself="yours")
    with pytest.raises(AdapterError, match="calls itself yours"):
        load(["mine"], ours=OURS)


def test_an_adapter_that_does_not_import_is_refused(install):
    install("foreign_g", "broken", calls_itself="broken", code="import no_such_module_anywhere")
    with pytest.raises(AdapterError, match="cannot be loaded"):
        load(["broken"], ours=OURS)


def test_a_factory_that_is_not_there_is_refused(install):
    install("foreign_h", "empty", calls_itself="empty", create="make")
    with pytest.raises(AdapterError, match="no factory make"):
        load(["empty"], ours=OURS)["empty"].format({})


@pytest.mark.parametrize(("name", "as_what"), [("native", "transport"), ("https_push", "format")])
def test_an_adapter_of_the_other_kind_is_refused(name, as_what):
    with pytest.raises(AdapterError, match=f"is no {as_what}"):
        getattr(load([name], ours=OURS)[name], as_what)({})
