"""A whole fictional register of any length, in the shares of seed 001: England and Wales, 2015/16.

| share of those registered | seed |
| --- | --- |
| 2, 18, 30, 50 % very high, high, medium, low risk | "approximately"; `risk_update.SHARES` |
| 2.9 % | breached their notification requirements, ended by caution or conviction |
| 0.13 % | charged with a serious further offence |
| 16,000 of 52,000 | could be eligible for reactive management: low for three years, no reoffending |
| 300 of 52,000 | moved to it: the seed says "low hundreds"; the number is ours |
| 3,873 of 52,000 | with a sexual harm prevention order made in the year |

The shares are exact, not probable: each is a number of places, rounded to whole persons, and a subject has a place by its number. So
any part of a register can be made alone, in no memory, and the same seed, count and `now` give the same. The rest is thrown.

What is said of a subject agrees over families: person, reference, status, band, offence, disposal. Reactive management is for those of
low risk alone who were low for three years; who breached, or was charged, is brought back to active management by the review.

`.venv/bin/python -m gateway.testing.families.register --subjects 1000` writes the messages, one in a line, and the shares to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import accumulate
from random import Random
from typing import Any, Final

from gateway.testing.families import breach_notification, order_summary, registration_record, risk_update
from gateway.testing.families.subject import Subject
from gateway.testing.messages import OFFENCES, Sample, instant, person_of, replaced, travel_notice

REGISTERED: Final = 52_000  # March 2016, seed 001: what the whole numbers are of
TRAVEL_SHARE: Final = 0.05  # ours
LONG_LOW: Final = ("PRISON_6M_TO_30M", "PRISON_UP_TO_6M", "PRISON_30M_OR_MORE")  # whose periods outlast what reactive management asks
ADULT: Final = 18
ROUNDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The shares of seed 001, of all registered. `words` says each for people."""

    bands: Mapping[str, Fraction] = field(default_factory=lambda: {band: Fraction(n, 100) for band, n in risk_update.SHARES.items()})
    breached: Fraction = Fraction(29, 1000)
    charged: Fraction = Fraction(13, 10_000)
    eligible: Fraction = Fraction(16_000, REGISTERED)
    moved: Fraction = Fraction(300, REGISTERED)
    ordered: Fraction = Fraction(3_873, REGISTERED)

    def words(self) -> dict[str, Fraction]:
        """Return each share under the name a `Tally` counts it by."""
        other = {
            "breached notification": self.breached, "charged with a serious further offence": self.charged,
            "eligible for reactive management": self.eligible, "moved to it": self.moved, "under an SHPO of this year": self.ordered,
        }  # fmt: skip
        return {**{f"risk {band}": share for band, share in self.bands.items()}, **other}


