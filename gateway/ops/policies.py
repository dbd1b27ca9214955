"""Reads `policies/*.cedar` and the schema beside them into a policy set, all or nothing."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from gateway.core.policy import PolicySet
from gateway.core.policy_source import Fault, PolicyFaultsError, read_policies

SCHEMA: Final = "gateway.cedarschema"


def load_policies(folder: Path, *, partners: Collection[str]) -> PolicySet:
    """Return the policies of a folder. `partners` are the ids there are.

    Raises `PolicyFaultsError` with every fault, `OSError` where the folder's files cannot be read.
    """
    schema = _text(folder / SCHEMA)
    texts = {str(path): _text(path) for path in sorted(folder.glob("*.cedar"))}
    if not texts:
        raise PolicyFaultsError([Fault(str(folder), 1, "has no policies", "at least one *.cedar: without a permit nothing is sent")])
    return PolicySet(read_policies(texts, schema, partners=partners), schema)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise PolicyFaultsError([Fault(str(path), 1, "is not UTF-8")]) from exc
