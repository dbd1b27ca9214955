"""How fast the gateway is, how far from the floor, and what it keeps up under strain. Nothing here passes or fails.

`python -m benchmarks [--messages N] [--only embedded|scaled|crypto|isolation|catchup] [--json FILE]`; docs/benchmarks.md says what each is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import catchup, crypto, full, isolation, sql
from benchmarks.notices import LEGS, WINDOW
from gateway.ops import telemetry
from tests.services.processes import UnavailableError

FORMS: dict[str, tuple[Callable[[Path, int, int], full.Result], tuple[str, ...]]] = {
    "embedded": (full.embedded, ("gateway",)),
    "scaled": (full.scaled_out, ("edge", "inner", "courier")),
}


ISOLATION = {
    "pairs": "alternated pairs of without and with",
    "rate": "messages a second, over ten partners: well below saturation",
    "seconds": "measured, of each half of a pair",
    "lead": "seconds before them, at the same rate",
}
CATCHUP = {
    "legs": "queued for it",
    "few": "queued in the round that this is compared with",
    "drain": "arrivals measured of them; 0: until the last",
    "steady": "messages of the steady rate",
    "urgent": "urgent messages with nothing waiting",
    "urgent_rate": "urgent messages a second",
    "window": "legs under way at once",
    "away": "seconds that the partner stays away with the backlog queued",
}
LONG = ("isolation", "catchup")  # minutes each: only when asked for
SAY_SECONDS = 1
_said = [0.0]


def say(text: str) -> None:
    """Say how far we are, now and then."""
    if time.monotonic() - _said[0] > SAY_SECONDS:
        _said[0] = time.monotonic()
        print(f"  … {text}", file=sys.stderr, flush=True)


def commit() -> str:
    """Return which code this is, with a `+` where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--abbrev=12", "--dirty=+"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


async def bare(folder: Path, count: int) -> dict[str, Any]:
    """Measure cryptography, pure steps and batches, in this process."""
    async with crypto.open_house(folder) as there:
        result = crypto.run(there, count)
        result["batches"] = await sql.run(there, crypto.tokens_of(there, count))
        return result


def print_bare(result: dict[str, Any]) -> None:
    print(f"\nbare cryptography of one message ({result['bytes_sealed']:,.0f} bytes sealed): request token and message verified, message")
    print(f"decrypted, receipt signed, {LEGS} legs and {LEGS} acknowledgements signed and encrypted")
    for name, label in (("one_core", "one core"), ("two_threads", "two threads"), ("primitives", "curve and cipher alone, one core")):
        print(f"  {label:<36}{result[name]:>9,.0f} messages/s {1e3 / result[name]:>8.3f} ms each")
    print(f"  processor time of it                {result['processor_ms']:>9.3f} ms each")
    print("\npure steps, microseconds of one core")
    for name, micros in result["steps_us"].items():
        print(f"  {name:<36}{micros:>9,.0f}")
    print("\nbatches on SQLite with full synchronisation, in this process")
    for name, took in result["batches"].items():
        print(f"  {name:<66}{took['ms']:>8,.0f} ms, {took['statements']:>4.0f} statements, {took['sql_ms']:>6,.0f} ms in them")


def print_full(form: str, result: full.Result, floor: dict[str, Any] | None) -> None:
    count = result["messages"]
    rate, own = count / result["seconds"], full.cpu_of(result, FORMS[form][1])
    print(f"\n{form}: {count:,} messages all the way, {result['at_once']} at once, at most {WINDOW} legs of a partner under way")
    print(f"  all the way                         {rate:>9,.0f} messages/s {1e3 / rate:>8.3f} ms each")
    print(f"  until the receipt, meanwhile        {count / result['accepted_seconds']:>9,.0f} messages/s")
    median, p99 = result["receipt_ms"]["median"], result["receipt_ms"]["p99"]
    print(f"  request to receipt                  {median:>9,.0f} ms median, {p99:,.0f} ms p99; {result['turned_away']} had to come again")

    print(f"  processor time of the gateway       {own:>9.3f} ms each")
    for name in result["cpu_seconds"]:
        print(f"    {name:<34}{full.cpu_of(result, [name]):>9.3f}")
    client, making = result["client_cpu_seconds"] / count * 1e3, result["making_cpu_seconds"] / count * 1e3
    print(f"  of the client, on the same machine  {client:>9.3f} ms each; signing and encrypting beforehand, not in the time: {making:.3f}")
    if floor is not None:
        one, two = floor["one_core"], floor["two_threads"]
        print(f"  ratio to the bare cryptography      {one / rate:>9.1f} times one core, {two / rate:.1f} times two threads (time)")
        print(f"                                      {own / floor['processor_ms']:>9.1f} times (processor time)")


