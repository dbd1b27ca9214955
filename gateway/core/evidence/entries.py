"""What the log says: one closed set of entries, each a line of canonical JSON with digests, ids and codes only.

There is no field for text. Every value has a type with a pattern, and an entry that does not read back through these very types is not
written: so no name, number of a document or free text of a partner can end up in a log that is never deleted (design 3.11, P10).
Codes are those of our own catalogues; what a partner says in words does not belong here.

These are msgspec structs, where the rest of core has dataclasses, because the types alone then are encoder, strict decoder and guard.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from gateway.contract.errors import InvariantError
from gateway.core.evidence.errors import UNREADABLE, EvidenceError

Pattern = msgspec.Meta
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
Moment = Annotated[str, Pattern(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")]
Uuid = Annotated[str, Pattern(pattern=rf"^{_UUID}\Z")]
Digest = Annotated[str, Pattern(pattern=r"^[0-9a-f]{64}\Z")]  # hex SHA-256, or HMAC-SHA-256
RowKey = Annotated[str, Pattern(pattern=r"^(r-)?[0-9a-f]{64}\Z")]  # of a subject: an HMAC, marked where it is one of referrals
Partner = Annotated[str, Pattern(pattern=r"^[a-z0-9-]{2,32}\Z")]
Country = Annotated[str, Pattern(pattern=r"^[A-Z]{2}\Z")]
Code = Annotated[str, Pattern(pattern=r"^([A-Z][A-Z0-9_]{1,39}|[a-z][a-z0-9-]{1,39})\Z")]  # domain.md d.10, or a problem code
Name = Annotated[str, Pattern(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]  # of a policy, rule, key, setting: things of ours
Version = Annotated[str, Pattern(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){1,2}\Z")]
FileNumber = Annotated[str, Pattern(pattern=r"^[0-9][0-9/-]{0,30}\Z")]  # of the desk's own files: digits never name a person
Origin = Annotated[str, Pattern(pattern=r"^[a-z0-9][a-z0-9./-]{0,127}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]
LegState = Literal[
    "planned", "held", "ready", "sending", "available", "delivered", "receipted", "refused", "cancelled", "expired", "dead"
]  # fmt: skip


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an entry."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """An entry: `kind` says which, `version` in what form, `at` when it was staged."""

    at: Moment
    version: Literal["1"] = "1"

    @property
    def kind(self) -> str:
        """The value of the member `kind`."""
        return str(self.__struct_config__.tag)

    def encode(self) -> bytes:
        """Return the one spelling of this entry. Raises `InvariantError` where a value is none that may stand here."""
        try:
            raw = _ENCODER.encode(self)
            _DECODER.decode(raw)
        except (*UNREADABLE, TypeError, OverflowError) as exc:
            raise InvariantError("not an entry", type(self).__name__, _place(exc)) from None  # the cause may quote the value
        return raw


class PreviousLog(_Part, frozen=True, kw_only=True):
    """The last checkpoint of the log before this one, as it was found outside the database."""

    origin: Origin
    size: Count
    root: Digest


class LogOpened(_Entry, frozen=True, kw_only=True, tag="log-opened"):
    """The first entry of every log, and of no other place. A restored gateway names here what it was restored after."""

    origin: Origin
    previous: PreviousLog | None = None


class Leg(_Part, frozen=True, kw_only=True):
    """A leg as decided: planned or held, with the policies that said so, and each country its partner is told for."""

    leg_id: Uuid
    jti: Uuid
    partner: Partner
    countries: tuple[Country, ...] = ()
    state: LegState
    hold: Code | None = None
    because: tuple[Name, ...] = ()


class Refusal(_Part, frozen=True, kw_only=True):
    """A recorded decision not to send. `partner` is None where nobody receives for the country."""

    partner: Partner | None = None
    country: Country | None = None
    reason: Code
    because: tuple[Name, ...] = ()


class Accepted(_Entry, frozen=True, kw_only=True, tag="accepted"):
    """A message was accepted and decided. `digest` is that of its signing input, None for a message of the gateway itself.

    `decided_by` are the digests of policy set, rules, code lists and profile that the decision rests on.
    """

    iss: Partner
    jti: Uuid
    digest: Digest | None = None
    family: Name
    family_version: Version
    decided_by: dict[Name, Name] = {}
    legs: tuple[Leg, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Extended(_Entry, frozen=True, kw_only=True, tag="extended"):
    """A message accepted before was sent to more partners, or was refused to more: `reason` says on what occasion."""

    iss: Partner
    jti: Uuid
    reason: Code
    decided_by: dict[Name, Name] = {}
    legs: tuple[Leg, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Rejected(_Entry, frozen=True, kw_only=True, tag="rejected"):
    """A message with a good signature was wrong for everybody. `jti` is the sender's own word: None unless it is a UUID."""

    iss: Partner
    jti: Uuid | None = None
    digest: Digest
    codes: tuple[Code, ...]
    rules: tuple[Name, ...] = ()


