"""`gateway demo`: a gateway, three partner systems and a register on this machine, with throw-away keys. Nothing leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import msgspec
import typer
from rich.console import Console

from gateway.cli.demo import partner, register, story
from gateway.cli.demo.processes import Processes, StartError, run
from gateway.cli.demo.register import Answered, Expected, Tally
from gateway.cli.demo.view import View
from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.cli.errors import stop
from gateway.contract.values import Jti
from gateway.core.delivery import ENDED, State
from gateway.ops.settings import ProcessRole
from gateway.testing.client import PartnerClient

START_SECONDS: Final = 40.0
END_SECONDS: Final = 60.0  # for all legs to end after the last answer
DOWN_SECONDS: Final = 5.0
PLAIN_WIDTH: Final = 120  # of tables where there is no terminal
LOOK_SECONDS: Final = 0.25
OWN: Final = ("gb-register", "gb-police")  # inboxes that the register's side polls itself
VISIBLE: Final = ENDED | {State.HELD}
PARTNERS: Final = (*OWN, "fr-police", "es-police", "nl-border", "help-line")
PROFILES: Final[Mapping[str, Any]] = {"es-police": {"delivery": {"retry_base_seconds": 1, "retry_max_seconds": 4}}}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    count: int
    keep: bool
    seed: int
    folder: Path


def demo(
    *,
    count: Annotated[int, typer.Option(min=register.COUNT_MIN, help="How many notices the register submits.")] = 200,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say what to try.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="An empty or new folder for keys, database and logs.  [default: a temporary one]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other notices.")] = 1,
) -> None:
    """Show the main job on this machine: notices in, three partner systems, refusals, receipts, evidence.

    Exit code 0: every accepted notice ended in visible states, and the evidence verifies.
    """
    if data is not None and data.exists() and any(data.iterdir()):
        raise typer.BadParameter("is not empty", param_hint="--data")
    folder = (data or Path(tempfile.mkdtemp(prefix="gateway-demo-"))).resolve()
    out = Console(highlight=False) if Console().is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
    faults = ["interrupted"]
    try:
        faults = asyncio.run(_until_told(_demo(out, Options(count, keep, seed, folder))))
    except asyncio.CancelledError:
        pass
    except (KeyboardInterrupt, ExceptionGroup) as exc:
        faults = [str(exc) or "interrupted"]
    if data is None and not faults:
        shutil.rmtree(folder)
    if faults:
        stop([*faults, f"logs and data: {folder}"])


async def _until_told(work: Any) -> list[str]:
    """Do `work`; SIGTERM ends it as Ctrl-C does, so that what was started is stopped."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found: list[str] = await task
    return found


async def _demo(out: Console, options: Options) -> list[str]:
    began = time.monotonic()
    setup = make_dev_setup(options.folder / "world", partners=PARTNERS, profiles=PROFILES)
    async with Processes(options.folder / "logs") as processes, aiohttp.ClientSession() as admin:
        with out.status("starting a gateway and three partner systems"):
            await _start(setup, processes, options.folder)
            await _ready(setup, processes, admin)
        out.print(f"gateway {setup.origin}, partners fr-police, es-police (down for {DOWN_SECONDS:.0f} s) and nl-border (polls) are there")
        async with _inboxes(setup):
            await processes.begin()
            faults = await _show(out, options, setup, admin, processes)
            out.rule(f"[bold]{'Done' if not faults else 'Something is wrong'}[/] after {time.monotonic() - began:.0f} seconds")
            if options.keep and not faults:
                await _stay(out, options, setup)
    return faults


async def _start(setup: DevSetup, processes: Processes, folder: Path) -> None:
    (folder / "notes").mkdir()
    await processes.start("gateway", "gateway.cli", "serve", "--config", setup.settings[ProcessRole.EMBEDDED])
    for name, options in {"fr-police": [], "es-police": ["--down", str(DOWN_SECONDS)], "nl-border": None}.items():
        common: list[str | Path] = ["--kit", setup.kit_folder(name), "--notes", folder / "notes" / f"{name}.jsonl"]
        if options is None:
            way: list[str | Path] = ["--way", "inbox"]
        else:
            port = str(next(port for id_, port in setup.ports.partners.items() if id_ == name))
            way = ["--way", "push", "--port", port, "--certificate", setup.certificate(name), *options]
        await processes.start(name, partner.__name__, *common, *way)


async def _ready(setup: DevSetup, processes: Processes, admin: aiohttp.ClientSession) -> None:
    url = f"http://127.0.0.1:{setup.ports.admin[ProcessRole.EMBEDDED]}/readyz"
    for _ in range(int(START_SECONDS / LOOK_SECONDS)):
        processes.check()
        try:
            async with admin.get(url) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(LOOK_SECONDS)
    raise StartError("the gateway does not get ready")


async def _show(out: Console, options: Options, setup: DevSetup, admin: aiohttp.ClientSession, processes: Processes) -> list[str]:
    kit, now = setup.kit("gb-register"), datetime.now(UTC)
    notices = register.notices(kit, options.count, options.seed, now)
    tally = Tally(options.count)
    async with kit.client() as client:
        with View(out, tally) as view:
            submitting = asyncio.create_task(_submit(client, notices, register.odd(kit, notices, now), tally))
            left = await _watch(view, setup, admin, processes, submitting)
        await submitting
        statuses = await _statuses(client, tally.of(Expected.ACCEPTED))
    notes = story.read_notes(options.folder / "notes")
    told = next(a for a in tally.of(Expected.ACCEPTED) if a.item.jti == notices[register.TOLD].jti)
    story.tell(out, told, statuses[told.item.jti], notes)
    story.rejections(out, tally)
    evidence = await _evidence(out, options.folder, setup, tally)
    return [*tally.unexpected(), *left, *_unended(statuses, notes), *evidence]


