"""Whose dead letter is it? Three queues, by who must act; a person who opens one finds only what is theirs.

| who must act | because |
| --- | --- |
| the partner | it does not answer, answers with a fault of its own, or owes a receipt |
| data | the partner judged this very document: again changes nothing, the sender or a reviewer has to look at it |
| our side | address, credentials, keys or a document we could not make: whatever is not surely another's |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

NO_RECEIPT: Final = "NO_RECEIPT"
_HTTP: Final = re.compile(r"http-(\d{3})")


class Side(StrEnum):
    """Who must act on a dead letter."""

    PARTNER = "partner"
    DATA = "data"
    OURS = "ours"


OF_CODE: Final[Mapping[str, Side]] = {  # what the last attempt said
    # the partner judged the document (RFC 8935, section 2.4; HTTP)
    "invalid_request": Side.DATA,
    "unknown": Side.DATA,
    "http-413": Side.DATA,
    "http-422": Side.DATA,
    # the partner is not there, or not well
    "timeout": Side.PARTNER,
    "http-408": Side.PARTNER,
    "http-425": Side.PARTNER,
    "http-429": Side.PARTNER,
    "redirect": Side.PARTNER,
    "ClientOSError": Side.PARTNER,
    "ClientConnectorError": Side.PARTNER,
    "ClientConnectorDNSError": Side.PARTNER,
    "ClientConnectorSSLError": Side.PARTNER,
    "ClientConnectorCertificateError": Side.PARTNER,
    "ServerDisconnectedError": Side.PARTNER,
    "ServerTimeoutError": Side.PARTNER,
    "ConnectionTimeoutError": Side.PARTNER,
    "SocketTimeoutError": Side.PARTNER,
    "ClientPayloadError": Side.PARTNER,
    "ClientResponseError": Side.PARTNER,
    "ConnectionResetError": Side.PARTNER,
    # keys, names and credentials that we hold
    "invalid_key": Side.OURS,
    "invalid_issuer": Side.OURS,
    "invalid_audience": Side.OURS,
    "authentication_failed": Side.OURS,
    "access_denied": Side.OURS,
}


def side_of(reason: str | None, last_code: str | None) -> Side:
    """Return who must act on a dead leg, from why it died and what its last attempt said. What nobody knows is ours to look at."""
    if reason == NO_RECEIPT:
        return Side.PARTNER
    if last_code is None:
        return Side.OURS
    status = _HTTP.fullmatch(last_code)
    if status is not None and status[1].startswith(("2", "5")):  # 2xx that are no 202: a portal or proxy of theirs
        return Side.PARTNER
    return OF_CODE.get(last_code, Side.OURS)
