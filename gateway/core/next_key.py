"""A partner's next key, as the partner submits it: signed by its key of use `submit`, and by the next key itself.

As in ACME's key change (RFC 8555, section 7.3.5), a token inside a token. The outer one (`gw-key+jwt`) carries the public key and is signed
by a key we trust: the partner says so. The inner one (`gw-key-proof+jwt`, in `proof`) is signed by the next key and names both keys by
their thumbprints (RFC 7638) and the outer one by its `jti`: whoever says so has the private half, and means this partner and gateway.
A key to encrypt to signs nothing, so it proves nothing: one key, one use. Whoever names another's cannot read what it gets.

It is believed only when an operator has compared the thumbprint over another channel.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.contract.values import KeyId, PartnerId
from gateway.core import claims as read
from gateway.core import jwks, limits, strict_json, tokens
from gateway.core.jwks import JwksError
from gateway.core.keyring import Keyring
from gateway.core.keys import EncryptionKey, KeyEntry, SigningKey, Use, VerifyKey
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError, UntrustedError
from gateway.core.strict_json import JsonObject
from gateway.core.tokens import Verified

USES: Final = (Use.SUBMIT, Use.REQUEST, Use.ENCRYPT)  # what a partner's key may be for
_WHAT: Final = "next key"
_CLAIMS: Final = frozenset({"iss", "aud", "iat", "exp", "jti", "jwk"})
_PROOF: Final = frozenset({"iss", "aud", "iat", "jti", "jkt", "old_jkt"})
_MEMBERS: Final = frozenset({"kid", "kty", "crv", "x", "y", "d", "alg", "gw_use", "valid_from", "valid_to"})
_KID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it becomes a file name where somebody puts the key into the folder of keys
_DEV: Final = "dev-"  # keys for development only, as keystores mark them


class KeyState(StrEnum):
    """Where a submitted key stands."""

    PENDING = "pending"  # waits for an operator
    APPROVED = "approved"
    REFUSED = "refused"
    REVOKED = "revoked"  # was approved


class KeyTakenError(RefusedInputError):
    """The id or the key is known already, with other members or of somebody else."""

    def __init__(self, detail: str) -> None:
        """Say what is known."""
        expected = "a key made for this, with an id of its own"
        super().__init__(Problem(code=Code.CONFLICT, detail=detail, expected=expected, claim="jwk"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """A key that its owner signed for. Nobody has approved it."""

    entry: VerifyKey | EncryptionKey
    thumbprint: str
    signer: KeyId
    digest: str  # hex SHA-256 of the token's signing input

    @property
    def jwk(self) -> str:
        """The key in its one spelling."""
        return spelled(self.entry)


def spelled(entry: KeyEntry) -> str:
    """Return the one spelling of a public key."""
    return strict_json.canonical(jwks.write_jwk(entry)).decode()


def respelled(jwk: str, owner: PartnerId, *, revoked_at: datetime | None = None) -> VerifyKey | EncryptionKey:
    """Return the key that `spelled` wrote. Raises `JwksError`."""
    (entry,) = jwks.read_keys([strict_json.parse_object(jwk.encode())], owner)
    if not isinstance(entry, VerifyKey | EncryptionKey):
        raise JwksError(["is of no known kind"])
    return replace(entry, revoked_at=revoked_at)


def next_key_claims(
    entry: VerifyKey | EncryptionKey, private: SigningKey | None, *, by: VerifyKey, aud: PartnerId, jti: str, now: datetime
) -> JsonObject:
    """Return the claims of a token for `entry`, to be signed with the private half of `by`. `private` proves that we have it."""
    iat = int(now.timestamp())
    common = {"iss": entry.owner, "aud": aud, "iat": iat, "jti": jti}
    said = {**common, "exp": iat + limits.REQUEST_SECONDS_MAX, "jwk": jwks.write_jwk(entry)}
    if private is None:
        return said
    proof = {**common, "jkt": jwks.thumbprint(entry), "old_jkt": jwks.thumbprint(by)}
    return said | {"proof": tokens.sign(proof, private, typ=tokens.KEY_PROOF).decode()}


def read_next_key(raw: bytes, keyring: Keyring, *, owner: PartnerId, aud: PartnerId, now: datetime) -> NextKey:
    """Return the key that `owner` signed for: token, key, signature, time, then the next key and its own signature.

    Whether it may be taken is `check_new`'s question.
    Raises `UntrustedError` for whatever `owner` has not signed for this gateway and for now, and for a proof that is none;
    `MalformedError` for what is signed and cannot be read.
    """
    if len(raw) > limits.KEY_TOKEN_BYTES_MAX:
        raise MalformedError(
            "larger than a key may be", code=Code.MESSAGE_TOO_LARGE, expected=f"at most {limits.KEY_TOKEN_BYTES_MAX} bytes"
        )
    token = tokens.unwrap(raw, {}, typ=tokens.KEY, encrypted="allowed")
    signer = keyring.find(owner, token.kid, use=Use.SUBMIT)
    verified = tokens.verify(token, signer)
    signer.check_period(now)
    claims = verified.claims
    try:
        read.of_signer(verified, _CLAIMS | ({"proof"} & claims.keys()), aud=aud)
        iat, exp = (read.instant(claims, name) for name in ("iat", "exp"))
    except MalformedError as exc:
        raise UntrustedError(f"{_WHAT}: {exc.problem.claim}") from exc
    read.check_life(iat, exp, now=now, what=_WHAT)
    if not tokens.is_uuid7(verified.jti):
        raise UntrustedError(f"{_WHAT}: jti")
    entry = _entry(claims["jwk"], owner)
    found = NextKey(entry=entry, thumbprint=jwks.thumbprint(entry), signer=signer.kid, digest=verified.digest)
    _check_proof(verified, found, signer, aud=aud)
    return found


def check_new(found: NextKey, *, mine: Keyring, known: Iterable[KeyEntry], now: datetime, dev: bool) -> None:
    """Refuse a next key that may not be taken. `mine` has the partners' keys, `known` every other key we know.

    Raises `MalformedError` for a use the partner does not have or a period that cannot be, `KeyTakenError` for an id or key of anybody's.
    """
    entry = found.entry
    if entry.use not in {each.use for each in mine.entries if each.owner == entry.owner}:
        raise _invalid("you have no key of this use yet", "a use that you have a key of; a first one is agreed on in person", "jwk.gw_use")
    if entry.kid.startswith(_DEV) and not dev:
        raise _invalid("this id marks keys for development", "another id", "jwk.kid")
    for each in (*mine.entries, *known):
        if each.kid == entry.kid:
            raise KeyTakenError("a key of this id is known already")
        if jwks.thumbprint(each) == found.thumbprint:
            raise KeyTakenError("this very key is known already")
    _check_period(entry, now)


def _check_period(entry: KeyEntry, now: datetime) -> None:
    day = timedelta(days=1)
    if not now - limits.KEY_BEHIND_DAYS_MAX * day <= entry.valid_from <= now + limits.KEY_AHEAD_DAYS_MAX * day:
        expected = f"from {limits.KEY_BEHIND_DAYS_MAX} day ago to {limits.KEY_AHEAD_DAYS_MAX} days ahead"
        raise _invalid("begins too early or too late", expected, "jwk.valid_from")
    if not now < entry.valid_to <= entry.valid_from + limits.KEY_DAYS_MAX * day:
        raise _invalid("has ended, or lasts too long", f"at most {limits.KEY_DAYS_MAX} days after valid_from", "jwk.valid_to")


def _entry(jwk: object, owner: PartnerId) -> VerifyKey | EncryptionKey:
    try:
        (entry,) = jwks.read_keys([jwk], owner)
    except JwksError as exc:
        place, _, detail = exc.faults[0].removeprefix("/keys/0").partition(": ")
        name = place.removeprefix("/")
        claim = f"jwk.{name}" if name in _MEMBERS else "jwk"  # a name the partner made up is not for us to repeat
        raise _invalid(detail, "a public key with the members that docs/howto/partners.md names", claim) from None
    if entry.revoked_at is not None or entry.previous is not None:
        raise _invalid("has members that a next key does not have", "no revoked_at, no previous", "jwk")
    if not _KID.fullmatch(entry.kid):
        raise _invalid("is no id of a key", "letters, digits, . _ -, a letter or digit first", "jwk.kid")
    if entry.use not in USES or not isinstance(entry, VerifyKey | EncryptionKey):
        raise _invalid("is no use of a partner's key", f"one of {', '.join(USES)}", "jwk.gw_use")
    return entry


def _check_proof(outer: Verified, found: NextKey, signer: VerifyKey, *, aud: PartnerId) -> None:
    entry, proof = found.entry, outer.claims.get("proof")
    if isinstance(entry, EncryptionKey):
        if "proof" in outer.claims:
            raise _invalid("a key to encrypt to signs nothing", "no proof", "proof")
        return
    if not isinstance(proof, str) or not proof.isascii():
        raise _invalid("is missing, or no token", f"a {tokens.KEY_PROOF} signed by the next key", "proof")
    inner = tokens.verify(tokens.unwrap(proof.encode(), {}, typ=tokens.KEY_PROOF, encrypted="allowed"), entry)
    try:
        read.of_signer(inner, _PROOF, aud=aud)
        jkt, old_jkt = (read.text(inner.claims, name) for name in ("jkt", "old_jkt"))
    except MalformedError as exc:
        raise UntrustedError(f"{_WHAT}: proof {exc.problem.claim}") from exc
    wanted = {"jkt": (jkt, found.thumbprint), "old_jkt": (old_jkt, jwks.thumbprint(signer)), "jti": (inner.jti, outer.jti)}
    for name, (given, right) in wanted.items():
        if not hmac.compare_digest(given.encode(), right.encode()):
            raise UntrustedError(f"{_WHAT}: proof {name}")
    if inner.claims["iat"] != outer.claims["iat"]:
        raise UntrustedError(f"{_WHAT}: proof iat")


def _invalid(detail: str, expected: str, claim: str) -> MalformedError:
    return MalformedError(detail, code=Code.CLAIM_INVALID, expected=expected, claim=claim)
