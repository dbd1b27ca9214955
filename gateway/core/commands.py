"""Signed commands: what an operator asks for, once, within a minute (design 1 and 3.5). One kind of token, one verifier, one key use.

`arguments` hold ids, codes and instants only, each command's in a shape of its own; so nothing that a person types in words travels here.
A justification is a code and the number of the desk's own file, for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from gateway.contract.values import Jti, KeyId, LegId, PartnerId
from gateway.core import claims as read
from gateway.core import strict_json, tokens
from gateway.core.deadletters import Side
from gateway.core.decided import HoldReason
from gateway.core.limits import COMMAND_LEGS_COUNT_MAX, LIST_COUNT_MAX, REQUEST_SECONDS_MAX
from gateway.core.next_key import KeyState
from gateway.core.operators import JUSTIFIED, Command, Operator, Operators
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError, UntrustedError
from gateway.core.strict_json import JsonObject
from gateway.core.tokens import COMMAND, Token

_CLAIMS: Final = frozenset({"iss", "aud", "iat", "exp", "jti", "command", "arguments", "justification", "file"})
_FILE: Final = re.compile(r"[0-9][0-9/-]{0,30}")  # digits: a file's number never names a person
_WHAT: Final = "command"
Arguments = TypeVar("Arguments", bound=msgspec.Struct)
Uuid = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")]
PartnerName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{2,32}\Z")]
Kid = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Justification(StrEnum):
    """Why somebody has to see content."""

    FAULT = "FAULT"  # it could not be delivered, and ids and codes do not say why
    REVIEW = "REVIEW"
    COMPLAINT = "COMPLAINT"
    DATA_SUBJECT_REQUEST = "DATA_SUBJECT_REQUEST"
    AUDIT = "AUDIT"


class DiscardReason(StrEnum):
    """Why a dead letter is given up: words of domain.md d.10, as the sender reads them."""

    DO_NOT_SEND = "DO_NOT_SEND"
    NOT_RECEIVING = "NOT_RECEIVING"
    NOT_READABLE = "NOT_READABLE"
    NOT_COMPETENT = "NOT_COMPETENT"
    OTHER = "OTHER"


class _Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of a command."""


class Listing(_Arguments, frozen=True, kw_only=True):
    """Which legs to list, oldest first, from the one after `after` on."""

    partner: PartnerName | None = None
    since: Instant | None = None  # when it died; of a held leg, when it was made
    after: Uuid | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_COUNT_MAX)] = LIST_COUNT_MAX


class HoldListing(Listing, frozen=True, kw_only=True):
    """Which held legs to list."""

    reason: HoldReason | None = None


class DeadListing(Listing, frozen=True, kw_only=True):
    """Which dead legs to list: of those, who must act on which."""

    side: Side | None = None


class Legs(_Arguments, frozen=True, kw_only=True):
    """Exactly these legs."""

    legs: Annotated[tuple[Uuid, ...], msgspec.Meta(min_length=1, max_length=COMMAND_LEGS_COUNT_MAX)]


class Discarded(Legs, frozen=True, kw_only=True):
    """Exactly these legs, and what their senders are told."""

    reason: DiscardReason


class OfPartner(_Arguments, frozen=True, kw_only=True):
    """Exactly this partner."""

    partner: PartnerName


class Paged(OfPartner, frozen=True, kw_only=True):
    """This partner's legs, a page at a time: from the one after `after` on."""

    after: Uuid | None = None


class Redelivery(Paged, frozen=True, kw_only=True):
    """What this partner took from `since` on; `until` is when its first page was asked for, as that page says."""

    since: Instant
    until: Instant | None = None


class AttemptListing(OfPartner, frozen=True, kw_only=True):
    """Which attempts at this partner, newest first, from behind the one `after` on."""

    since: Instant | None = None
    failed: bool = False  # those alone
    after: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_COUNT_MAX)] = LIST_COUNT_MAX


class KeyListing(_Arguments, frozen=True, kw_only=True):
    """Which keys that partners submitted, by their ids, from the one after `after` on."""

    partner: PartnerName | None = None
    state: KeyState | None = None
    after: Kid | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_COUNT_MAX)] = LIST_COUNT_MAX


class OfKey(OfPartner, frozen=True, kw_only=True):
    """Exactly this key of this partner."""

    kid: Kid


class Approval(OfKey, frozen=True, kw_only=True):
    """Exactly this key, as the partner told its thumbprint over another channel."""

    thumbprint: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class Nothing(_Arguments, frozen=True, kw_only=True):
    """Nothing to say."""


class OneLeg(_Arguments, frozen=True, kw_only=True):
    """Exactly this leg."""

    leg: Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCommand:
    """What an operator signed for. The caller still has to see that `jti` is new, and remembers it until `exp`."""

    operator: Operator
    key: KeyId
    jti: Jti
    exp: datetime
    digest: str  # hex SHA-256 of the signing input
    command: Command
    arguments: JsonObject
    justification: Justification | None = None
    file: str | None = None  # the number of the desk's own file, with a justification


