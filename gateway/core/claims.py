"""Readers of claims that are signed but not yet believed to have their shape. Where not said otherwise they raise `MalformedError`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.core.limits import REQUEST_SECONDS_MAX, REQUEST_SKEW_SECONDS_MAX
from gateway.core.problems import Code, MalformedError, UntrustedError
from gateway.core.tokens import Verified

_SECONDS_MAX: Final = 2**33  # the year 2242


def exact(claims: Mapping[str, Any], names: frozenset[str]) -> None:
    """Refuse claims that lack one of `names` or have others."""
    if claims.keys() != names:
        raise _invalid("(all)", f"exactly {', '.join(sorted(names))}")


def of_signer(verified: Verified, names: frozenset[str], *, aud: str) -> None:
    """Refuse a token whose claims are not exactly `names`, whose `iss` is not its signer or that is addressed to another than `aud`."""
    exact(verified.claims, names)
    if verified.claims["iss"] != verified.signer:
        raise _invalid("iss", "the owner of the signing key")
    if verified.claims["aud"] != aud:
        raise MalformedError("aud is another", code=Code.AUDIENCE_WRONG, expected="the one who reads it", claim="aud")


def text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that is text."""
    value = claims[name]
    if not isinstance(value, str):
        raise _invalid(name, "text")
    return value


def instant(claims: Mapping[str, Any], name: str) -> datetime:
    """Return a NumericDate of whole seconds (RFC 7519, section 2)."""
    value = claims[name]
    if type(value) is not int or not 0 <= value < _SECONDS_MAX:  # not bool, which is an int too
        raise _invalid(name, "whole seconds since 1970-01-01 UTC")
    return datetime.fromtimestamp(value, UTC)


def check_life(iat: datetime, exp: datetime, *, now: datetime, what: str) -> None:
    """Refuse a token of one use that is not of now, or lives longer than such a token may. Raises `UntrustedError`."""
    if not timedelta() < exp - iat <= timedelta(seconds=REQUEST_SECONDS_MAX):
        raise UntrustedError(f"{what}: life")
    if not iat - timedelta(seconds=REQUEST_SKEW_SECONDS_MAX) <= now < exp:
        raise UntrustedError(f"{what}: not now")


def _invalid(name: str, expected: str) -> MalformedError:
    return MalformedError(f"{name} is not what it must be", code=Code.CLAIM_INVALID, expected=expected, claim=name)
