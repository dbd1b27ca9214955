"""The grammar of compact JOSE: base64url with one spelling, parts, headers. Nothing here trusts anything."""

from __future__ import annotations

import binascii
import re

from gateway.contract.values import KeyId
from gateway.core import strict_json
from gateway.core.limits import HEADER_BYTES_MAX, SEALED_BYTES_MAX
from gateway.core.problems import Code, MalformedError, UntrustedError
from gateway.core.strict_json import JsonObject

JWS_PARTS = 3
JWE_PARTS = 5
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # so that it may stand in our log and in a file name


def b64encode(raw: bytes) -> bytes:
    """Return `raw` as base64url without padding (RFC 7515, section 2)."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def b64decode(text: bytes) -> bytes:
    """Return the bytes that `text` spells. Raises `MalformedError` for padding, foreign characters and spare bits.

    Two spellings of one value would be two digests of one message.
    """
    try:
        raw = binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as exc:
        raise MalformedError("not base64url") from exc
    if b64encode(raw) != text:
        raise MalformedError("base64url is not canonical")
    return raw


def split(raw: bytes) -> list[bytes]:
    """Return the parts of a compact token: three of a JWS, five of a JWE. Raises `MalformedError` for size and any other count."""
    if len(raw) > SEALED_BYTES_MAX:
        raise MalformedError("larger than a token may be", code=Code.MESSAGE_TOO_LARGE, expected=f"at most {SEALED_BYTES_MAX} bytes")
    parts = raw.split(b".", JWE_PARTS)
    if len(parts) not in {JWS_PARTS, JWE_PARTS}:
        raise MalformedError("not a compact JWS or JWE", expected="three or five parts")
    return parts


def header(part: bytes, members: frozenset[str]) -> JsonObject:
    """Return the header in `part`, which has exactly `members`.

    An exact list is what keeps out `crit`, `zip`, `jwk`, `jku`, `x5u`, `x5c`, `b64`, `apu`, `apv` and what is invented next.
    Raises `MalformedError` where it cannot be read, `UntrustedError` where it has other members.
    """
    if len(part) > HEADER_BYTES_MAX:
        raise MalformedError("the header is too large", expected=f"at most {HEADER_BYTES_MAX} bytes")
    value = strict_json.parse_object(b64decode(part))
    if value.keys() != members:
        raise UntrustedError("header members")
    return value


def text(value: object, name: str) -> str:
    """Return a header's value that must be text. Raises `UntrustedError`."""
    if not isinstance(value, str):
        raise UntrustedError(f"header {name}")
    return value


def key_id(value: object) -> KeyId:
    """Return a header's `kid`. Raises `UntrustedError` where it is not a key id of ours."""
    kid = text(value, "kid")
    if not _KID.fullmatch(kid):
        raise UntrustedError("header kid")
    return KeyId(kid)
