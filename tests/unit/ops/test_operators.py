"""Operators' files: read strictly, every fault of all of them at once."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli.devsetup import make_operator, to_toml
from gateway.contract.values import PartnerId
from gateway.core import jwks
from gateway.core.keys import Use
from gateway.core.operators import OperatorRole, Operators
from gateway.keystores.generate import Plan, new_pair
from gateway.ops.faults import ConfigurationError
from gateway.ops.operators import load_operators

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def jwk(*, use: Use = Use.COMMAND, dev: bool = False, **change: object) -> dict[str, object]:
    made = jwks.write_jwk(new_pair(Plan(owner=PartnerId("x"), now=NOW, dev=dev), use).entry)
    return {name: value for name, value in {**made, **change}.items() if value is not ...}


def person(**change: object) -> dict[str, object]:
    made = {"id": "desk-reviewer", "name": "B. Reviewer", "roles": ["reviewer"], "keys": [jwk()], **change}
    return {name: value for name, value in made.items() if value is not ...}


def load(folder: Path, *people: dict[str, object], dev: bool = False) -> Operators:
    for one in people:
        (folder / f"{one.get('id', 'desk-reviewer')}.toml").write_text(to_toml(one), encoding="utf-8")
    return load_operators(folder, partners={"gb-register"}, dev=dev)


def faults(folder: Path, *people: dict[str, object], dev: bool = False) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, *people, dev=dev)
    return [str(fault).removeprefix(f"{folder}/") for fault in caught.value.faults]


def test_the_shipped_examples_are_right_in_dev_and_refused_elsewhere():
    operators = load_operators(ROOT / "operators", partners=set(), dev=True)
    assert {role for operator in operators for role in operator.roles} == set(OperatorRole)
    with pytest.raises(ConfigurationError) as caught:
        load_operators(ROOT / "operators", partners=set())
    assert len(caught.value.faults) == len(list(operators))


def test_a_person_is_read_with_roles_keys_and_digest(tmp_path: Path):
    (found,) = load(tmp_path, person(roles=["dpo", "auditor"]))
    assert (found.id, found.roles) == ("desk-reviewer", {OperatorRole.DPO, OperatorRole.AUDITOR})
    assert [(key.owner, key.use) for key in found.keys] == [("desk-reviewer", Use.COMMAND)]
    assert found.digest == hashlib.sha256((tmp_path / "desk-reviewer.toml").read_bytes()).hexdigest()


def test_what_the_command_makes_is_read(tmp_path: Path):
    written = make_operator(
        Plan(owner=PartnerId("desk-a"), now=NOW), "A", [OperatorRole.ADMIN], profiles=tmp_path / "o", own=tmp_path / "own", me={}
    )
    (found,) = load_operators(tmp_path / "o", partners=set())
    assert [f"{key.kid}.pem" for key in found.keys] == [path.name for path in written if path.suffix == ".pem"]
    assert {path.stat().st_mode & 0o777 for path in written if path.parent.name == "own"} == {0o600}


def test_a_key_is_never_overwritten(tmp_path: Path):
    plan = Plan(owner=PartnerId("desk-a"), now=NOW)
    folders = {"profiles": tmp_path / "o", "own": tmp_path / "own"}
    make_operator(plan, "A", [OperatorRole.ADMIN], **folders, me={})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError):
        make_operator(plan, "B", [OperatorRole.ADMIN], **folders, me={})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_empty_folder_has_nobody_in_it(tmp_path: Path):
    assert list(load_operators(tmp_path, partners=set())) == []


ONE_FAULT = {
    "no roles": (person(roles=[]), ["roles"]),
    "a role nobody has": (person(roles=["king"]), ["roles.0"]),
    "an unknown key": (person(rank="major"), ["rank"]),
    "no name": (person(name=""), ["name"]),
    "no keys": (person(keys=...), ["keys"]),
    "an empty list of keys": (person(keys=[]), ["keys"]),
    "a partner's id": (person(id="gb-register"), ["id"]),
    "an id that is none": (person(id="Desk"), ["id"]),
    "a key of another use": (person(keys=[jwk(use=Use.REQUEST)]), ["keys"]),
    "a key to encrypt to": (person(keys=[jwk(use=Use.ENCRYPT)]), ["keys"]),
    "a key for development": (person(keys=[jwk(dev=True)]), ["keys"]),
    "a private member": (person(keys=[jwk(d="AAAA")]), ["keys.0.d"]),
    "a key without its end": (person(keys=[jwk(valid_to=...)]), ["keys.0.valid_to"]),
    "a point that is none": (person(keys=[jwk(x="AAAA")]), ["keys.0.x"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_FAULT)
def test_a_fault_is_told_with_its_place(tmp_path: Path, case: str):
    table, keys = ONE_FAULT[case]
    told = faults(tmp_path, table)
    assert [line.split(": ")[1] for line in told] == keys, told
    assert all(line.split(":")[1].isdigit() for line in told)


def test_a_file_under_another_name_is_refused(tmp_path: Path):
    (tmp_path / "someone.toml").write_text(to_toml(person()), encoding="utf-8")
    assert "is not the file's name" in faults(tmp_path)[0]


def test_two_people_do_not_share_a_key(tmp_path: Path):
    shared = jwk()
    (told,) = faults(tmp_path, person(keys=[shared]), person(id="desk-admin", keys=[{**shared, "kid": "another"}]))
    assert "is that of desk-admin too" in told


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path):
    (tmp_path / "broken.toml").write_bytes(b"\xff")
    told = faults(tmp_path, person(roles=[], rank="major"), person(id="gb-register"))
    assert len(told) == 4
