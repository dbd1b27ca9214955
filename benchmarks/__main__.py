"""How fast the gateway is, and how far from the floor, which is the cryptography of the same messages. Nothing here passes or fails.

`python -m benchmarks [--messages N] [--only embedded|scaled|crypto] [--json FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import crypto, full, sql
from benchmarks.notices import LEGS, WINDOW
from gateway.ops import telemetry
from tests.services.processes import UnavailableError

FORMS: dict[str, tuple[Callable[[Path, int, int], full.Result], tuple[str, ...]]] = {
    "embedded": (full.embedded, ("gateway",)),
    "scaled": (full.scaled_out, ("edge", "inner", "courier")),
}


def say(text: str) -> None:
    """Say how far we are."""
    print(f"  … {text}", file=sys.stderr, flush=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=1000, help="of a full way [1000]")
    parser.add_argument("--at-once", type=int, default=64, help="submissions under way [64]")
    parser.add_argument("--only", choices=[*FORMS, "crypto"], help="one part alone")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    arguments = parser.parse_args()
    telemetry.configure("ERROR")  # of what runs in this process; the gateways' own logs are written, as always
    results: dict[str, Any] = {"processors": os.cpu_count(), "load_before": os.getloadavg()[0]}
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start. Ratios hold within one run alone.")
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
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
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