def command_claims(  # noqa: PLR0913 -- each is one claim
    command: Command,
    arguments: Mapping[str, object],
    *,
    iss: str,
    aud: PartnerId,
    jti: str,
    now: datetime,
    justification: str = "",
    file: str = "",
) -> Mapping[str, object]:
    """Return the claims of a command, good for as long as a gateway takes it."""
    iat = int(now.timestamp())
    asked = {"command": command, "arguments": dict(arguments), "justification": justification, "file": file}
    return {"iss": iss, "aud": aud, "iat": iat, "exp": iat + REQUEST_SECONDS_MAX, "jti": jti, **asked}


def read_command(raw: bytes, operators: Operators, *, aud: PartnerId, now: datetime) -> SignedCommand:
    """Return what an operator asks for, in this order: token, operator, key, signature, time, then what it says and whether it may.

    Raises `UntrustedError` for whatever is not signed by an operator for this gateway and for now, `MalformedError` for what is signed and
    cannot be read, `NotAllowedError` where no role of the operator gives the command.
    """
    token = tokens.unwrap(raw, {}, typ=COMMAND, encrypted="allowed")
    operator = operators.find(_issuer(token))  # whose key to look for: the key decides
    key = operators.key(operator, token.kid)
    verified = tokens.verify(token, key)
    key.check_period(now)
    claims = verified.claims
    try:
        read.of_signer(verified, _CLAIMS, aud=aud)
        iat, exp = (read.instant(claims, name) for name in ("iat", "exp"))
        name, justification, file = (read.text(claims, name) for name in ("command", "justification", "file"))
    except MalformedError as exc:
        raise UntrustedError(f"{_WHAT}: {exc.problem.claim}") from exc
    read.check_life(iat, exp, now=now, what=_WHAT)
    if not tokens.is_uuid7(verified.jti):
        raise UntrustedError(f"{_WHAT}: jti")
    command = _command(name)
    if not operator.may(command):
        raise NotAllowedError(command)
    why = _justification(command, justification, file)
    return SignedCommand(
        operator=operator, key=token.kid, jti=verified.jti, exp=exp, digest=verified.digest, command=command,
        arguments=_object(claims["arguments"]), justification=why, file=file if why else None,
    )  # fmt: skip


class NotAllowedError(RefusedInputError):
    """The operator is known, and none of the roles gives this command."""

    def __init__(self, command: Command) -> None:
        """Say which command."""
        expected = "an operator whose roles give it"
        super().__init__(Problem(code=Code.NOT_ALLOWED, detail=f"your roles do not give {command}", expected=expected, claim=_WHAT))


def arguments_of(signed: SignedCommand, kind: type[Arguments]) -> Arguments:
    """Return the arguments as the command takes them. Raises `MalformedError` that says where the fault is, never the value."""
    try:
        return msgspec.convert(signed.arguments, kind, strict=True)
    except msgspec.ValidationError as exc:
        place = re.search(r"`\$([^`]*)`", str(exc))
        named = "arguments" + (place[1] if place else "")
        expected = f"members: {', '.join(field.name for field in msgspec.structs.fields(kind))}"
    raise _invalid("arguments", f"{named} is not what {signed.command} takes", expected)  # apart: the cause may quote the value


def legs_of(arguments: Legs) -> tuple[LegId, ...]:
    """Return the legs meant, each once."""
    return tuple(LegId(leg) for leg in dict.fromkeys(arguments.legs))


def _issuer(token: Token) -> str:
    iss = strict_json.parse_object(token.payload).get("iss")
    if not isinstance(iss, str):
        raise UntrustedError(f"{_WHAT}: iss")
    return iss


def _command(name: str) -> Command:
    if name not in tuple(Command):
        raise _invalid("command", "there is no such command", f"one of {', '.join(Command)}")
    return Command(name)


def _justification(command: Command, code: str, file: str) -> Justification | None:
    if command not in JUSTIFIED and not code and not file:
        return None
    if command not in JUSTIFIED or code not in tuple(Justification):
        expected = f"one of {', '.join(Justification)}" if command in JUSTIFIED else "none: it shows no content"
        raise _invalid("justification", "is missing or not one of ours", expected)
    if not _FILE.fullmatch(file):
        raise _invalid("file", "is not the number of a file", "digits, / and -")
    return Justification(code)


def _object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise _invalid("arguments", "is no object", "an object")
    return value


def _invalid(claim: str, detail: str, expected: str) -> MalformedError:
    return MalformedError(detail, code=Code.REQUEST_INVALID, expected=expected, claim=claim)
