"""Request tokens: who asks for exactly this request (design 3.5; names after RFC 9449).

`htu` is the target URI without query and fragment: the origin partners use, and the path. `htq` and `htb` are SHA-256 of the raw query
(without "?", may be empty) and of the body, base64url.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from gateway.contract.values import Jti, PartnerId
from gateway.core import claims as read
from gateway.core import jose
from gateway.core.limits import REQUEST_SECONDS_MAX
from gateway.core.problems import MalformedError, UntrustedError
from gateway.core.tokens import REQUEST, Verified

_CLAIMS: Final = frozenset({"iss", "aud", "iat", "exp", "jti", "htm", "htu", "htq", "htb"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The part of a request that its token covers."""

    method: str
    url: str  # origin and path, without query and fragment
    query: bytes = b""  # raw, without "?"
    body: bytes = b""
    body_digest: str = ""  # instead of the body: its base64url SHA-256


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """Who asks. The caller still has to see that `jti` is new, and remembers it until `exp`."""

    partner: PartnerId
    jti: Jti
    exp: datetime


def request_claims(request: HttpRequest, *, iss: PartnerId, aud: PartnerId, jti: str, now: datetime) -> Mapping[str, object]:
    """Return the claims of a token for `request`, good for as long as a gateway takes it."""
    iat = int(now.timestamp())
    bound = {"htm": request.method, "htu": request.url, "htq": _digest(request.query), "htb": _digest(request.body)}
    return {"iss": iss, "aud": aud, "iat": iat, "exp": iat + REQUEST_SECONDS_MAX, "jti": jti, **bound}


def check_request(verified: Verified, request: HttpRequest, *, aud: PartnerId, now: datetime) -> RequestIdentity:
    """Return who asks for `request`. Raises `UntrustedError`: whatever does not fit, the peer sees one code."""
    if verified.typ != REQUEST:
        raise UntrustedError("not a request token")
    try:
        read.of_signer(verified, _CLAIMS, aud=aud)
        iat, exp = (read.instant(verified.claims, name) for name in ("iat", "exp"))
        htm, htu, htq, htb = (read.text(verified.claims, name) for name in ("htm", "htu", "htq", "htb"))
    except MalformedError as exc:
        raise UntrustedError(f"request token: {exc.problem.claim}") from exc
    read.check_life(iat, exp, now=now, what="request token")
    for name, given, wanted in (
        ("htm", htm, request.method),
        ("htu", htu, request.url),
        ("htq", htq, _digest(request.query)),
        ("htb", htb, request.body_digest or _digest(request.body)),
    ):
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise UntrustedError(f"request token: {name}")
    return RequestIdentity(verified.signer, verified.jti, exp)


def _digest(raw: bytes) -> str:
    return jose.b64encode(sha256(raw).digest()).decode()
