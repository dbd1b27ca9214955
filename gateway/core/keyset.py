"""Our key set as a token signed by the offline root key, which partners pin (design 2). The JWKS URL is a convenience, never trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.core import claims as read
from gateway.core import jwks, tokens
from gateway.core.keyring import Keyring
from gateway.core.keys import KeyEntry, Use, VerifyKey
from gateway.core.problems import UntrustedError

KEYSET_DAYS_MAX: Final = 400  # a partner cut off by a taken-over edge notices after this at the latest
_CLAIMS: Final = frozenset({"iss", "iat", "exp", "jti", "keys"})


@dataclass(frozen=True, slots=True)
class KeySet:
    """The gateway's keys as its root key vouches for them."""

    keyring: Keyring
    issued_at: datetime


def keyset_claims(entries: Iterable[KeyEntry], root: VerifyKey, *, jti: str, now: datetime) -> Mapping[str, object]:
    """Return the claims of a key set with all our keys but the root key's. Raises `jwks.JwksError` if a predecessor is not among them."""
    keys = tuple(entry for entry in entries if entry.use is not Use.ROOT)
    _check_predecessors(keys)
    exp = now + timedelta(days=KEYSET_DAYS_MAX)
    return {"iss": root.owner, "iat": int(now.timestamp()), "exp": int(exp.timestamp()), "jti": jti, **jwks.write_jwks(keys)}


def read_keyset(raw: bytes, root: VerifyKey, *, now: datetime, known: datetime | None = None) -> KeySet:
    """Return the key set in `raw`, as a partner does who has pinned `root`; `known` is when the one it has was issued.

    Raises `RefusedInputError` for a token that another key signed, that has ended or is older than the known one, and
    `jwks.JwksError` for keys that do not load.
    """
    verified = tokens.verify(tokens.unwrap(raw, {}, typ=tokens.KEYS, encrypted="allowed"), root)
    root.check_period(now)
    read.exact(verified.claims, _CLAIMS)
    issued_at, ends_at = read.instant(verified.claims, "iat"), read.instant(verified.claims, "exp")
    if verified.claims["iss"] != root.owner:
        raise UntrustedError("key set of another issuer")
    if now >= ends_at:
        raise UntrustedError("key set has ended")
    if known is not None and issued_at < known:
        raise UntrustedError("key set is older than the known one")
    entries = jwks.read_keys(verified.claims["keys"], root.owner)
    if any(entry.use is Use.ROOT for entry in entries):
        raise UntrustedError("a key set does not name its root")
    _check_predecessors(entries)
    return KeySet(Keyring(entries), issued_at)


def _check_predecessors(entries: Iterable[KeyEntry]) -> None:
    """See that each key names a predecessor of the same use that is older, so that a chain of keys has no gap and no loop."""
    by_id = {entry.kid: entry for entry in entries}
    faults = []
    for entry in by_id.values():
        if entry.previous is None:
            continue
        before = by_id.get(entry.previous)
        if before is None or before.use is not entry.use or before.valid_from >= entry.valid_from:
            faults.append(f"key {entry.kid}: previous is no older {entry.use} key of this set")
    if faults:
        raise jwks.JwksError(faults)
