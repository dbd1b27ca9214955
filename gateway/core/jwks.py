"""Public keys as JSON Web Keys with dates: what partners give us, and what we publish (RFC 7517, and members of our own)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.contract.errors import OperatorError
from gateway.contract.values import PartnerId
from gateway.core import jose, strict_json
from gateway.core.keys import Alg, EncryptionKey, KeyEntry, PublicKey, Use, VerifyKey
from gateway.core.problems import RefusedInputError
from gateway.core.strict_json import JsonObject

_COORDINATE_BYTES: Final = 32
_COMMON: Final = frozenset({"kid", "kty", "crv", "x", "alg", "gw_use", "valid_from", "valid_to"})
_REQUIRED: Final = ("crv", "kty", "x", "y")  # those of a thumbprint (RFC 7638, section 3.2; RFC 8037, section 2)
_OPTIONAL: Final = frozenset({"revoked_at", "previous"})
_MEMBERS: Final[Mapping[object, frozenset[str]]] = {"EC": _COMMON | {"y"}, "OKP": _COMMON}
_ALG_OF: Final[Mapping[str, Alg]] = {"ES256": Alg.ES256, "Ed25519": Alg.ED25519, "EdDSA": Alg.ED25519, "ECDH-ES": Alg.ECDH_ES}
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)


class JwksError(OperatorError):
    """Keys that do not load. `faults` names each with a JSON Pointer, never a value."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Keep all faults."""
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def write_jwk(entry: KeyEntry) -> JsonObject:
    """Return a key as a JWK. Raises `JwksError` for a kind of entry that is no public key."""
    match entry:
        case VerifyKey(alg=alg, public=public):
            jwk = {**_write_public(public), "alg": alg.value}
        case EncryptionKey(public=public):
            jwk = {**_write_public(public), "alg": Alg.ECDH_ES.value}
        case _:
            raise JwksError([f"key {entry.kid} is of no known kind"])
    jwk |= {
        "kid": entry.kid,
        "gw_use": entry.use.value,
        "valid_from": write_instant(entry.valid_from),
        "valid_to": write_instant(entry.valid_to),
    }
    if entry.revoked_at is not None:
        jwk["revoked_at"] = write_instant(entry.revoked_at)
    if entry.previous is not None:
        jwk["previous"] = entry.previous
    return jwk


def thumbprint(entry: KeyEntry) -> str:
    """Return the thumbprint of a public key (RFC 7638): what people compare over another channel. Raises `JwksError` as `write_jwk`."""
    jwk = write_jwk(entry)
    return jose.b64encode(sha256(strict_json.canonical({name: jwk[name] for name in _REQUIRED if name in jwk})).digest()).decode()


def write_jwks(entries: Iterable[KeyEntry]) -> JsonObject:
    """Return keys as a JWKS, by use and id."""
    return {"keys": [write_jwk(entry) for entry in sorted(entries, key=lambda entry: (entry.use, entry.kid))]}


def read_jwks(raw: bytes, owner: PartnerId) -> tuple[KeyEntry, ...]:
    """Return the keys of `owner` in a JWKS document. Raises `JwksError` with every fault in it."""
    try:
        value = strict_json.parse_object(raw)
    except RefusedInputError as exc:
        raise JwksError([exc.problem.detail]) from exc
    if value.keys() != {"keys"}:
        raise JwksError(["not an object with the one member keys"])
    return read_keys(value["keys"], owner)


def read_keys(value: object, owner: PartnerId) -> tuple[KeyEntry, ...]:
    """Return the keys of `owner` in the value of `keys`. Raises `JwksError` with every fault in it, each id and key only once."""
    if not isinstance(value, list) or not value:
        raise JwksError(["/keys: must be a list of keys"])
    faults: list[str] = []
    entries: list[KeyEntry] = []
    for position, jwk in enumerate(value):
        try:
            entries.append(_read_jwk(jwk, owner))
        except JwksError as exc:
            faults += [f"/keys/{position}{fault}" for fault in exc.faults]
    faults += [f"/keys: kid {kid} is there twice" for kid, count in Counter(entry.kid for entry in entries).items() if count > 1]
    if len({(jwk["x"], jwk.get("y")) for jwk in map(write_jwk, entries)}) != len(entries):
        faults.append("/keys: one key is there for two uses or under two ids")
    if faults:
        raise JwksError(faults)
    return tuple(entries)


