"""What an answer to a push means. Pure.

| status | outcome | code | why |
| --- | --- | --- | --- |
| 202 | delivered | | RFC 8935, section 2.2: the one word for yes |
| 400 | refused | `err` of the body where RFC 8935 lists it, else `unknown` | the partner judged the token: again changes nothing |
| 413, 422 | refused | `http-413`, `http-422` | so does the document's size or content |
| 429, 503 | failed, with `Retry-After` | `http-429`, `http-503` | later |
| 408, 425, other 5xx | failed | `http-<status>` | the partner's side is at fault, for now |
| 401, 403, 404 and other 4xx | failed | `http-<status>` | endpoint or credentials are at fault, not the document: a person mends it |
| other 2xx | failed | `http-<status>` | no receiver of RFC 8935 says so: a proxy or a portal answered |
| 3xx | failed | `redirect` | never followed: a profile names the endpoint |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from gateway.contract.transports import Outcome, Reply

BODY_BYTES_MAX: Final = 4 * 1024  # an error body is a line or two; the rest is not read
RETRY_AFTER_MAX: Final = timedelta(days=1)  # a partner may slow us down, not make us forget
ERRORS: Final = frozenset(  # RFC 8935, section 2.4; RFC 8936 uses the same registry
    {"invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"}
)
UNKNOWN: Final = "unknown"
_REFUSING: Final = frozenset({413, 422})
_LATER: Final = frozenset({429, 503})


def read(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Reply:
    """Return what an answer means, after the table above. `body` is at most `BODY_BYTES_MAX` long, and only looked at for a 400."""
    if status == 202:
        return Reply(Outcome.DELIVERED)
    if status == 400:
        return Reply(Outcome.REFUSED, error_code(body))
    if status in _REFUSING:
        return Reply(Outcome.REFUSED, f"http-{status}")
    if 300 <= status < 400:
        return Reply(Outcome.FAILED, "redirect")
    wait = retry_after(headers.get("Retry-After"), now=now) if status in _LATER else None
    return Reply(Outcome.FAILED, f"http-{status}", wait)


def error_code(body: bytes) -> str:
    """Return `err` of an RFC 8935 error body where that RFC lists it. Anything else is `unknown`; `description` is never kept."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return UNKNOWN
    code = value.get("err") if isinstance(value, dict) else None
    return code if isinstance(code, str) and code in ERRORS else UNKNOWN


def retry_after(text: str | None, *, now: datetime) -> timedelta | None:
    """Return how long `Retry-After` asks us to wait, at most `RETRY_AFTER_MAX`; None where it cannot be read (RFC 9110, section 10.2.3)."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), RETRY_AFTER_MAX) if len(text) <= 9 else RETRY_AFTER_MAX
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)  # asctime form: RFC 9110 says UTC
    return min(max(when - now, timedelta(0)), RETRY_AFTER_MAX)
