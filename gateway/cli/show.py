"""A token, layer by layer, in words: what it says, and for each layer whether anybody has vouched for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

import gateway
from gateway.cli import words
from gateway.cli.kit import Kit
from gateway.contract.values import Family
from gateway.core import jose, jwe, strict_json, tokens
from gateway.core.keys import VerifyKey
from gateway.core.problems import RefusedInputError, UntrustedError
from gateway.core.tokens import Token
from gateway.ops.reference import load_reference, load_schemas

UNCHECKED: Final[Mapping[str, str]] = {
    tokens.EVENT: "whether it is in time, new, and keeps to schema and rules",
    tokens.REQUEST: "whether it fits a request, and is used for the first time",
    tokens.RECEIPT: "whether its entry is in the log: that takes an inclusion proof, or `gateway evidence verify --against`",
}
SCHEMAS: Final = Path(gateway.__file__).parents[1] / "schemas"
_HEADER: Final = ("alg", "enc", "cty", "typ", "kid")


def show(out: Console, raw: bytes, kit: Kit | None) -> bool:
    """Print every layer of `raw`. Return whether all of it could be opened and verified.

    Raises `RefusedInputError` where it is no token at all.
    """
    parts = jose.split(raw)
    if len(parts) == jose.JWE_PARTS:
        _layer(out, "Encryption", _peek(parts[0]))
        opened = _opened(out, parts, kit)
        if opened is None:
            return False
        parts = jose.split(opened)
    else:
        out.print("[bold]Encryption[/]: none, anybody can read this\n")
    head = _peek(parts[0])
    _layer(out, "Signature", head)
    typ = head.get("typ")
    out.print(f"  it is {words.KINDS.get(str(typ), 'of a kind unknown here')}")
    verified = _verified(out, b".".join(parts), str(typ), kit)
    _content(out, strict_json.parse_object(jose.b64decode(parts[1])))
    return verified


def _layer(out: Console, name: str, head: Mapping[str, Any]) -> None:
    said = ", ".join(f"{member} {head[member]}" for member in _HEADER if member in head)
    out.print(f"[bold]{name}[/]: {escape(said)}")


def _peek(part: bytes) -> Mapping[str, Any]:
    """Return a header as it stands. Trusts nothing: it is shown, never acted on but to find a key."""
    return strict_json.parse_object(jose.b64decode(part))


def _opened(out: Console, parts: list[bytes], kit: Kit | None) -> bytes | None:
    if kit is None:
        out.print("  [yellow]NOT OPENED[/]: no client kit at hand (--kit)")
        return None
    try:
        raw = jwe.decrypt(parts, kit.decryption_keys)
    except RefusedInputError as exc:
        reason = exc.reason if isinstance(exc, UntrustedError) else exc.problem.detail
        out.print(f"  [yellow]NOT OPENED[/]: {escape(reason)}. What is inside is for the holder of that key")
        return None
    out.print(f"  [green]opened[/] with the key of {kit.partner}\n")
    return raw


def _verified(out: Console, jws: bytes, typ: str, kit: Kit | None) -> bool:
    if kit is None:
        out.print("  [yellow]NOT VERIFIED[/]: no client kit at hand (--kit). Anybody may have written this\n")
        return False
    try:
        token = tokens.unwrap(jws, {}, typ=typ, encrypted="allowed")
        key = _key(token, kit)
        verified = tokens.verify(token, key)
        if verified.claims.get("iss") != key.owner:
            raise UntrustedError("iss is not the owner of the key")
    except RefusedInputError as exc:
        reason = exc.reason if isinstance(exc, UntrustedError) else exc.problem.detail
        out.print(f"  [bold red]NOT VERIFIED[/]: {escape(reason)}. Believe nothing below\n")
        return False
    out.print(f"  [green]verified[/]: signed by {key.owner} with its {key.use} key {key.kid}")
    now = datetime.now(UTC)
    if not key.valid_from <= now < key.valid_to:
        out.print(f"  [yellow]but that key is not of today[/]: from {key.valid_from:%Y-%m-%d} to {key.valid_to:%Y-%m-%d}")
    if key.revoked_at is not None:
        out.print(
            f"  [bold red]but that key was revoked[/] on {key.revoked_at:%Y-%m-%d}: believe nothing below without its inclusion proof"
        )
    if typ in UNCHECKED:
        out.print(f"  [yellow]not checked here[/]: {UNCHECKED[typ]}")
    out.print()
    return key.revoked_at is None


def _key(token: Token, kit: Kit) -> VerifyKey:
    """Return the one key of this id that signs this kind of token."""
    for key in kit.known:
        if key.kid == token.kid and token.typ in tokens.TYPES_OF[key.use]:
            return key
    raise UntrustedError(f"no key {token.kid} that signs this kind of token is in the kit")


def _content(out: Console, claims: Mapping[str, Any]) -> None:
    out.print(words.claims(claims))
    for name, title in (("warnings", "Warnings"), ("problems", "Faults")):
        if claims.get(name):
            out.print(words.problems(claims[name], title))
    for jwk in claims.get("keys", ()):
        out.print(
            escape(f"  key {jwk.get('kid')}: {jwk.get('gw_use')}, {jwk.get('alg')}, {jwk.get('valid_from')} to {jwk.get('valid_to')}")
        )
    events = claims.get("events")
    for uri, event in events.items() if isinstance(events, Mapping) else ():
        out.print(words.fields(event, _schema(uri, event), f"Event {escape(uri)}"))


def _schema(uri: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an event, for the titles of its fields; nothing where we have none."""
    schemas = load_schemas(SCHEMAS, load_reference(SCHEMAS))
    *_, name, version = ("", "", *uri.split("/"))
    family = Family(name, version)
    if not schemas.knows(family):
        return {}
    return schemas.document(family, "delivery" if "original" in event else "submission")
