"""The one catalogue of problem codes. No HTTP numbers here: `api/problems.py` has those."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from gateway.contract.errors import SenderError
from gateway.core.limits import PROBLEMS_COUNT_MAX

RuleId = NewType("RuleId", str)  # as in docs/rules.md: R-TRV-11


class Code(StrEnum):
    """What can be wrong. Each has a section of the same name in docs/problems.md."""

    # the bytes
    MESSAGE_TOO_LARGE = "message-too-large"
    NOT_A_TOKEN = "not-a-token"
    NOT_JSON = "not-json"
    # trust: the peer sees one code whatever the reason, only our log knows which
    UNTRUSTED = "untrusted"
    # claims and headers
    CLAIM_INVALID = "claim-invalid"
    AUDIENCE_WRONG = "audience-wrong"
    ENVIRONMENT_WRONG = "environment-wrong"
    ISSUED_TOO_EARLY = "issued-too-early"
    ISSUED_TOO_LATE = "issued-too-late"
    FAMILY_UNKNOWN = "family-unknown"
    CONFLICT = "conflict"
    # meaning
    SCHEMA_INVALID = "schema-invalid"
    CODE_UNKNOWN = "code-unknown"
    RULE_BROKEN = "rule-broken"
    REPLY_UNMATCHED = "reply-unmatched"
    # the request around it
    REQUEST_INVALID = "request-invalid"
    NOT_FOUND = "not-found"
    NOT_ALLOWED = "not-allowed"
    TOO_MANY_LINES = "too-many-lines"
    MEDIA_TYPE_WRONG = "media-type-wrong"
    METHOD_WRONG = "method-wrong"
    RATE_LIMITED = "rate-limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Severity(StrEnum):
    """An error rejects the message; warnings and notes travel back in the receipt."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault: where, what is wrong, what would be right. Never the rejected value itself.

    `pointer` is a JSON Pointer from the event's value (`/body/itinerary/segments/1`, "" for the whole);
    a fault of a claim or header has `claim` instead.
    """

    code: Code
    detail: str
    expected: str = ""
    pointer: str | None = None
    claim: str | None = None
    rule: RuleId | None = None
    severity: Severity = Severity.ERROR

    @property
    def is_error(self) -> bool:
        """Say whether this alone rejects the message."""
        return self.severity is Severity.ERROR


def bounded(problems: list[Problem]) -> list[Problem]:
    """Return the problems, cut to what a person mends at a time, and saying so."""
    if len(problems) <= PROBLEMS_COUNT_MAX:
        return problems
    more = Problem(code=Code.SCHEMA_INVALID, detail="there are more faults than these", expected="mend these, and submit again", pointer="")
    return [*problems[: PROBLEMS_COUNT_MAX - 1], more]


class RefusedInputError(SenderError):
    """The bytes cannot be trusted or read. Carries the one problem the peer may see."""

    def __init__(self, problem: Problem) -> None:
        """Keep `problem`; the exception text is its code alone."""
        super().__init__(problem.code.value)
        self.problem = problem


class MalformedError(RefusedInputError):
    """Not the shape it must have: size, base64url, JSON, JOSE."""

    def __init__(self, detail: str, *, code: Code = Code.NOT_A_TOKEN, expected: str = "", claim: str | None = None) -> None:
        """Describe the fault without quoting the input."""
        super().__init__(Problem(code=code, detail=detail, expected=expected, claim=claim))


class TooManyError(RefusedInputError):
    """More than the sender may send in this time. `wait_seconds` is when it may again."""

    def __init__(self, detail: str, wait_seconds: int) -> None:
        """Say what there was too much of."""
        super().__init__(Problem(code=Code.RATE_LIMITED, detail=detail, expected=f"again after {wait_seconds} s"))
        self.wait_seconds = wait_seconds


class UntrustedError(RefusedInputError):
    """Key, decryption or signature fault. `reason` is for our log; the peer sees one sentence for all."""

    def __init__(self, reason: str) -> None:
        """Keep `reason`, a fixed phrase with ids at most."""
        super().__init__(Problem(code=Code.UNTRUSTED, detail="the token is not trusted", expected="sign and encrypt with the keys agreed"))
        self.reason = reason
