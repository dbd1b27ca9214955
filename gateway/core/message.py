"""A message that was opened, verified and read: the third level of trust (Token, Verified, Message, Accepted)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.contract.values import Environment, Family, Jti, Lane, PartnerId, Ref


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed which bytes: known from a good signature on, whatever the message says."""

    signer: PartnerId
    jti: Jti
    digest: str  # hex SHA-256 of the JWS signing input: "same content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The claims of a verified security event token (RFC 8417), with the value of its one event."""

    iss: PartnerId
    jti: Jti
    digest: str
    aud: PartnerId
    iat: datetime
    toe: datetime
    txn: str
    family: Family
    event: Mapping[str, Any]  # handling, routing, subject, body, extensions

    @property
    def ref(self) -> Ref:
        """The reference others use for this message."""
        return Ref(self.iss, self.jti)

    @property
    def body(self) -> Mapping[str, Any]:
        """The family's own part."""
        body: Mapping[str, Any] = self.event["body"]
        return body

    @property
    def environment(self) -> Environment:
        """What the sender says the message is for."""
        return Environment(self.event["handling"]["environment"])

    @property
    def lane(self) -> Lane:
        """The lane asked for."""
        return Lane(self.event["routing"]["priority"].lower())

    @property
    def subject(self) -> tuple[PartnerId, str, str]:
        """The subject: (the channel's partner, `subject.iss`, `subject.ref`); `iss` left out is the sender's own.

        An anonymous referral has no `ref` and is its own subject: nothing joins it to another.
        """
        subject = self.event["subject"]
        return self.iss, subject.get("iss", self.iss), subject.get("ref", self.jti)

    @property
    def in_response_to(self) -> Ref | None:
        """The message this one answers, as the replier received it."""
        ref = self.event["routing"].get("in_response_to")
        return None if ref is None else Ref(PartnerId(ref["iss"]), Jti(ref["jti"]))
