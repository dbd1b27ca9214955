"""Problems, statements and tokens as tables and sentences for people. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.markup import escape
from rich.table import Column, Table

KINDS: Final[Mapping[str, str]] = {
    "secevent+jwt": "a message (security event token, RFC 8417)",
    "gw-request+jwt": "a request token",
    "gw-receipt+jwt": "a receipt",
    "gw-rejection+jwt": "a rejection",
    "gw-keys+jwt": "a gateway's key set",
}
CLAIMS: Final[Mapping[str, str]] = {
    "iss": "who says it",
    "aud": "to whom",
    "jti": "its id",
    "iat": "when it was signed",
    "toe": "when it happened",
    "txn": "the conversation it belongs to",
    "exp": "until when it holds",
    "received": "the message it is about",
    "leaf": "its entry in the evidence log",
    "checkpoint": "the log's newest signed head",
}
INSTANTS: Final = frozenset({"iat", "toe", "exp"})
REASONS: Final[Mapping[str, str]] = {  # of refusals (domain.md d.10)
    "NO_PARTNER": "nobody is connected there",
    "NOT_RECEIVING": "its profile does not take this family for this purpose",
    "POLICY": "a policy says no",
    "COUNTRY_EXCLUDED_BY_SENDER": "the sender barred the country",
    "COUNTRY_EXCLUDED_BY_PROFILE": "the sender's profile bars the country",
    "HANDLING": "the handling codes forbid it",
    "AGENCY_NOT_PERMITTED": "the agency is not permitted",
    "NO_LEGAL_BASIS": "there is no legal basis for it",
    "TRANSFER_BASIS": "the transfer basis does not hold for it",
    "ENVIRONMENT": "it is of another environment",
    "DO_NOT_SEND": "the sender decided not to transmit",
    "HOLD": "it is held",
    "WITHDRAWN": "it was withdrawn before it left",
    "EXPIRED": "it came too late",
}
REMOVALS: Final[Mapping[str, str]] = {  # domain.md d.15
    "NO_PERMIT": "no policy permits it",
    "POLICY_FORBID": "a policy forbids it",
    "DOMESTIC_ONLY": "identifiers that never leave their country are taken out",
    "SPECIAL_CATEGORY": "health without the reason why it must travel",
    "THIRD_PARTY": "concerns another person, and no policy permits it",
    "STAFF_SAFETY": "for the authority that visits",
    "EXTENSION": "no policy names every extension in it",
}
_SEVERITIES: Final = {"error": "red", "warning": "yellow", "note": "cyan"}


def problems(found: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return faults as a table: where, which rule, what is wrong, what would be right."""
    where = Column("where", overflow="fold")
    table = Table(where, "code", "rule", "what", "what would be right", title=title, title_justify="left")
    for each in found:
        colour = _SEVERITIES.get(each.get("severity", "error"), "red")
        where = each.get("pointer", each.get("claim"))
        cells = (
            "(the whole)" if where in {"", None} else where,
            each["code"],
            each.get("rule", ""),
            each["detail"],
            each.get("expected", ""),
        )
        table.add_row(*(escape(str(cell)) for cell in cells), style=colour)
    return table


def fields(value: Mapping[str, Any], schema: Mapping[str, Any], title: str) -> Table:
    """Return an event field by field: its JSON Pointer, its title in the schema, its value."""
    table = Table(Column("field", overflow="fold"), "title", "value", title=title, title_justify="left")
    for pointer, name, leaf in _leaves(value, schema, ""):
        table.add_row(escape(pointer), escape(name), escape(str(leaf)))
    return table


def pointers(value: object, at: str = "") -> Iterator[str]:
    """Yield the JSON Pointer of every leaf."""
    yield from (pointer for pointer, _, _ in _leaves(value, {}, at))


def _leaves(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, Mapping) and value:
        below = schema.get("properties", {})
        for name, item in value.items():
            yield from _leaves(item, below.get(name, {}), f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, schema.get("items", {}), f"{at}/{index}")
    else:
        yield at, schema.get("title", ""), value


def claims(said: Mapping[str, Any]) -> Table:
    """Return the claims of a token, without its events."""
    table = Table("claim", "means", "value", title="Claims", title_justify="left")
    for name, value in said.items():
        if name in {"events", "keys", "warnings", "problems"}:
            continue
        shown = instant(value) if name in INSTANTS and isinstance(value, int) else _plain(value)
        table.add_row(escape(name), CLAIMS.get(name, ""), escape(str(shown).rstrip()))
    return table


def _plain(value: object) -> object:
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else value


def instant(seconds: float) -> str:
    """Return a NumericDate as people write it."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def because(policies: Iterable[str]) -> str:
    """Name the policies that said so."""
    return ", ".join(policies) or "-"