class LegMoved(_Entry, frozen=True, kw_only=True, tag="leg"):
    """A leg came to a state. `digest` is that of the signed token it carries, once it has been signed."""

    leg_id: Uuid
    jti: Uuid
    partner: Partner
    state: LegState
    attempt: Count = 0
    reason: Code | None = None
    digest: Digest | None = None


class Held(_Entry, frozen=True, kw_only=True, tag="hold"):
    """A leg waits for a person."""

    leg_id: Uuid
    jti: Uuid
    partner: Partner
    reason: Code


class Receipted(_Entry, frozen=True, kw_only=True, tag="receipted"):
    """The partner signed for a leg: `proof` is the digest of its acknowledgement or poll request."""

    leg_id: Uuid
    jti: Uuid
    partner: Partner
    proof: Digest
    code: Code | None = None


class Config(_Entry, frozen=True, kw_only=True, tag="config"):
    """Something the gateway decides by was replaced. `name` is the profile or key it was, None where there is one only."""

    what: Literal["policies", "profile", "operator", "key", "rules", "codes", "schemas", "gateway"]
    name: Name | None = None
    digest: Digest | None = None  # None: taken away
    previous: Digest | None = None  # None: new


class Waiver(_Entry, frozen=True, kw_only=True, tag="waiver"):
    """A check was waived by name at start."""

    check: Name
    environment: Literal["PRODUCTION", "ACCEPTANCE", "TEST"]


class Commanded(_Entry, frozen=True, kw_only=True, tag="command"):
    """An operator's signed command was carried out, or content was shown for it. `digest` is that of its signing input.

    `targets` are the legs that moved, or that were looked into. `reason` is what their senders are told. `partner` is whom it was about.
    """

    operator: Partner
    key: Name
    jti: Uuid
    command: Code
    digest: Digest
    targets: tuple[Uuid, ...] = ()
    reason: Code | None = None
    justification: Code | None = None
    file: FileNumber | None = None
    partner: Partner | None = None


class ErasedMessage(_Part, frozen=True, kw_only=True, tag_field="what", tag="message"):
    """The key of one message."""

    iss: Partner
    jti: Uuid


class ErasedSubject(_Part, frozen=True, kw_only=True, tag_field="what", tag="subject"):
    """The key of one subject, by its row key (an HMAC)."""

    subject: RowKey


class ErasedEpoch(_Part, frozen=True, kw_only=True, tag_field="what", tag="epoch"):
    """A key-encryption-key epoch, by its id."""

    epoch: Name


class PartnerKey(_Entry, frozen=True, kw_only=True, tag="partner-key"):
    """A key that a partner submitted came to a state. `thumbprint` is the SHA-256 of RFC 7638.

    `signer` is the key of the partner that signed for it, `digest` that of the token's signing input.
    """

    partner: Partner
    key: Name
    use: Literal["submit", "request", "encrypt"]
    state: Literal["pending", "approved", "refused", "revoked"]
    thumbprint: Digest
    signer: Name
    digest: Digest


class Erased(_Entry, frozen=True, kw_only=True, tag="erased"):
    """A key was destroyed, and with it all that was encrypted under it. A restore does so again."""

    key: ErasedMessage | ErasedSubject | ErasedEpoch
    reason: Code


Entry = LogOpened | Accepted | Extended | Rejected | LegMoved | Held | Receipted | Config | Waiver | Commanded | PartnerKey | Erased
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


def decode(raw: bytes) -> Entry:
    """Return the entry in `raw`. Raises `EvidenceError` for anything but the one spelling of an entry of ours."""
    try:
        entry = _DECODER.decode(raw)
    except UNREADABLE as exc:
        raise EvidenceError("not an entry of a known kind" + _place(exc)) from None
    if _ENCODER.encode(entry) != raw:
        raise EvidenceError("not the canonical spelling of its entry")
    return entry


def moment(at: datetime) -> Moment:
    """Return an instant as entries spell it: UTC, microseconds. Raises `InvariantError` without a time zone."""
    if at.tzinfo is None:
        raise InvariantError("an instant without a time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _place(exc: Exception) -> str:
    """Return where msgspec found a fault, without what it found there."""
    _, at, place = str(exc).rpartition(" - at ")
    return at + place if at else ""
