"""What the clients know for themselves: what they sent, what they were answered, what arrived. Pure; times are arguments.

Nothing in here comes from the gateway's database. Registers write down what they submit and what they read back; partners what they
opened and verified with pinned keys. `judge.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Way(StrEnum):
    """How a message was submitted."""

    HTTP = "http"
    KAFKA = "kafka"


@dataclass(frozen=True, slots=True)
class Stated:
    """What must become of a message: who gets it, which countries are refused and why, or as what it is rejected."""

    partners: frozenset[str] = frozenset()
    refusals: frozenset[tuple[str, str]] = frozenset()  # (country, reason)
    rejection: str = ""  # problem code


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg as its sender sees it."""

    partner: str
    jti: str
    state: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Something that was said about a message which is no receipt: an HTTP status, or the outcome of a record."""

    at: float
    status: str
    codes: tuple[str, ...] = ()


@dataclass(slots=True)
class Entry:
    """One message of a register, and everything that its sender has heard of it."""

    jti: str
    subject: str
    number: int  # its place among the messages about its subject
    stated: Stated
    way: Way
    trial: int
    at: float
    receipted_at: float | None = None
    receipts: set[bytes] = field(default_factory=set)  # different ones: there may be one
    leaf: bytes | None = None  # of the evidence, as the receipt says
    proven: bool = False  # that leaf is in the log
    answers: list[Answer] = field(default_factory=list)
    legs: tuple[Leg, ...] | None = None  # None: never asked, or not known there
    refusals: frozenset[tuple[str, str]] = frozenset()
    told: dict[str, str] = field(default_factory=dict)  # leg's jti → stage of the acknowledgement
    may_die: set[str] = field(default_factory=set)  # partners that refuse documents in this trial
    given_up: bool = False  # the sender waits no more

    @property
    def is_open(self) -> bool:
        """Say whether its sender has not seen the end of it yet."""
        if self.given_up:
            return False
        if self.stated.rejection:
            return not any(self.stated.rejection in answer.codes for answer in self.answers)
        if self.legs is None or self.receipted_at is None:
            return True
        return any(not leg.ended or leg.jti not in self.told for leg in self.legs) or not self.stated.partners <= {
            leg.partner for leg in self.legs
        }

    @property
    def is_told(self) -> bool:
        """Say whether its sender was told of as many ends as there are partners: then its status is worth a question."""
        return len(self.told) >= len(self.stated.partners)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document that a partner opened and verified, when it came first."""

    partner: str
    jti: str
    digest: str  # of what was signed
    original: str
    subject: str
    at: float


@dataclass(slots=True)
class Ledger:
    """The clients' book."""

    entries: dict[str, Entry] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)  # in the order in which they came, for each partner
    contents: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # (partner, jti) → digests
    produced: dict[tuple[int, int], str] = field(default_factory=dict)  # (partition, offset) the broker acknowledged → jti
    answered: dict[tuple[int, int], str] = field(default_factory=dict)  # (partition, offset) a result names → outcome
    again: int = 0  # how often a document came once more under its jti: a lost answer, a lease that ended
    evidence: list[str] = field(default_factory=list)  # what did not verify
    other: list[tuple[str, str]] = field(default_factory=list)  # (kind of fault, what) that the harness itself has seen
    _numbers: dict[str, int] = field(default_factory=dict)

    def submits(self, jti: str, subject: str, stated: Stated, way: Way, *, trial: int, at: float) -> Entry:
        """Write down a message before it is sent for the first time."""
        number = self._numbers[subject] = self._numbers.get(subject, 0) + 1
        entry = self.entries[jti] = Entry(jti, subject, number, stated, way, trial, at)
        return entry

    def receipted(self, jti: str, receipt: bytes, leaf: bytes, *, at: float) -> None:
        """Write down a receipt whose signature was checked."""
        entry = self.entries[jti]
        entry.receipts.add(receipt)
        entry.leaf = leaf
        entry.receipted_at = at if entry.receipted_at is None else entry.receipted_at

    def said(self, jti: str, answer: Answer) -> None:
        """Write down an answer that is no receipt."""
        self.entries[jti].answers.append(answer)

    def arrived(self, arrival: Arrival) -> bool:
        """Write down a document; return whether it is the first of its `jti` at this partner."""
        known = self.contents.setdefault((arrival.partner, arrival.jti), set())
        first = not known
        known.add(arrival.digest)
        if first:
            self.arrivals.append(arrival)
        return first

    def status(self, jti: str, legs: Iterable[Leg], refusals: Iterable[tuple[str, str]]) -> None:
        """Write down what the gateway says of a message now."""
        entry = self.entries[jti]
        entry.legs, entry.refusals = tuple(legs), frozenset(refusals)

    def of(self, trial: int) -> list[Entry]:
        """Return the messages of one trial."""
        return [entry for entry in self.entries.values() if entry.trial == trial]

    def open(self) -> list[Entry]:
        """Return the messages whose sender has not seen the end."""
        return [entry for entry in self.entries.values() if entry.is_open]

    def unanswered(self) -> Mapping[tuple[int, int], str]:
        """Return the records that the broker has, and nobody has answered."""
        return {where: jti for where, jti in self.produced.items() if where not in self.answered}
