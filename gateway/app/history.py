"""What was said earlier about the subjects of a batch, read as decisions ask for it: heads first, then only the messages they want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from gateway.app.locked import Locked
from gateway.app.outgoing import Outgoings
from gateway.app.ports import LegRow, UnitOfWork
from gateway.app.rows import roles_of
from gateway.app.safe import Safe, is_referral
from gateway.app.world import World
from gateway.contract.errors import GatewayError
from gateway.contract.values import Jti, Ref, SubjectKey
from gateway.core import facts
from gateway.core.facts import CONVERSATIONS, Answered, Earlier, EarlierLeg, Facts, Head
from gateway.core.families import ACKNOWLEDGEMENT, REFERRAL
from gateway.core.limits import EARLIER_COUNT_MAX
from gateway.core.message import Message

UNREAD: Final = ("earlier",)


class History:
    """The earlier messages of locked subjects; members of a batch are added as they are accepted, so that each sees those before it."""

    def __init__(self, work: UnitOfWork, safe: Safe, outgoings: Outgoings, *, locked: Locked, world: World) -> None:
        """Read in one transaction, under the locks of its subjects. What the gateway said itself is no fact."""
        self._work, self._safe, self._outgoings, self._locked = work, safe, outgoings, locked
        self._gateway = world.context.gateway
        self._referrers = [profile.id for profile in world.directory if REFERRAL in profile.sends]
        self._referred: set[str] = set()  # ids of referrals, among those that members have as their `txn`
        self._heads: dict[SubjectKey, list[Head]] = {}
        self._earlier: dict[Ref, Earlier | None] = {}  # None: it cannot be read

    async def prepare(self, asked: Sequence[tuple[Message, SubjectKey]]) -> None:
        """Read at once what the members of a batch will ask for."""
        self._heads = await self._work.heads(sorted({subject for _, subject in asked}), besides=self._gateway)
        await self._load({ref for message, subject in asked for ref in self._wanted(message, subject)})
        await self._find_referrals({message.txn for message, subject in asked if _may_join(message, subject)})

    async def _find_referrals(self, txns: Iterable[str]) -> None:
        """Find which conversations have their name from a referral: whoever takes it up outside would join the two (R-REF-03)."""
        refs = sorted(Ref(partner, Jti(txn)) for txn in txns for partner in self._referrers)
        found = await self._work.messages(refs) if refs else {}
        self._referred |= {ref.jti for ref, row in found.items() if is_referral(row.subject)}

    async def facts(self, message: Message, subject: SubjectKey, told: Answered | None) -> Facts:
        """Return the facts of one decision."""
        wanted = self._wanted(message, subject) | ({told.message} if told is not None else set())
        await self._load(wanted)
        found = [self._earlier[ref] for ref in wanted if ref in self._earlier]
        unread = UNREAD if len(wanted) > EARLIER_COUNT_MAX or any(e is None for e in found) else ()
        earlier = sorted((e for e in found if e is not None), key=lambda e: (e.received_at, e.message.jti))
        families = frozenset(head.family for head in self._heads.get(subject, ()))
        of_referral = (message.txn in self._referred and _may_join(message, subject)) or _strays(message, subject)
        return Facts(answered=told, earlier=tuple(earlier), families=families, of_referral=of_referral, unread=unread)

    def add(self, message: Message, subject: SubjectKey, legs: Sequence[LegRow], now: datetime) -> None:
        """Take in a member that was accepted."""
        conversation = self._safe.conversation(subject, message.txn)
        self._heads.setdefault(subject, []).append(Head(message.ref, message.family.name, conversation, now))
        self._earlier[message.ref] = Earlier(message, now, tuple(_leg(leg) for leg in legs))
        if is_referral(subject):
            self._referred.add(message.jti)

    def _wanted(self, message: Message, subject: SubjectKey) -> frozenset[Ref]:
        conversation = self._safe.conversation(subject, message.txn)
        return facts.wanted(message, self._heads.get(subject, ()), conversation=conversation)

    async def _load(self, refs: Iterable[Ref]) -> None:
        """Open what is not open yet, at most so much that one transaction can bear. What was erased is not there."""
        missing = sorted(set(refs) - self._earlier.keys())[:EARLIER_COUNT_MAX]
        if not missing:
            return
        rows = await self._work.messages(missing)
        legs = await self._work.legs_of_each(missing)
        for ref, row in rows.items():
            try:
                message = self._outgoings.read(row, self._locked)
            except GatewayError:
                self._earlier[ref] = None
            else:
                self._earlier[ref] = Earlier(message, row.received_at, tuple(_leg(leg) for leg in legs.get(ref, ())))


def _may_join(message: Message, subject: SubjectKey) -> bool:
    """Say whether a message is kept among registers' and takes up a conversation that nothing it answers vouches for (R-CNV-01)."""
    answers = message.in_response_to is not None and message.family.name in CONVERSATIONS
    return not is_referral(subject) and not answers and message.txn != message.jti


def _strays(message: Message, subject: SubjectKey) -> bool:
    """Say whether what is no referral answers one, or an acknowledgement of one: it would be kept, and found, with it (R-REF-03)."""
    return is_referral(subject) and message.family.name not in {REFERRAL, ACKNOWLEDGEMENT}


def _leg(leg: LegRow) -> EarlierLeg:
    return EarlierLeg(
        leg_id=leg.leg_id, partner=leg.partner, jti=leg.jti, state=leg.state, attempt=leg.attempt, countries=leg.countries,
        roles=roles_of(leg), groups=frozenset(leg.groups), hold=leg.hold_reason,
    )  # fmt: skip
