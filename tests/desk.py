"""The national desk of a house: operators with keys, and their commands carried out by the real use cases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.app.aside import Look
from gateway.app.commands import Commands
from gateway.app.deadletters import DeadLetters
from gateway.app.hold import Hold
from gateway.app.partners import PartnerDesk
from gateway.app.ports import Answer
from gateway.core import tokens
from gateway.core.commands import command_claims
from gateway.core.keys import SigningKey, Use, VerifyKey
from gateway.core.operators import Command, Operator, OperatorId, OperatorRole, Operators
from gateway.ops.telemetry import Telemetry
from tests.house import GATEWAY, House, Keys, house


@dataclass(slots=True)
class Desk:
    """A house with people in it: `officer`, `reviewer`, `dpo`, `auditor` and `admin`, each with that one role."""

    house: House
    commands: Commands
    keys: Mapping[str, SigningKey]

    def token(
        self, command: str, arguments: Mapping[str, Any], *, who: str = "reviewer", key: SigningKey | None = None, **change: Any
    ) -> bytes:
        """Sign a command; `change` replaces claims."""
        h = self.house
        claims = command_claims(
            Command(command), arguments, iss=who, aud=GATEWAY, jti=h.dice.uuid7(h.clock.now()), now=h.clock.now()
        )  # fmt: skip
        return tokens.sign({**claims, **change}, key or self.keys[who], typ=tokens.COMMAND)

    async def ask(self, command: str, *, who: str = "reviewer", change: Mapping[str, Any] | None = None, **arguments: Any) -> Answer:
        """Have a command carried out; return the answer whatever it is."""
        return await self.commands.run(self.token(command, arguments, who=who, **(change or {})))

    async def do(self, command: str, **more: Any) -> dict[str, Any]:
        """Have a command carried out that must be; return what it says."""
        answer = await self.ask(command, **more)
        assert answer.outcome == "ok", answer.body
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def listed(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """Return the legs of a list."""
        found: list[dict[str, Any]] = (await self.do(command, **arguments))["legs"]
        return found

    async def entries(self, kind: str) -> list[dict[str, Any]]:
        """Return the evidence of a kind, in order."""
        h = self.house
        while await h.sequencer.run_once():
            pass
        async with h.store.reading() as work:
            found = [json.loads(entry) for _, entry in await work.leaves(0, 10_000)]
        return [entry for entry in found if entry["kind"] == kind]


@asynccontextmanager
async def desk(folder: Path, *, roles: Sequence[OperatorRole] = tuple(OperatorRole), **more: Any) -> AsyncIterator[Desk]:
    """Open a house with a desk; `more` goes to the house."""
    async with house(folder, **more) as h:
        keys = {role.value: Keys.of(role.value, h.clock, (Use.COMMAND,)) for role in roles}
        operators = []
        for name, pairs in keys.items():
            entry = pairs.pairs[Use.COMMAND].entry
            assert isinstance(entry, VerifyKey)
            operators.append(Operator(id=OperatorId(name), name=name, roles=frozenset({OperatorRole(name)}), keys=(entry,)))
        h.holder.current = replace(h.holder.current, operators=Operators(operators))
        look = Look(h.holder, h.inbox._sealer._safe)
        commands = Commands(
            h.store, h.bus, h.holder, hold=Hold(h.holder, h.settle), deadletters=DeadLetters(h.settle), look=look,
            partners=PartnerDesk(h.holder, h.settle, h.settle._outgoings, clock=h.clock, dice=h.dice), keys=h.next_keys, clock=h.clock, telemetry=Telemetry(h.metrics),
        )  # fmt: skip
        yield Desk(h, commands, {name: pairs.signing(Use.COMMAND) for name, pairs in keys.items()})
