"""The fictional register: what it submits, how it is answered, and what it should have been answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import aiohttp

from gateway.cli.kit import Kit
from gateway.contract.errors import PartnerError
from gateway.contract.values import Jti
from gateway.core import jose, tokens
from gateway.core.keys import EncryptionKey, Use
from gateway.core.receipts import Statement
from gateway.keystores import generate
from gateway.testing.client import PartnerClient, Response
from gateway.testing.messages import Label, fictional_register, replaced

COUNT_MIN: Final = 24  # fewer, and not every kind of notice is among them
ODD_COUNT: Final = 3
AT_ONCE: Final = 8
TRIES: Final = 10
TOLD: Final = 1  # the notice whose way is told at the end: by Amsterdam to Bangkok
NAMED: Final = [{"partner": "es-police", "role": "NAMED"}, {"partner": "help-line", "role": "NAMED"}]


class Expected(StrEnum):
    """What the gateway should answer."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPEATED = "repeated"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One token to submit."""

    title: str
    jti: Jti
    event: Mapping[str, Any]
    jws: bytes
    sealed: bytes
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An item, and what came back: a verified receipt or rejection, or an unsigned refusal."""

    item: Item
    outcome: Expected
    receipt: bytes | None = None
    statement: Statement | None = None
    problems: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class Tally:
    """What was answered so far."""

    total: int
    answered: list[Answered] = field(default_factory=list)

    def of(self, outcome: Expected) -> list[Answered]:
        """Return the items that were answered so."""
        return [each for each in self.answered if each.outcome is outcome]

    @property
    def codes(self) -> Counter[str]:
        """Return how often each problem code came first in an answer."""
        return Counter(each.problems[0]["code"] for each in self.answered if each.problems)

    def unexpected(self) -> list[str]:
        """Name the items that were answered otherwise than they should have been."""
        found = [f"{a.item.title}: {a.outcome}, not {a.item.expected}" for a in self.answered if a.outcome is not a.item.expected]
        first = {a.item.jti: a.receipt for a in self.of(Expected.ACCEPTED)}
        found += [f"{a.item.title}: another receipt" for a in self.of(Expected.REPEATED) if a.receipt != first.get(a.item.jti)]
        return found + [f"{self.total - len(self.answered)} without an answer"] * (len(self.answered) != self.total)


def notices(kit: Kit, count: int, seed: int, now: datetime) -> list[Item]:
    """Return the notices of a fictional register, signed and encrypted; one also names two partners of the sender's choice."""
    made = []
    for scenario in fictional_register(seed, count - ODD_COUNT, now):
        event = scenario.sample.event
        if scenario.number == TOLD:
            event = replaced(event, "/routing/recipients", NAMED)
        claims = scenario.sample.claims(iss=kit.partner, aud=kit.gateway, uri_base=kit.uri_base)
        claims["events"] = dict.fromkeys(claims["events"], event)
        jws = tokens.sign(claims, kit.submit_key, typ=tokens.EVENT)
        expected = Expected.REJECTED if scenario.label is Label.FAULTY else Expected.ACCEPTED
        sealed = tokens.encrypt(jws, kit.gateway_encryption)
        made.append(Item(title=scenario.title, jti=Jti(scenario.sample.jti), event=event, jws=jws, sealed=sealed, expected=expected))
    return made


def odd(kit: Kit, made: Sequence[Item], now: datetime) -> list[Item]:
    """Return a repeat, a notice changed after it was signed, and one encrypted to a key that is not the gateway's."""
    first, second, third = made[0], made[2], made[4]
    foreign = generate.new_pair(generate.Plan(owner=kit.gateway, now=now), Use.ENCRYPT).entry
    if not isinstance(foreign, EncryptionKey):
        raise TypeError(foreign)
    head, payload, signature = second.jws.split(b".")
    tampered = b".".join((head, jose.b64encode(jose.b64decode(payload).replace(b'"emergency":false', b'"emergency":true ')), signature))
    return [
        _changed(first, "a repeat, byte for byte", first.sealed, Expected.REPEATED),
        _changed(second, "changed after it was signed", tokens.encrypt(tampered, kit.gateway_encryption), Expected.UNTRUSTED),
        _changed(third, "encrypted to another key", tokens.encrypt(third.jws, foreign), Expected.UNTRUSTED),
    ]


def _changed(item: Item, title: str, sealed: bytes, expected: Expected) -> Item:
    return Item(title=title, jti=item.jti, event=item.event, jws=item.jws, sealed=sealed, expected=expected)


async def submit(client: PartnerClient, items: Sequence[Item], tally: Tally) -> None:
    """Submit items, a few at once, and check every receipt and rejection. Raises `PartnerError` where one is not the gateway's."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> None:
        async with places:
            tally.answered.append(_read(client, item, await _send(client, item)))

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))


async def _send(client: PartnerClient, item: Item) -> Response:
    """Submit until there is an answer: the same token again is safe."""
    for _ in range(TRIES):
        try:
            response = await client.submit(item.sealed)
        except aiohttp.ClientError:
            response = None
        if response is not None and response.status < 500:
            return response
        await asyncio.sleep(1)
    raise PartnerError("no answer", item.jti)


def _read(client: PartnerClient, item: Item, response: Response) -> Answered:
    if response.status in {200, 202}:
        statement = client.read_receipt(response.body, item.jws)
        outcome = Expected.ACCEPTED if response.status == 202 else Expected.REPEATED
        return Answered(item=item, outcome=outcome, receipt=response.body, statement=statement)
    problems = response.problems
    rejection = response.value.get("rejection")
    if rejection is None:
        return Answered(item=item, outcome=Expected.UNTRUSTED, problems=problems)
    statement = client.read_rejection(rejection.encode(), item.jws)
    return Answered(item=item, outcome=Expected.REJECTED, statement=statement, problems=problems)
