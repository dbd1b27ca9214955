"""The urgent quota: how many messages in the fastest lane a sender has an hour. In rows, so that it holds over several inners.

Over it a message is accepted all the same, and goes in the next lane, with a warning in its receipt: to refuse it would lose what is
urgent to somebody, and to let it go first would make the lane as slow for all as one sender makes it. What a rule puts into the fastest
lane (a child in danger, an immediate risk) is counted and stays there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gateway.app.ports import UnitOfWork
from gateway.contract.values import Lane, PartnerId
from gateway.core.directory import Directory
from gateway.core.message import Message
from gateway.core.rates import Rate
from gateway.core.recipients import lane_of

HOUR: Final = 3_600


@dataclass(slots=True)
class Quota:
    """The urgent quotas of a batch's senders, whose rows are locked. Each member sees what the earlier ones used."""

    directory: Directory
    now: datetime
    until: dict[PartnerId, datetime | None]  # when each quota will be whole again
    used: dict[PartnerId, datetime] = field(default_factory=dict)

    @classmethod
    async def lock(cls, work: UnitOfWork, messages: Iterable[Message], *, directory: Directory, now: datetime) -> Quota:
        """Lock the senders of urgent messages: nobody else is touched."""
        senders = {message.iss for message in messages if lane_of(message) is Lane.IMMEDIATE}
        return cls(directory, now, await work.lock_senders(sorted(senders)) if senders else {})

    def spent(self, message: Message) -> bool:
        """Say whether a message is urgent and its sender's quota used up."""
        if lane_of(message) is not Lane.IMMEDIATE:
            return False
        return self._rate(message.iss).wait(self._until(message.iss), self.now) > timedelta()

    def use(self, message: Message) -> None:
        """Count an accepted message, where it goes in the fastest lane."""
        if lane_of(message, urgent_spent=self.spent(message)) is Lane.IMMEDIATE:
            self.used[message.iss] = self._rate(message.iss).after(self._until(message.iss), self.now)

    async def save(self, work: UnitOfWork) -> None:
        """Write what the batch used."""
        await work.save_senders(self.used)

    def _until(self, sender: PartnerId) -> datetime | None:
        return self.used.get(sender) or self.until[sender]

    def _rate(self, sender: PartnerId) -> Rate:
        return Rate(self.directory.by_id(sender).urgent_per_hour, HOUR)