async def _submit(client: PartnerClient, notices: Sequence[register.Item], odd: Sequence[register.Item], tally: Tally) -> None:
    await register.submit(client, notices, tally)
    await register.submit(client, odd, tally)


async def _watch(
    view: View, setup: DevSetup, admin: aiohttp.ClientSession, processes: Processes, submitting: asyncio.Task[None]
) -> list[str]:
    """Show the legs until all have ended; return what has not by then."""
    url = f"http://127.0.0.1:{setup.ports.admin[ProcessRole.EMBEDDED]}/v1/state"
    until: float | None = None
    while True:
        processes.check()
        done = submitting.done()
        async with admin.get(url) as response:
            legs = (await response.json())["legs"]
        still_open = {(p, s): n for p, states in legs.items() for s, n in states.items() if not _ended(p, s)}
        count = sum(still_open.values())
        if done and until is None:
            until = time.monotonic() + END_SECONDS
        last = done and (count == 0 or (until is not None and time.monotonic() > until))
        view.show(legs, count, last=last)
        if last:
            return [f"{number} legs to {partner} are still {state}" for (partner, state), number in still_open.items()]
        await asyncio.sleep(LOOK_SECONDS)


def _ended(name: str, state: str) -> bool:
    """Say whether a leg to this partner has ended: nl-border signs for what it takes, so to it `delivered` is not the end."""
    return State(state) in VISIBLE and not (name == "nl-border" and state == State.DELIVERED)


async def _statuses(client: PartnerClient, accepted: Sequence[Answered]) -> dict[Jti, Any]:
    return {each.item.jti: (await client.status(each.item.jti)).value for each in accepted}


def _unended(statuses: Mapping[Jti, Any], notes: story.Notes) -> list[str]:
    """Name each accepted notice that ended in nothing, or that its partner does not have although we say so."""
    faults = []
    for jti, status in statuses.items():
        if not status["legs"] and not status["refusals"]:
            faults.append(f"{jti} ended in nothing")
        for leg in status["legs"]:
            if not _ended(leg["partner"], leg["state"]):
                faults.append(f"{jti} to {leg['partner']} is {leg['state']}")
            if leg["state"] in {State.DELIVERED, State.RECEIPTED} and leg["jti"] not in notes:
                faults.append(f"{jti} to {leg['partner']} is {leg['state']}, but not there")
    return faults


async def _evidence(out: Console, folder: Path, setup: DevSetup, tally: Tally) -> list[str]:
    """Export the evidence and check it with the commands an auditor has: public keys, the log, and the receipts that were kept."""
    out.rule("[bold]Evidence[/]")
    (folder / "receipts").mkdir()
    for each in tally.of(Expected.ACCEPTED):
        (folder / "receipts" / f"{each.item.jti}.jwt").write_bytes(each.receipt or b"")
    await asyncio.sleep(2)  # the sequencer integrates what is staged within a second
    bundle = folder / "evidence"
    commands: list[list[str | Path]] = [
        ["evidence", "export", bundle, "--config", setup.settings[ProcessRole.EMBEDDED]],
        ["evidence", "verify", bundle, "--against", folder / "receipts"],
    ]
    for command in commands:
        out.print(f"[dim]$ gateway {' '.join(map(str, command))}[/]", soft_wrap=True)
        code, said = await run(*command)
        out.print(said.rstrip(), soft_wrap=True, markup=False)
        if code != 0:
            return [f"gateway evidence {command[1]} ended with code {code}"]
    return []


@asynccontextmanager
async def _inboxes(setup: DevSetup) -> AsyncIterator[None]:
    """Poll the inboxes of the register's own side: acknowledgements and alerts end there."""
    (setup.folder / "own").mkdir()
    tasks = [asyncio.create_task(partner.poll(setup.kit(name), partner.Notes(setup.folder / "own" / f"{name}.jsonl"))) for name in OWN]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stay(out: Console, options: Options, setup: DevSetup) -> None:
    """Say what to try, and stay until Ctrl-C."""
    kit, admin = setup.kit_folder("gb-register"), f"http://127.0.0.1:{setup.ports.admin[ProcessRole.EMBEDDED]}"
    example = register.notices(setup.kit("gb-register"), register.COUNT_MIN, options.seed + 1, datetime.now(UTC))[0]
    notice = options.folder / "notice.json"
    notice.write_bytes(msgspec.json.format(msgspec.json.encode(example.event), indent=2))
    receipt = next((options.folder / "receipts").glob("*.jwt"))
    out.print("It stays until Ctrl-C. Try, in another terminal:\n")
    for line in (
        f"export GATEWAY_KIT={kit}",
        f"gateway message submit {notice}",
        f"gateway message show {receipt}",
        f"gateway policy explain {notice} nl-border --sender gb-register",
        f"curl --cacert {setup.authority} {setup.origin}/readyz",
        f"curl --cacert {setup.authority} {setup.origin}/v1/problems/schema-invalid",
        f"curl {admin}/v1/state",
        f"curl {admin}/metrics",
        f"gateway reload --config {setup.settings[ProcessRole.EMBEDDED]}",
    ):
        out.print(f"  {line}", soft_wrap=True, markup=False)
    with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
        await asyncio.Event().wait()