def write_instant(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_instant(value: object) -> datetime:
    """Return the instant that `write_instant` wrote. Raises `ValueError`."""
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass  # the thirty-first of June: the same fault
    raise ValueError("must be an instant such as 2026-01-31T00:00:00Z")


def _read_jwk(jwk: object, owner: PartnerId) -> KeyEntry:
    """Read one key with all its faults."""
    if not isinstance(jwk, dict):
        raise JwksError([": must be an object"])
    wanted = _MEMBERS.get(jwk.get("kty") if isinstance(jwk.get("kty"), str) else None)
    if wanted is None:
        raise JwksError(["/kty: must be EC or OKP"])
    faults = [f"/{name}: is missing" for name in sorted(wanted - jwk.keys())]
    faults += [f"/{name}: does not belong in a public key of ours" for name in sorted(jwk.keys() - wanted - _OPTIONAL)]
    if faults:
        raise JwksError(faults)
    read: dict[str, Any] = {}
    for name, reader in _READERS.items():
        if name in jwk:
            try:
                read[name] = reader(jwk[name])
            except (ValueError, RefusedInputError) as exc:
                faults.append(f"/{name}: {exc if isinstance(exc, ValueError) else 'must be a key id: letters, digits, . _ -'}")
    try:
        public = _read_public(jwk)
    except (ValueError, RefusedInputError):
        faults.append("/x: must be a point of P-256 or Ed25519, in canonical base64url")
    if faults:
        raise JwksError(faults)
    return _entry(read, public, owner)


def _entry(read: Mapping[str, Any], public: PublicKey, owner: PartnerId) -> KeyEntry:
    alg, use = read["alg"], read["gw_use"]
    if alg is not (Alg.ED25519 if isinstance(public, ed25519.Ed25519PublicKey) else Alg.ECDH_ES if use is Use.ENCRYPT else Alg.ES256):
        raise JwksError(["/alg: does not fit the key and its use"])
    if read["valid_to"] <= read["valid_from"]:
        raise JwksError(["/valid_to: must be after valid_from"])
    if read.get("previous") == read["kid"]:
        raise JwksError(["/previous: is the key itself"])
    common = {"owner": owner, "kid": read["kid"], "use": use, "valid_from": read["valid_from"], "valid_to": read["valid_to"]}
    common |= {"revoked_at": read.get("revoked_at"), "previous": read.get("previous")}
    if use is Use.ENCRYPT:
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise JwksError(["/crv: an encryption key is on P-256"])
        return EncryptionKey(**common, public=public)
    return VerifyKey(**common, alg=alg, public=public)


def _read_public(jwk: Mapping[str, Any]) -> PublicKey:
    x = _coordinate(jwk["x"])
    if jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(x)
    if jwk["kty"] == "EC" and jwk["crv"] == "P-256":
        y = _coordinate(jwk["y"])
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()).public_key()
    raise ValueError("curve")


def _coordinate(value: object) -> bytes:
    raw = jose.b64decode(jose.text(value, "coordinate").encode())
    if len(raw) != _COORDINATE_BYTES:
        raise ValueError("length")
    return raw


def _write_public(public: PublicKey) -> dict[str, str]:
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": jose.b64encode(public.public_bytes_raw()).decode()}
    numbers = public.public_numbers()
    x, y = (jose.b64encode(n.to_bytes(_COORDINATE_BYTES, "big")).decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _read_alg(value: object) -> Alg:
    alg = _ALG_OF.get(value) if isinstance(value, str) else None
    if alg is None:
        raise ValueError(f"must be one of {', '.join(_ALG_OF)}")
    return alg


def _read_use(value: object) -> Use:
    if not isinstance(value, str) or value not in set(Use):
        raise ValueError(f"must be one of {', '.join(Use)}")
    return Use(value)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "kid": jose.key_id,
    "alg": _read_alg,
    "gw_use": _read_use,
    "valid_from": read_instant,
    "valid_to": read_instant,
    "revoked_at": read_instant,
    "previous": jose.key_id,
}
