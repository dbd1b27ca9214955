"""What the use cases need of the world: store, bus, desk, clock, dice, telemetry. `bootstrap` supplies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from gateway.app.partner_rows import PartnerRows
from gateway.contract.errors import OperatorError
from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Ref, SubjectKey
from gateway.core.circuit import Circuit
from gateway.core.delivery import State
from gateway.core.facts import Answered, Head
from gateway.core.message import Signed

# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was said about (`iss`, `jti`) when it was first accepted: outlives erasure."""

    ref: Ref
    digest: str
    receipt: bytes  # the signed receipt, byte for byte


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """A locked subject. `seq` is the last one given out; `wrapped` its key under key-encryption-key epoch `epoch`."""

    key: SubjectKey
    seq: int
    epoch: str
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """An accepted message (or one of ours). Everything of the payload is in `payload`, encrypted under `wrapped`'s key."""

    ref: Ref
    channel: PartnerId  # whose channel it came by; ours for messages of the gateway
    family: str
    version: str
    subject: SubjectKey
    txn: str
    lane: Lane
    received_at: datetime
    iat: datetime
    delete_by: datetime
    payload: bytes  # vault.seal of the JWS as received (for ours: of the event's JSON)
    wrapped: bytes  # the message key under the subject's key
    facts: bytes  # vault.seal of the facts used
    decision: Mapping[str, str]  # digests of policies, rules, code lists, profile; gateway version


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRow:
    """A leg: the truth about one message on its way to one partner."""

    leg_id: LegId
    message: Ref
    family: str
    partner: PartnerId
    subject: SubjectKey
    jti: Jti
    countries: tuple[Country, ...]  # each that the partner is told for, that of the most important role first
    roles: tuple[str, ...]
    lane: Lane
    seq: int
    state: State
    attempt: int = 0  # publications (or first offer) so far
    failures: int = 0  # attempts that failed, for the back-off
    due_at: datetime
    lease_until: datetime | None = None
    created_at: datetime
    expires_at: datetime
    delete_by: datetime
    hold_reason: str | None = None
    reason: str | None = None  # of a refusal, expiry, cancellation or death
    last_code: str | None = None  # what the last attempt said, a code
    groups: tuple[str, ...] = ()  # field groups the partner may see, sorted
    removed: tuple[tuple[str, str, tuple[str, ...]], ...] = ()  # (group, reason, policies)
    because: tuple[str, ...] = ()
    policy_digest: str = ""
    signed: bytes | None = None  # vault.seal of the signed token: a leg is signed once
    signed_digest: str | None = None  # hex SHA-256 of the signed token
    sent_at: datetime | None = None  # first publication or offer
    ended_at: datetime | None = None
    receipt_due_at: datetime | None = None  # delivered, and a receipt is owed by then
    proof: str | None = None  # hex SHA-256 of the partner's signed acknowledgement or poll request
    released_under: str | None = None  # digest of the policies in force when a person released it: under these it is not held again

    @property
    def country(self) -> Country | None:
        """The country of the most important role."""
        return self.countries[0] if self.countries else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    """A recorded decision not to send."""

    message: Ref
    position: int
    partner: PartnerId | None
    country: Country | None
    roles: tuple[str, ...]
    reason: str
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRow:
    """Something about a message that must have happened by `due_at`: else somebody is told, again and again, to `until` at the latest."""

    kind: str  # which deadline: a word of the use case that watches it
    message: Ref
    subject: SubjectKey
    due_at: datetime
    until: datetime  # the message's end
    round: int = 0  # how often it was due and somebody was told


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideCount:
    """How many legs of one partner stand aside (held or dead) for the same reason, and since when the first of them."""

    partner: PartnerId
    state: State
    hold_reason: str | None
    reason: str | None
    last_code: str | None
    legs: int
    oldest: datetime  # its end where it is dead, else when it was made


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideFilter:
    """Which legs that stand aside: None is any."""

    partner: PartnerId | None = None
    hold_reason: str | None = None
    since: datetime | None = None  # as `AsideCount.oldest`
    after: LegId | None = None


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key as it lies in the database: under a key-encryption-key epoch."""

    epoch: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A signed tree head."""

    size: int
    root: bytes
    note: str
    at: datetime