SEEDS: Final = Shares()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One subject, what is true of them, and the messages that say so, in the order they were sent."""

    who: Subject
    breached: bool
    charged: bool
    eligible: bool
    moved: bool
    ordered: bool
    messages: tuple[Sample, ...]

    @property
    def reactive(self) -> bool:
        """Whether management is reactive now: moved, and not brought back."""
        return self.moved and not (self.breached or self.charged)

    def traits(self) -> Iterator[str]:
        """Yield the names of the shares this subject counts to."""
        yield f"risk {self.who.band}"
        said = (self.breached, self.charged, self.eligible, self.moved, self.ordered)
        yield from (name for name, holds in zip(list(SEEDS.words())[-len(said) :], said, strict=True) if holds)


class Tally:
    """Counts what went by, and says how it compares with the seeds."""

    def __init__(self, shares: Shares = SEEDS) -> None:
        """Begin with nobody."""
        self._shares, self._count, self._traits, self._families = shares, 0, Counter[str](), Counter[str]()

    def add(self, entry: Entry) -> None:
        """Count one subject and its messages."""
        self._count += 1
        self._traits.update(entry.traits())
        self._families.update(message.family.name for message in entry.messages)

    def lines(self) -> Iterator[str]:
        """Yield the shares reached, each beside that of the seeds, and how many messages of each family there were."""
        yield f"{self._count} fictional subjects, in the shares of seed 001 (England and Wales, 2015/16):"
        for name, share in self._shares.words().items():
            yield f"  {name}: {self._traits[name]} ({_percent(self._traits[name], self._count)}; seed {float(share):.2%})"
        yield from (f"  {name}: {count} messages" for name, count in sorted(self._families.items()))


def register(seed: int, count: int, now: datetime, *, shares: Shares = SEEDS, environment: str = "TEST") -> Iterator[Entry]:
    """Yield the subjects of a register of `count`, one by one: nothing is kept."""
    placed = {what: places(Random(f"{seed}/{count}/{what}"), count) for what in ("risk", "breach", "order")}  # noqa: S311 -- fictional
    bands = _Ranges(shares.bands, count)
    for number in range(count):
        dice = Random(f"{seed}/{number}")  # noqa: S311 -- repeatable on purpose, and nothing is secret here
        risk, breach, order = (placed[what](number) for what in ("risk", "breach", "order"))
        charged, breached = _whole(shares.charged, count), _whole(shares.breached, count)
        eligible = risk >= count - _whole(shares.eligible, count)  # the last places are of low risk
        who = _subject(f"r-{number:07d}", dice, now, band=bands.of(risk), long_low=eligible)
        entry = Entry(
            who=who, charged=breach < charged, breached=charged <= breach < charged + breached, eligible=eligible,
            moved=risk >= count - _whole(shares.moved, count), ordered=order < _whole(shares.ordered, count), messages=(),
        )  # fmt: skip
        yield _told(entry, dice, now, environment)


def _told(entry: Entry, dice: Random, now: datetime, environment: str) -> Entry:
    """Return an entry with its messages."""
    record = registration_record.of(entry.who, dice, now)
    order = [order_summary.of(entry.who, dice, now)] if entry.ordered else []
    breach = [breach_notification.of(entry.who, dice, now, new_offence=entry.charged)] if entry.breached or entry.charged else []
    risk = risk_update.of(entry.who, dice, now, reactive=entry.reactive, review=_review(entry))
    messages = [record, *order, *breach, risk]
    if record.event["body"]["status"] == "ACTIVE" and dice.random() < TRAVEL_SHARE:
        messages.append(_journey(entry.who, order, dice, now))
    return replace(entry, messages=tuple(_of(message, environment) for message in messages))


def _review(entry: Entry) -> dict[str, str]:
    """Return what a review found: a breach or a new offence brings who was moved back to visits, and never leaves it unsaid."""
    if entry.breached or entry.charged:
        return {"trigger": "NEW_OFFENCE" if entry.charged else "BREACH", "outcome": "TO_ACTIVE" if entry.moved else "UNCHANGED"}
    return {"trigger": "PERIODIC", "outcome": "TO_REACTIVE" if entry.moved else "UNCHANGED"}


def _journey(who: Subject, orders: list[Sample], dice: Random, now: datetime) -> Sample:
    """Return a notice of travel that says of the subject what the other messages say."""
    banned = [order.event["body"] for order in orders if "travel_prohibition" in order.event["body"]]
    restriction: Any = "NONE"
    for body in banned:
        named = {name: body["order"][name] for name in ("id", "kind", "jurisdiction", "court")}
        restriction = {"order": named, "scope": body["travel_prohibition"]["scope"]}
    said = {
        "/body/person": who.person,
        "/body/offence_summary": [who.offence],
        "/body/risk_level/tool": "RM2000" if who.scored else "OASYS",
        "/body/risk_level/level": who.band,
        "/body/active_travel_restriction": restriction,
        "/subject": who.said,
    }
    return travel_notice(dice, now, subject_ref=who.ref, overrides=said)


def _of(sample: Sample, environment: str) -> Sample:
    return replace(sample, event=replaced(sample.event, "/handling/environment", environment))


def _subject(ref: str, dice: Random, now: datetime, *, band: str, long_low: bool) -> Subject:
    person = person_of(dice)
    born = int(person["birth"]["date"][:4])
    offences = [one for one in OFFENCES if int(one["start"][:4]) - born > ADULT]
    offence = dict(dice.choice(offences))
    offence["age_at_offence"] = int(offence["start"][:4]) - born - 1  # at least: the birthday may have been to come
    days = dice.randrange(1700, 2100) if long_low else dice.randrange(90, 700)
    disposal = dice.choice(LONG_LOW) if long_low else registration_record.disposal_of(dice)
    relevant: date = now.date() - timedelta(days=days)
    return Subject(ref=ref, person=person, band=band, offence=offence, disposal=disposal, relevant=relevant)


def places(dice: Random, count: int) -> Callable[[int], int]:
    """Return a way to give each number below `count` a place of its own, as a shuffle would, without a list of them.

    A Feistel network over the next even number of bits, walked until it comes out below `count`: whatever the rounds, it is one to one.
    """
    half = (count.bit_length() + 1) // 2
    mask = (1 << half) - 1
    keys = [dice.getrandbits(64) for _ in range(ROUNDS)]

    def place(number: int) -> int:
        while True:
            left, right = number >> half, number & mask
            for key in keys:
                left, right = right, left ^ (_mixed(right ^ key) & mask)
            number = left << half | right
            if number < count:
                return number

    return place


def _mixed(value: int) -> int:
    """Mix the bits of a number (the finaliser of SplitMix64)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


class _Ranges:
    """Bands as ranges of places, the last up to the end: each as long as its share, to the nearest whole."""

    def __init__(self, shares: Mapping[str, Fraction], count: int) -> None:
        ends = [_whole(share, count) for share in accumulate(shares.values())]
        self._ends = [*zip(ends[:-1], shares, strict=False), (count, list(shares)[-1])]

    def of(self, place: int) -> str:
        return next(band for end, band in self._ends if place < end)


def _whole(share: Fraction, count: int) -> int:
    """Return a share of `count` in whole persons, halves up."""
    return int(share * count + Fraction(1, 2))


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def main(arguments: list[str] | None = None) -> None:
    """Write a register as JSON lines that `gateway message` reads, and to standard error what shares it has."""
    parser = argparse.ArgumentParser(prog="python -m gateway.testing.families.register", description="A fictional register, as JSON lines.")
    parser.add_argument("--subjects", type=int, default=1000, help="how many subjects (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same register (default 1)")
    parser.add_argument("--now", type=datetime.fromisoformat, default=None, help="the instant it is of, with its zone (default: now)")
    chosen = parser.parse_args(arguments)
    tally = Tally()
    for entry in register(chosen.seed, chosen.subjects, chosen.now or datetime.now(UTC)):
        tally.add(entry)
        for message in entry.messages:
            said = {"family": f"{message.family.name}/{message.family.version}", "jti": message.jti, "txn": message.txn}
            sys.stdout.write(json.dumps({**said, "toe": instant(message.toe), "event": message.event}, ensure_ascii=False) + "\n")
    sys.stderr.write("".join(f"{line}\n" for line in tally.lines()))


if __name__ == "__main__":
    main()
