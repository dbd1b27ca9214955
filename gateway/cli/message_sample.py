"""`gateway message sample`: fictional messages to try things with, as JSON lines. `gateway message latin`: the Latin form of a name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from random import Random
from typing import IO, Annotated, Any, Final

import typer

from gateway.cli.errors import EXIT_FAULTS, stop
from gateway.cli.message_check import Now
from gateway.contract.values import Family
from gateway.core import icao9303
from gateway.testing.families import GENERATORS, sample
from gateway.testing.messages import FAULTS, replaced

FAMILIES: Final = {family.name: family for family in GENERATORS}


def make(
    family: Annotated[list[str] | None, typer.Option(help="Families to make, in turn.  [default: all]")] = None,
    *,
    count: Annotated[int, typer.Option(min=1, help="How many messages.")] = 12,
    faulty: Annotated[int, typer.Option(min=0, max=100, help="Of how many in a hundred something is wrong.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed and --now make the same messages.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write to this file.  [default: standard output]")] = None,
    now: Now = None,
) -> None:
    """Make fictional messages of any family, one a line, as `check` and `sign` take them."""
    names = family or sorted(FAMILIES)
    if unknown := sorted(set(names) - FAMILIES.keys()):
        raise typer.BadParameter(f"no such family {unknown[0]}; one of {', '.join(sorted(FAMILIES))}", param_hint="--family")
    when = now.replace(tzinfo=UTC) if now else datetime.now(UTC)
    with _opened(out) as file:
        for line in samples([FAMILIES[name] for name in names], count, seed=seed, faulty=faulty, now=when):
            file.write(line + "\n")


def samples(families: list[Family], count: int, *, seed: int, faulty: int, now: datetime) -> Iterator[str]:
    """Yield messages as lines of JSON; `faulty` in a hundred have one of the faults of `gateway.testing.messages`."""
    dice = Random(seed)  # noqa: S311 -- repeatable on purpose, and nothing is secret here
    for number in range(count):
        made = sample(families[number % len(families)], dice, now)
        event = _spoilt(made.event, dice) if dice.randrange(100) < faulty else made.event
        beside = {"family": f"{made.family.name}/{made.family.version}", "toe": made.toe.isoformat(), "txn": made.txn, "jti": made.jti}
        yield json.dumps({**beside, "event": event}, ensure_ascii=False)


def latin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or a part of it, in its own script.")],
    language: Annotated[str, typer.Option(help="Language of the name, as uk: of Cyrillic letters some differ by it.")] = "",
) -> None:
    """Print the Latin form of a name by ICAO Doc 9303 part 3, section 6, for `names[].latin`.

    Latin national letters, Cyrillic and Arabic script. Exit code 1: its tables do not cover a letter of the name.
    """
    form = icao9303.latin_form(name, language)
    if form is None:
        stop(["the tables of ICAO 9303 do not cover a letter of it: write what the passport has"], EXIT_FAULTS)
    typer.echo(form)


def _spoilt(event: Mapping[str, Any], dice: Random) -> Mapping[str, Any]:
    """Return an event with one of the faults that it has a place for."""
    spoilt = []
    for changes in FAULTS.values():
        with suppress(KeyError, IndexError):
            spoilt.append(reduce(lambda left, change: replaced(left, *change), changes.items(), event))
    return dice.choice(spoilt)


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8") as file:
        yield file
