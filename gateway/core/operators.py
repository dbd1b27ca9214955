"""Who works at the national desk, and what each role may ask for: by default nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from gateway.contract.values import KeyId, PartnerId
from gateway.core.keyring import Keyring
from gateway.core.keys import Use, VerifyKey
from gateway.core.problems import UntrustedError

OperatorId = NewType("OperatorId", str)  # [a-z0-9-]{2,32}, and no partner's


class OperatorRole(StrEnum):
    """What a person of the desk does there."""

    OFFICER = "officer"  # keeps deliveries going
    REVIEWER = "reviewer"  # decides what waits for a person
    DPO = "dpo"  # data-protection officer: may see content, with a justification
    AUDITOR = "auditor"  # sees that and when, never what
    ADMIN = "admin"  # keeps the gateway going


class Command(StrEnum):
    """What an operator may ask for."""

    HOLD_LIST = "hold-list"
    HOLD_RELEASE = "hold-release"
    HOLD_REFUSE = "hold-refuse"
    DEADLETTER_LIST = "deadletter-list"
    LEG_INSPECT = "leg-inspect"
    LEG_READ = "leg-read"
    DEADLETTER_RETRY = "deadletter-retry"
    DEADLETTER_DISCARD = "deadletter-discard"
    PARTNER_LIST = "partner-list"
    PARTNER_ATTEMPTS = "partner-attempts"
    PARTNER_KEYS = "partner-keys"
    PARTNER_KEY_APPROVE = "partner-key-approve"
    PARTNER_KEY_REFUSE = "partner-key-refuse"
    PARTNER_KEY_REVOKE = "partner-key-revoke"
    PARTNER_CHECK = "partner-check"
    PARTNER_PAUSE = "partner-pause"
    PARTNER_RESUME = "partner-resume"
    PARTNER_SUSPEND = "partner-suspend"
    PARTNER_REDELIVER = "partner-redeliver"


R: Final = OperatorRole
ROLES_OF: Final[Mapping[Command, frozenset[OperatorRole]]] = {  # what is not here nobody may
    Command.HOLD_LIST: frozenset(R),
    Command.HOLD_RELEASE: frozenset({R.REVIEWER, R.ADMIN}),
    Command.HOLD_REFUSE: frozenset({R.REVIEWER, R.ADMIN}),
    Command.DEADLETTER_LIST: frozenset(R),
    Command.LEG_INSPECT: frozenset(R),
    Command.LEG_READ: frozenset({R.REVIEWER, R.DPO}),
    Command.DEADLETTER_RETRY: frozenset({R.OFFICER, R.REVIEWER, R.ADMIN}),
    Command.DEADLETTER_DISCARD: frozenset({R.REVIEWER, R.ADMIN}),
    Command.PARTNER_LIST: frozenset(R),
    Command.PARTNER_ATTEMPTS: frozenset(R),
    Command.PARTNER_KEYS: frozenset(R),
    Command.PARTNER_KEY_APPROVE: frozenset({R.ADMIN}),
    Command.PARTNER_KEY_REFUSE: frozenset({R.ADMIN}),
    Command.PARTNER_KEY_REVOKE: frozenset({R.ADMIN}),
    Command.PARTNER_CHECK: frozenset({R.OFFICER, R.ADMIN}),
    Command.PARTNER_PAUSE: frozenset({R.OFFICER, R.ADMIN}),
    Command.PARTNER_RESUME: frozenset({R.ADMIN}),
    Command.PARTNER_SUSPEND: frozenset({R.ADMIN}),
    Command.PARTNER_REDELIVER: frozenset({R.ADMIN}),
}
# ids and codes only: no evidence
READING: Final = frozenset(
    {
        Command.HOLD_LIST, Command.DEADLETTER_LIST, Command.LEG_INSPECT, Command.PARTNER_LIST, Command.PARTNER_ATTEMPTS,
        Command.PARTNER_KEYS,
    }
)  # fmt: skip
JUSTIFIED: Final = frozenset({Command.LEG_READ})  # they show content


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A person of the national desk, as `operators/<id>.toml` says."""

    id: OperatorId
    name: str
    roles: frozenset[OperatorRole]
    keys: tuple[VerifyKey, ...]
    digest: str = ""  # hex SHA-256 of the file

    def may(self, command: Command) -> bool:
        """Say whether one of the person's roles gives this command."""
        return not self.roles.isdisjoint(ROLES_OF.get(command, frozenset()))


class Operators:
    """Everybody there is. Never changed: a reload makes new ones."""

    def __init__(self, operators: Iterable[Operator] = ()) -> None:
        """Take them. Raises `KeyringError` where one has a key id twice."""
        self._by_id = {operator.id: operator for operator in operators}
        self._keyring = Keyring(key for operator in self._by_id.values() for key in operator.keys)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self._by_id[id_] for id_ in sorted(self._by_id))

    def find(self, id_: str) -> Operator:
        """Return the operator of that id. Raises `UntrustedError`: a stranger is told no more than one with a wrong key."""
        operator = self._by_id.get(OperatorId(id_))
        if operator is None:
            raise UntrustedError("command: no such operator")
        return operator

    def key(self, operator: Operator, kid: KeyId) -> VerifyKey:
        """Return the operator's own key of that id. Raises `UntrustedError` if unknown, of another use or revoked."""
        return self._keyring.find(PartnerId(operator.id), kid, use=Use.COMMAND)


NOBODY: Final = Operators()
