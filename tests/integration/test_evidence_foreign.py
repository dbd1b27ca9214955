"""The log held against an implementation that is not ours: Go's `sumdb/tlog` and `sumdb/note`, which its checksum database runs on."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.core.evidence import merkle
from gateway.core.evidence.merkle import Edge, append, consistency_spans, inclusion_spans, leaf_hash
from tests.vectors.evidence import SIGNER, log, note

MODULE = Path(__file__).parents[1] / "foreign" / "go"
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
LOG = log(37)
SIZES = (1, 2, 7, 8, 16, 31, 37)


def cannot(reason: str) -> None:
    """Skip with a reason on a desk; fail where everything must have run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def checker(tmp_path_factory) -> Path:
    if GO is None:
        cannot("go is not installed: proofs are not checked by a foreign implementation")
        raise AssertionError
    program = tmp_path_factory.mktemp("go") / "evidence"
    environment = os.environ | {"GOFLAGS": "-mod=readonly -buildvcs=false"}
    built = subprocess.run(
        [GO, "build", "-o", str(program), "./evidence"],
        cwd=MODULE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if built.returncode != 0:
        cannot(f"the foreign checker does not build: {built.stderr.strip()}")
    return program


def run(checker: Path, exported: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([checker], input=json.dumps(exported), capture_output=True, text=True, timeout=60, check=False)


def encoded(path: tuple[bytes, ...]) -> list[str]:
    return [base64.b64encode(step).decode() for step in path]


@pytest.fixture
def exported() -> dict[str, Any]:
    """Everything we can say of one log: all notes, all entries, every proof between the sizes signed."""
    nodes = {(level, index): here for level, index, here in append(Edge(), map(leaf_hash, LOG))[1]}
    return {
        "key": SIGNER.key.vkey,
        "notes": [note(LOG[:size]) for size in SIZES],
        "entries": encoded(tuple(LOG)),
        "inclusion": [
            {"index": index, "size": size, "path": encoded(merkle.proof(inclusion_spans(index, size), nodes))}
            for size in SIZES
            for index in range(size)
        ],
        "consistency": [
            {"first": first, "second": second, "path": encoded(merkle.proof(consistency_spans(first, second), nodes))}
            for second in SIZES
            for first in SIZES
            if first <= second
        ],
    }


def flip(value: str) -> str:
    raw = bytearray(base64.b64decode(value))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def test_go_agrees_with_every_root_note_and_proof(checker, exported):
    result = run(checker, exported)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"7 notes, 37 entries, {sum(SIZES)} inclusion proofs, 28 consistency proofs\n"


def change_entry(exported: dict[str, Any]) -> None:
    exported["entries"][17] = flip(exported["entries"][17])


def prove_a_leaf_outside(exported: dict[str, Any]) -> None:
    exported["notes"] = exported["notes"][:1]
    exported["consistency"] = []
    exported["inclusion"] = [{"index": 1, "size": 1, "path": []}]


def change_inclusion(exported: dict[str, Any]) -> None:
    path = exported["inclusion"][-1]["path"]
    path[0] = flip(path[0])


def change_consistency(exported: dict[str, Any]) -> None:
    path = exported["consistency"][-2]["path"]
    path[-1] = flip(path[-1])


def change_signature(exported: dict[str, Any]) -> None:
    head, _, signature = exported["notes"][2].rstrip("\n").rpartition(" ")
    exported["notes"][2] = f"{head} {flip(signature)}\n"


def change_size(exported: dict[str, Any]) -> None:
    exported["notes"][2] = exported["notes"][2].replace("\n7\n", "\n6\n")


def sign_another_history(exported: dict[str, Any]) -> None:
    other = [*LOG[:3], LOG[4], LOG[3], *LOG[5:]]
    exported["notes"][-1] = note(other)
    exported["entries"] = encoded(tuple(other))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(change_entry, "root of ", id="an-entry"),
        pytest.param(prove_a_leaf_outside, "inclusion of 1 in 1", id="a-leaf-outside-the-tree"),
        pytest.param(change_inclusion, "inclusion of 36 in 37", id="an-inclusion-proof"),
        pytest.param(change_consistency, "consistency of 31 with 37", id="a-consistency-proof"),
        pytest.param(change_signature, "note 2", id="a-signature"),
        pytest.param(change_size, "note 2", id="a-signed-size"),
        pytest.param(sign_another_history, "root of ", id="another-history-under-our-key"),
    ],
)
def test_go_refuses_what_was_tampered_with(checker, exported, change, fault):
    change(exported)
    result = run(checker, exported)
    assert result.returncode == 1
    assert fault in result.stderr
