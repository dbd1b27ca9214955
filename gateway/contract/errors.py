"""Errors named after who must act. Arguments are ids and codes, never content."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of every error we raise on purpose."""


class SenderError(GatewayError):
    """The sending partner must change the message. Never retry."""


class PartnerError(GatewayError):
    """The receiving partner must act. Retry on its schedule."""


class OperatorError(GatewayError):
    """Our configuration, key or disk. Stop taking messages, page someone."""


class InvariantError(GatewayError):
    """A state we believed impossible. Quarantine, keep the bytes."""


class DeliveryError(PartnerError):
    """A transport could not say whether the partner took the document: try again."""