def run_all(arguments: argparse.Namespace, results: dict[str, Any], folder: Path) -> None:
    """Run the full way and its floor: what is run when nothing is asked for."""
    if arguments.only in {None, "crypto"}:
        say("cryptography, pure steps and batches")
        results["crypto"] = asyncio.run(bare(folder, min(arguments.messages, 200)))
        print_bare(results["crypto"])
    for form, (run, _) in FORMS.items():
        if arguments.only in {None, form}:
            say(f"{form}: {arguments.messages} messages")
            try:
                results[form] = {**run(folder / form, arguments.messages, arguments.at_once), "at_once": arguments.at_once}
            except UnavailableError as exc:
                print(f"\n{form}: skipped. {exc}")
            else:
                print_full(form, results[form], results.get("crypto"))


def plan_of(arguments: argparse.Namespace) -> isolation.Plan | catchup.Plan:
    """Return what was asked for of one of the long ones."""
    made = isolation.Plan if arguments.only == "isolation" else catchup.Plan
    names = {each.name for each in fields(made)}
    return made(**{name: value for name, value in vars(arguments).items() if name in names})


def run_long(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one of the long ones. Raises `UnavailableError`."""
    plan = plan_of(arguments)
    if isinstance(plan, isolation.Plan):
        found = isolation.run(plan, folder / "run", say)
        isolation.show(found)
        return found
    found = catchup.run(plan, folder / "run", say)
    catchup.show(found)
    return found


def parser() -> argparse.ArgumentParser:
    """Say what can be asked for."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0] if __doc__ else "", formatter_class=Help
    )  # fmt: skip
    made.add_argument("--only", choices=[*FORMS, "crypto", *LONG], help="one part alone; isolation and catchup run only when named")
    made.add_argument("--json", type=Path, help="write all figures to this file too")
    way = made.add_argument_group("the full way: embedded, scaled")
    way.add_argument("--messages", type=int, default=1000, help="of a full way")
    way.add_argument("--at-once", type=int, default=64, help="submissions under way")
    both = made.add_argument_group("isolation and catchup")
    both.add_argument("--form", choices=FORMS, default="embedded", help="of the gateway; scaled starts a Kafka and a PostgreSQL")
    both.add_argument("--seed", type=int, default=1, help="of the messages")
    _add(made.add_argument_group("isolation: eight healthy partners, with and without a dead and a slow one"), isolation.Plan(), ISOLATION)
    _add(made.add_argument_group("catchup: a partner that returns"), catchup.Plan(), CATCHUP)
    return made


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Says defaults, but not that there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in {None, argparse.SUPPRESS} else super()._get_help_string(action)


def _add(group: argparse._ArgumentGroup, plan: object, words: dict[str, str]) -> None:
    for name, text in words.items():
        default = getattr(plan, name)
        group.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=text)


def main() -> None:
    arguments = parser().parse_args()
    telemetry.configure("ERROR")  # of what runs in this process; the gateways' own logs are written, as always
    results: dict[str, Any] = {"processors": os.cpu_count(), "load_before": os.getloadavg()[0], "commit": commit()}
    print(f"{os.cpu_count()} processors, load {results['load_before']:.1f} before the start, commit {results['commit']}.")
    print("Ratios hold within one run alone; the clients run on the same machine.", flush=True)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        if arguments.only in LONG:
            try:
                results[arguments.only] = run_long(arguments, Path(name))
            except UnavailableError as exc:
                sys.exit(f"{arguments.only}: {exc}")
        else:
            run_all(arguments, results, Path(name))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