# --- store ------------------------------------------------------------------------------------------------------------


class StoreUnavailableError(OperatorError):
    """The database does not answer, is locked, full or read-only.

    Nothing of the unit of work is done; where the connection was lost in the commit itself, all or nothing of it is: a repeat finds out.
    """


class EpochEndedError(StoreUnavailableError):
    """Something was about to be put under a key-encryption-key epoch that was destroyed: this process has not read its keys since."""


class UnitOfWork(PartnerRows, Protocol):
    """One transaction: all or nothing. READ COMMITTED on PostgreSQL, BEGIN IMMEDIATE on SQLite."""

    # intake
    async def claim(self, ids: Sequence[Signed], at: datetime) -> set[Ref]:
        """Claim (`signer`, `jti`) in key order; return those that were free. The losers wait for the winner's commit."""

    async def earlier(self, refs: Sequence[Ref]) -> dict[Ref, Earlier]:
        """Return what was accepted before under these references."""

    async def save_receipts(self, receipts: Mapping[Ref, bytes]) -> None:
        """Store the signed receipts of claimed references."""

    async def unclaim(self, refs: Sequence[Ref]) -> None:
        """Take back claims made in this transaction: what is rejected does not use up its `jti`. A claim with a receipt stays."""

    async def lock_subjects(self, keys: Mapping[SubjectKey, WrappedKey]) -> dict[SubjectKey, SubjectRow]:
        """Insert missing subjects (with the new wrapped keys given) and lock all, in key order. Raises `EpochEndedError`."""

    async def relock_subjects(self, keys: Sequence[SubjectKey]) -> dict[SubjectKey, SubjectRow]:
        """Lock subjects that exist, in key order."""

    async def set_seq(self, seqs: Mapping[SubjectKey, int]) -> None:
        """Store the last `seq` given out for locked subjects."""

    async def answered(self, jtis: Sequence[Jti]) -> dict[Jti, Answered]:
        """Return the legs with these `jti`, with what their originals say."""

    async def heads(self, keys: Sequence[SubjectKey], *, besides: PartnerId) -> dict[SubjectKey, list[Head]]:
        """Return what was said of subjects, oldest first, without what came by the channel `besides` (the gateway's own)."""

    async def lock_senders(self, senders: Sequence[PartnerId]) -> dict[PartnerId, datetime | None]:
        """Lock senders' rows (insert if missing) in key order, after subjects; return when the urgent quota of each is whole again."""

    async def save_senders(self, until: Mapping[PartnerId, datetime]) -> None:
        """Store when the urgent quotas of locked senders will be whole again."""

    async def add_messages(self, rows: Sequence[MessageRow]) -> None:
        """Insert messages."""

    async def add_legs(self, rows: Sequence[LegRow]) -> None:
        """Insert legs."""

    async def add_refusals(self, rows: Sequence[RefusalRow]) -> None:
        """Insert refusals."""

    # the line
    async def lift(self, lines: Mapping[tuple[PartnerId, SubjectKey], Lane]) -> None:
        """Raise the open legs of each (partner, subject) to at least that lane."""

    async def give_turns(self, lines: Sequence[tuple[PartnerId, SubjectKey]]) -> list[LegId]:
        """Make ready the planned head of each (partner, subject) that has nothing open before it."""

    async def previous_sent(
        self, lines: Sequence[tuple[PartnerId, SubjectKey]]
    ) -> dict[tuple[PartnerId, SubjectKey], tuple[Jti, datetime]]:
        """Return the `jti` last sent (first publication) to each partner on each subject, and when."""

    async def undelivered_before(self, legs: Sequence[LegId]) -> set[LegId]:
        """Return those legs that have a held or dead leg of a smaller `seq` on the same (partner, subject)."""

    # seal
    async def due_partners(self, now: datetime) -> list[tuple[PartnerId, Lane]]:
        """Return which (partner, lane) have claimable legs now. Partners whose circuit is open have none."""

    async def lock_partner(self, partner: PartnerId, now: datetime) -> int:
        """Lock the partner's row (insert if missing) and return how many of its legs are sending, or claimed by a lease that lasts."""

    async def circuits(self, partners: Sequence[PartnerId]) -> dict[PartnerId, Circuit]:
        """Lock the partners' rows in key order and return their circuits; one that never had a leg has none.

        A row that another transaction holds is left out, never waited for: no partner's legs wait for another's row.
        """

    async def troubles(self) -> dict[PartnerId, Circuit]:
        """Return the circuits that are not at rest, without a lock."""

    async def save_circuits(self, circuits: Mapping[PartnerId, Circuit]) -> None:
        """Write the circuits of locked partners."""

    async def wake(self, partner: PartnerId, now: datetime, *, limit: int) -> int:
        """Make ready legs of a locked partner due now that wait after a failure, at most `limit`; return how many."""

    async def claim_legs(self, partner: PartnerId, lane: Lane, *, now: datetime, until: datetime, limit: int) -> list[LegRow]:
        """Lease due ready legs until `until`, oldest first, only the head of each (partner, subject). Skips what others hold."""

    async def offered(self, partner: PartnerId, *, now: datetime, until: datetime, limit: int) -> list[LegRow]:
        """Lease again available legs whose lease (visibility) has ended, oldest first."""

    async def start_attempts(self, legs: Sequence[LegRow], *, claimed_until: datetime) -> set[LegId]:
        """Save claimed legs with their new state, attempt, signed token and lease, where the row is still as claimed.

        As claimed: state ready or available, `lease_until` equals `claimed_until`, attempt not above the new one.
        Returns the legs saved; another worker has started or closed the rest.
        """

    async def end_leases(self, now: datetime) -> int:
        """End every worker's lease on legs, ready or sending, that would last beyond `now`; return how many. Offers in inboxes stay.

        For the start of the only process there is: whoever held them has ended.
        """

    # settle
    async def lines_of(self, leg_ids: Sequence[LegId]) -> dict[LegId, tuple[PartnerId, SubjectKey]]:
        """Return the (partner, subject) of legs, which never change, without a lock: so that subjects can be locked first."""

    async def legs(self, leg_ids: Sequence[LegId]) -> dict[LegId, LegRow]:
        """Read legs, locked for update."""

    async def legs_by_jti(self, partner: PartnerId, jtis: Sequence[Jti]) -> dict[Jti, LegRow]:
        """Read one partner's legs by their tokens' ids, without a lock."""

    async def legs_of(self, message: Ref) -> list[LegRow]:
        """Read all legs of a message, by seq and partner."""

    async def legs_of_each(self, messages: Sequence[Ref]) -> dict[Ref, list[LegRow]]:
        """Read all legs of several messages, each by seq and partner."""

    async def refusals_of(self, message: Ref) -> list[RefusalRow]:
        """Read all refusals of a message."""

    async def save_legs(self, legs: Sequence[LegRow]) -> None:
        """Write the mutable columns of legs read with `legs`."""

    async def due_timers(self, now: datetime, *, limit: int) -> list[LegRow]:
        """Return legs with something due, without a lock: settle locks and looks again.

        Due is: a lease ended while sending; `expires_at` past while planned, ready, held, available or dead; a receipt overdue.
        """

    async def messages(self, refs: Sequence[Ref]) -> dict[Ref, MessageRow]:
        """Read messages."""

    # what stands aside
    async def aside(self, state: State, which: AsideFilter, *, limit: int) -> list[LegRow]:
        """Read held or dead legs without a lock, by id, which is by age."""

    async def aside_counts(self) -> list[AsideCount]:
        """Count held and dead legs by partner and reason."""

    # watched deadlines
    async def add_watches(self, rows: Sequence[WatchRow]) -> None:
        """Insert watches, after the messages they are about."""

    async def due_watches(self, kind: str, now: datetime, *, limit: int) -> list[WatchRow]:
        """Return watches of a kind whose time has come, the longest overdue first, without a lock: who acts locks and looks again."""

    async def lock_watch(self, kind: str, message: Ref) -> WatchRow | None:
        """Lock a watch, after its subject; None where it has ended."""

    async def save_watch(self, row: WatchRow) -> None:
        """Write `due_at` and `round` of a locked watch."""

    async def end_watch(self, row: WatchRow) -> None:
        """Delete a locked watch."""

    async def overdue_watches(self) -> dict[str, int]:
        """Count, by kind, the watches that were due at least once and have not ended, for metrics."""

    async def subject_keys(self, keys: Sequence[SubjectKey]) -> dict[SubjectKey, SubjectRow]:
        """Read subjects without a lock."""

    async def oldest_due(self) -> datetime | None:
        """Return since when the oldest ready leg is due, for metrics."""

    async def counts(self) -> dict[tuple[PartnerId, State], int]:
        """Count legs by partner and state, for metrics and the live table."""

    # requests
    async def remember_requests(self, ids: Sequence[tuple[PartnerId, Jti, datetime]]) -> set[tuple[PartnerId, Jti]]:
        """Note request tokens' (`iss`, `jti`) until their `exp`, in key order; return those that were new."""

    async def forget_requests(self, now: datetime) -> None:
        """Delete request ids whose `exp` is past."""

    # everything, page by page, for a drill
    async def submissions_after(self, after: Ref | None, limit: int) -> list[Earlier]:
        """Return what was accepted, by reference, from behind `after` on."""

    async def legs_after(self, after: LegId | None, limit: int) -> list[LegRow]:
        """Return all legs, by id, from behind `after` on, without a lock."""

    # epochs
    async def epochs(self) -> dict[str, int]:
        """Count the keys of subjects by the epoch they lie under."""

    async def keys_under(self, epoch: str, limit: int) -> dict[SubjectKey, bytes]:
        """Return wrapped keys of subjects under an epoch, locked in key order."""

    async def rewrap(self, keys: Mapping[SubjectKey, WrappedKey]) -> None:
        """Replace wrapped keys of subjects, locked before, by the same keys under another epoch. Raises `EpochEndedError`."""

    async def end_epoch(self, epoch: str) -> int:
        """Let no process put a key under this epoch once this commits; return how many are under it. Waits for who puts one now."""

    # evidence
    async def stage_evidence(self, entries: Sequence[bytes]) -> None:
        """Stage entries: durable with this transaction, numbered later."""

    async def take_lease(self, name: str, holder: str, now: datetime, until: datetime) -> int | None:
        """Take or renew the named lease; return its epoch, or None where another holds it."""

    async def staged(self, limit: int) -> list[tuple[int, bytes]]:
        """Return staged entries, oldest first, with their staged ids."""

    async def log_size(self) -> int:
        """Return how many leaves are integrated."""

    async def log_nodes(self, coords: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Return hashes of complete subtrees by (level, index)."""

    async def integrate(self, leaves: Sequence[tuple[int, int, bytes, bytes]], nodes: Sequence[tuple[int, int, bytes]]) -> None:
        """Move (staged id, index, entry, leaf hash) into the log and add nodes (level, index, hash). A taken index raises."""

    async def add_checkpoint(self, size: int, root: bytes, note: str, at: datetime) -> None:
        """Store a signed checkpoint."""

    async def latest_checkpoint(self) -> CheckpointRow | None:
        """Return the newest checkpoint."""

    async def checkpoint_at(self, size: int) -> CheckpointRow | None:
        """Return the checkpoint of that size."""

    async def checkpoints(self) -> list[CheckpointRow]:
        """Return all checkpoints, by size."""

    async def leaf_index(self, leaf_hash: bytes) -> int | None:
        """Return where an entry stands in the log."""

    async def leaves(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """Return integrated entries from `start`."""

    async def replace_log(self, opening: bytes) -> None:
        """Take the log away, its checkpoints and projections with it, and stage the entry that opens the next. For a restore alone."""

    async def destroy_keys(self, *, messages: Sequence[Ref], subjects: Sequence[SubjectKey], epochs: Sequence[str]) -> int:
        """Delete keys of messages, of subjects, and of all subjects under an epoch; return how many there were."""

    async def database_time(self) -> datetime:
        """Return what time it is where the database runs, as of the beginning of this transaction."""

    # cursors of projections (gw.events)
    async def cursor(self, name: str) -> int:
        """Return the stored position of a projection, 0 at first."""

    async def set_cursor(self, name: str, position: int) -> bool:
        """Store the position of a projection; return whether it moved. It never goes back."""


class Store(Protocol):
    """Where the rows are."""

    def unit_of_work(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a transaction that writes. Commits on leaving without an exception. Raises `StoreUnavailableError`."""

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a transaction that only reads."""

    async def check(self) -> None:
        """Say that the database answers and its schema fits. Raises `StoreUnavailableError`."""

    async def close(self) -> None:
        """Release connections."""


# --- bus --------------------------------------------------------------------------------------------------------------


class BusUnavailableError(OperatorError):
    """The broker does not acknowledge. Whether a record arrived is unknown."""


class NoPartitionError(BusUnavailableError):
    """A record names a partition that its topic does not have. Nothing was published."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, str]
    partition: int
    offset: int


class Subscription(Protocol):
    """A member of a consumer group. An async context manager."""

    async def __aenter__(self) -> Self:
        """Join."""

    async def __aexit__(self, *exc: object) -> None:
        """Leave; nothing uncommitted is committed."""

    async def batch(self, *, max_records: int, wait_seconds: float) -> list[Record]:
        """Return what is there, waiting at most `wait_seconds` for the first record."""

    async def commit(self, records: Sequence[Record]) -> None:
        """Say that these records are done. Partitions lost to a rebalance are skipped."""

    def owned(self, topic: str) -> frozenset[int]:
        """Return the partitions this member owns now."""


class Bus(Protocol):
    """Carries records; keeps no truth."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish with all acknowledgements. Raises `BusUnavailableError`, and `NoPartitionError` before anything is published."""

    def subscribe(self, topics: Sequence[str], *, group: str, static_id: str | None = None) -> Subscription:
        """Join a consumer group on topics."""

    async def forget(self, records: Sequence[Record]) -> None:
        """Delete these records and all before them in their partitions, for every group. Raises `BusUnavailableError`: ask again."""

    async def check(self) -> None:
        """Say that the broker answers. Raises `BusUnavailableError`."""

    async def close(self) -> None:
        """Flush and release."""


# --- the edge's questions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One API request as the edge took it. Inner checks the token itself: the edge is not believed."""

    kind: str  # submit, line, event, key, poll, poll-again, status, receipt, checkpoint, inclusion, consistency
    method: str = "GET"
    path: str = "/"
    query: str = ""  # raw
    token: str | None = None  # of the Authorization header
    body: bytes = b""
    digest: str = ""  # of a line: base64url SHA-256 of the whole body it stood in, which is what the token covers
    mtls: PartnerId | None = None  # whose client certificate TLS verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What inner says. HTTP numbers are chosen in `api/` from `outcome`."""

    outcome: str  # accepted, repeated, ok, empty, problem
    body: bytes = b""
    media_type: str = "application/json"
    code: str | None = None  # the first problem's code, where outcome is problem
    wait_seconds: int | None = None  # when it makes sense to come again, where that is known


class DeskUnavailableError(OperatorError):
    """Nobody inside answered in time. A repeat is safe."""


class Desk(Protocol):
    """How an edge asks inner: in the same process, or over the bus."""

    async def ask(self, question: Question, *, deadline: datetime) -> Answer:
        """Return inner's answer. Raises `DeskUnavailableError` after `deadline`."""


# --- small ports ------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the time, with UTC."""


class Dice(Protocol):
    """Where randomness comes from."""

    def uuid7(self, now: datetime) -> str:
        """Return a new UUIDv7."""

    def key(self) -> bytes:
        """Return 32 secret bytes."""

    def jitter(self) -> float:
        """Return a number from 0 to 1."""


class Telemetry(Protocol):
    """What an operator sees. The parameters are the allow-list: a name or a body has no place to sit in."""

    def event(  # noqa: PLR0913 -- each parameter is one allowed field
        self,
        name: str,
        *,
        partner: PartnerId | None = None,
        jti: Jti | None = None,
        leg_id: LegId | None = None,
        code: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Report something that happened: a log line, and a counter where one has that name."""

    def took(self, name: str, seconds: float) -> None:
        """Report how long something took: a metric, no log line. `name` is one of a fixed few."""
