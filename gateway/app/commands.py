"""Operators' signed commands, carried out: checked, done and kept in evidence in one transaction, each once.

What shows ids and codes only is checked and counted like the rest, and leaves no entry. The entry has the digest of the token, and not
the token: its arguments are ids and codes, which the entry names itself (docs/adr/0009-operators-and-commands.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway.app.aside import Done, Look
from gateway.app.deadletters import DeadLetters
from gateway.app.hold import Hold
from gateway.app.intake import INTERNAL
from gateway.app.next_keys import NextKeys
from gateway.app.partners import PartnerDesk
from gateway.app.ports import Answer, Bus, BusUnavailableError, Clock, Store, StoreUnavailableError, Telemetry, UnitOfWork
from gateway.app.requests import UNAVAILABLE, problems_answer
from gateway.app.world import Holder
from gateway.contract.errors import InvariantError
from gateway.contract.values import LegId, PartnerId
from gateway.core import strict_json
from gateway.core.commands import (
    Approval,
    AttemptListing,
    DeadListing,
    Discarded,
    HoldListing,
    KeyListing,
    Legs,
    Nothing,
    OfKey,
    OfPartner,
    OneLeg,
    Paged,
    Redelivery,
    SignedCommand,
    arguments_of,
    read_command,
)
from gateway.core.evidence import entries
from gateway.core.operators import READING, Command
from gateway.core.problems import RefusedInputError, UntrustedError

BYTES_MAX: Final = 16 * 1024  # of a command: the ids of a hundred legs are a quarter of it
_OPERATOR: Final = "operator/"  # before the id under which a command's jti is remembered: no partner has a stroke in its name
Handler = Callable[[UnitOfWork, SignedCommand], Awaitable[Done]]


class Commands:
    """Carries out what operators sign for."""

    def __init__(  # noqa: PLR0913 -- the use cases behind the commands
        self,
        store: Store,
        bus: Bus,
        holder: Holder,
        *,
        hold: Hold,
        deadletters: DeadLetters,
        look: Look,
        partners: PartnerDesk,
        keys: NextKeys,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the use cases."""
        self._store, self._bus, self._holder, self._clock, self._telemetry = store, bus, holder, clock, telemetry
        self._handlers: Mapping[Command, Handler] = {
            Command.HOLD_LIST: lambda work, signed: hold.list(work, arguments_of(signed, HoldListing)),
            Command.HOLD_RELEASE: lambda work, signed: hold.release(work, arguments_of(signed, Legs)),
            Command.HOLD_REFUSE: lambda work, signed: hold.refuse(work, arguments_of(signed, Legs)),
            Command.DEADLETTER_LIST: lambda work, signed: deadletters.list(work, arguments_of(signed, DeadListing)),
            Command.DEADLETTER_RETRY: lambda work, signed: deadletters.retry(work, arguments_of(signed, Legs)),
            Command.DEADLETTER_DISCARD: lambda work, signed: deadletters.discard(work, arguments_of(signed, Discarded)),
            Command.LEG_INSPECT: lambda work, signed: look.inspect(work, LegId(arguments_of(signed, OneLeg).leg)),
            Command.LEG_READ: lambda work, signed: look.read(work, LegId(arguments_of(signed, OneLeg).leg)),
            Command.PARTNER_LIST: lambda work, signed: partners.list(work, arguments_of(signed, Nothing)),
            Command.PARTNER_ATTEMPTS: lambda work, signed: partners.attempts(work, arguments_of(signed, AttemptListing)),
            Command.PARTNER_KEYS: lambda work, signed: keys.list(work, arguments_of(signed, KeyListing)),
            Command.PARTNER_KEY_APPROVE: lambda work, signed: keys.approve(work, arguments_of(signed, Approval), signed.operator),
            Command.PARTNER_KEY_REFUSE: lambda work, signed: keys.refuse(work, arguments_of(signed, OfKey), signed.operator),
            Command.PARTNER_KEY_REVOKE: lambda work, signed: keys.revoke(work, arguments_of(signed, OfKey), signed.operator),
            Command.PARTNER_CHECK: lambda work, signed: partners.check(work, arguments_of(signed, OfPartner)),
            Command.PARTNER_PAUSE: lambda work, signed: partners.pause(work, arguments_of(signed, OfPartner)),
            Command.PARTNER_RESUME: lambda work, signed: partners.resume(work, arguments_of(signed, Paged)),
            Command.PARTNER_REDELIVER: lambda work, signed: partners.redeliver(work, arguments_of(signed, Redelivery)),
            Command.PARTNER_SUSPEND: lambda work, signed: partners.suspend(work, arguments_of(signed, OfPartner)),
        }

    async def run(self, raw: bytes) -> Answer:
        """Carry out the command in `raw`. Never raises for what a peer sent."""
        try:
            signed = read_command(raw, self._holder.current.operators, aud=self._holder.current.context.gateway, now=self._clock.now())
            done = await self._once(signed)
        except RefusedInputError as exc:
            reason = exc.reason if isinstance(exc, UntrustedError) else exc.problem.code.value
            self._telemetry.event("command-refused", code=reason)
            return problems_answer((exc.problem,))
        except (StoreUnavailableError, BusUnavailableError) as exc:
            self._telemetry.event("request-unavailable", code=type(exc).__name__)
            return problems_answer((UNAVAILABLE,))
        except Exception as exc:  # noqa: BLE001 -- a missing key, a broken row: what it says may quote content, so its kind alone is told
            self._telemetry.event("request-failed", code=type(exc).__name__)
            return problems_answer((INTERNAL,))
        self._telemetry.event("command-done", code=signed.command.value, count=len(done.targets) or None)
        return _json(done.value)

    async def _once(self, signed: SignedCommand) -> Done:
        handler = self._handlers.get(signed.command)
        if handler is None:
            raise InvariantError(signed.command, "has a role and no handler")
        async with self._store.unit_of_work() as work:
            who = PartnerId(_OPERATOR + signed.operator.id)
            if not await work.remember_requests([(who, signed.jti, signed.exp)]):
                raise UntrustedError("command used twice")
            done = await handler(work, signed)
            if signed.command not in READING:
                await work.stage_evidence([self._entry(signed, done)])
        if done.records:
            await self._bus.publish(done.records)
        return done

    def _entry(self, signed: SignedCommand, done: Done) -> bytes:
        return entries.Commanded(
            at=entries.moment(self._clock.now()), operator=signed.operator.id, key=signed.key, jti=signed.jti, command=signed.command.value,
            digest=signed.digest, targets=done.targets, reason=done.reason,
            justification=signed.justification.value if signed.justification else None, file=signed.file, partner=done.partner,
        ).encode()  # fmt: skip


def _json(value: Mapping[str, Any]) -> Answer:
    return Answer(outcome="ok", body=strict_json.canonical(value))
