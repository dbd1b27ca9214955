"""Whether anybody inside could keep a message: what an edge asks, over and over, so that its readiness is that of the whole gateway.

Questions go to whichever inner the bus gives them to, so several are asked at a time, and each answer names its inner. One inner that can
keep is enough: what reaches another reads "unavailable", and its repeat finds the one. An answer is good for a few seconds only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from gateway.app.codec import UNREADABLE
from gateway.app.ports import Answer, Clock, Desk, DeskUnavailableError, Question
from gateway.app.supervise import wait

READY: Final = "ready"  # the kind of question: it needs no token, shows nothing of anybody, and no handler asks it for a partner
ASK_SECONDS: Final = 2.0  # between two rounds
ASKED_COUNT: Final = 4  # questions of a round: each falls to any partition, so to any inner
ANSWER_SECONDS_MAX: Final = 4.0
HEARD_SECONDS_MAX: Final = 8.0  # how long an answer is good: an edge that no inner answers says so after this
NOBODY: Final = "inner"
CLOCK: Final = "clock"  # missing where inner takes a question that was just asked for one whose time is over
UNNAMED: Final = "unnamed"
NAME: Final = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Word:
    """What one inner says of itself: nothing is missing where it keeps what it is given."""

    inner: str
    missing: tuple[str, ...] = ()


_words: Final = msgspec.json.Decoder(Word)


@dataclass(frozen=True, slots=True)
class Insider:
    """Inner's side: says of this process what it cannot do without."""

    name: str  # of the process, told apart from other inners
    missing: Callable[[], list[str]]

    def answer(self, *, late: bool = False) -> Answer:
        """Answer a question; `late` where its time is over by our clock."""
        return Answer(outcome="ok", body=msgspec.json.encode(Word(self.name, (*self.missing(), *((CLOCK,) if late else ())))))


class Inside:
    """The edge's side: remembers for a few seconds what each inner said."""

    def __init__(self, desk: Desk, clock: Clock, *, answer_seconds: float) -> None:
        """Ask through `desk`; a question has the time that one of a partner has, so that inner drops neither or both."""
        self._desk, self._clock = desk, clock
        self._life = timedelta(seconds=answer_seconds)
        self._heard: dict[str, tuple[frozenset[str], float]] = {}  # by inner: what it lacks, and until when that is believed

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask until `stopping`, in an even rhythm: an inner that died with a question holds up no other question."""
        asked: set[asyncio.Task[None]] = set()
        try:
            while not stopping.is_set():
                for _ in range(ASKED_COUNT):
                    task = asyncio.create_task(self._ask())
                    asked.add(task)
                    task.add_done_callback(asked.discard)
                await wait(stopping, ASK_SECONDS)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def missing(self) -> list[str]:
        """Return nothing where an inner can keep what it is given, `inner` where none answers, else what each of them lacks."""
        now = asyncio.get_running_loop().time()
        self._heard = {name: heard for name, heard in self._heard.items() if heard[1] > now}
        lacks = [missing for missing, _ in self._heard.values()]
        if not lacks:
            return [NOBODY]
        return [] if any(not missing for missing in lacks) else sorted(f"{NOBODY}-{part}" for part in frozenset().union(*lacks))

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                answer = await self._desk.ask(Question(kind=READY), deadline=self._clock.now() + self._life)
        except (DeskUnavailableError, TimeoutError):
            return
        word = _read(answer)
        self._heard[word.inner] = frozenset(word.missing), asyncio.get_running_loop().time() + HEARD_SECONDS_MAX


def _read(answer: Answer) -> Word:
    """Read an answer; one that is no word is that of an inner from before this question, in the middle of an upgrade: it is there."""
    try:
        word = _words.decode(answer.body)
    except UNREADABLE:
        return Word(UNNAMED)
    return word if all(NAME.fullmatch(name) for name in (word.inner, *word.missing)) else Word(UNNAMED)
