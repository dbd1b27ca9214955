"""Receipts and rejections: our signed statements to a sender, as claims (design 3.5). `tokens.sign` signs them with the receipt key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.contract.values import Jti, PartnerId
from gateway.core import claims as read
from gateway.core.message import Signed
from gateway.core.problems import Code, MalformedError, Problem
from gateway.core.tokens import RECEIPT, REJECTION, Verified

_COMMON: Final = frozenset({"iss", "aud", "iat", "jti", "received"})
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    RECEIPT: _COMMON | {"leaf", "warnings", "checkpoint"},
    REJECTION: _COMMON | {"problems"},
}
_RECEIVED: Final = frozenset({"iss", "jti", "digest"})
_HEX_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Head:
    """What our statements have in common: who says it, under which id, when."""

    iss: PartnerId
    jti: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A receipt or rejection as its addressee reads it: `leaf` is None in a rejection, `problems` are the warnings of a receipt."""

    received: Signed
    at: datetime
    leaf: bytes | None
    problems: tuple[Mapping[str, Any], ...]
    checkpoint: str | None


def receipt_claims(
    head: Head, received: Signed, *, leaf: bytes, warnings: Sequence[Problem], checkpoint: str | None
) -> Mapping[str, object]:
    """Return the claims of a receipt: `received` is accepted, `leaf` is its evidence's leaf hash, `checkpoint` our newest tree head."""
    return {**_common(head, received), "leaf": leaf.hex(), "warnings": [problem_claims(p) for p in warnings], "checkpoint": checkpoint}


def rejection_claims(head: Head, received: Signed, *, problems: Sequence[Problem]) -> Mapping[str, object]:
    """Return the claims of a rejection: `received` was signed well, and is wrong for everybody because of `problems`."""
    return {**_common(head, received), "problems": [problem_claims(p) for p in problems]}


def problem_claims(problem: Problem) -> Mapping[str, str]:
    """Return a problem as JSON members, without those that say nothing."""
    members = {
        "code": problem.code.value,
        "severity": problem.severity.value,
        "detail": problem.detail,
        "expected": problem.expected or None,
        "pointer": problem.pointer,
        "claim": problem.claim,
        "rule": problem.rule,
    }
    return {name: value for name, value in members.items() if value is not None}


def read_statement(verified: Verified, *, reader: PartnerId) -> Statement:
    """Return what a receipt or rejection says to `reader`. Raises `MalformedError`.

    Does not show that the leaf is in the log: that takes an inclusion proof to a checkpoint.
    """
    members = _MEMBERS.get(verified.typ)
    if members is None:
        raise MalformedError("not a receipt or rejection", code=Code.CLAIM_INVALID, expected=f"{RECEIPT} or {REJECTION}")
    read.of_signer(verified, members, aud=reader)
    said = verified.claims
    checkpoint = said.get("checkpoint")
    return Statement(
        received=_received(said["received"]),
        at=read.instant(said, "iat"),
        leaf=bytes.fromhex(_sha256(said, "leaf")) if verified.typ == RECEIPT else None,
        problems=_problems(said, "warnings" if verified.typ == RECEIPT else "problems"),
        checkpoint=None if checkpoint is None else read.text(said, "checkpoint"),
    )


def _common(head: Head, received: Signed) -> dict[str, object]:
    about = {"iss": received.signer, "jti": received.jti, "digest": received.digest}
    return {"iss": head.iss, "aud": received.signer, "iat": int(head.at.timestamp()), "jti": head.jti, "received": about}


def _received(value: object) -> Signed:
    if not isinstance(value, dict):
        raise MalformedError("received is no object", code=Code.CLAIM_INVALID, claim="received")
    read.exact(value, _RECEIVED)
    return Signed(PartnerId(read.text(value, "iss")), Jti(read.text(value, "jti")), _sha256(value, "digest"))


def _sha256(said: Mapping[str, Any], name: str) -> str:
    value = read.text(said, name)
    if not _HEX_SHA256.fullmatch(value):
        raise MalformedError(f"{name} is no SHA-256", code=Code.CLAIM_INVALID, expected="64 hexadecimal digits", claim=name)
    return value


def _problems(said: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    value = said[name]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"{name} is no list of problems", code=Code.CLAIM_INVALID, claim=name)
    return tuple(value)
