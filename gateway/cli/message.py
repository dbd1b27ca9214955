"""`gateway message`: a partner's half. Draft and check a message (modules of their own); sign it, show what a token says, submit.

The last three work from a client kit (see kit.py). Exit codes of `submit`: 0 accepted, or accepted before; 3 rejected; 4 no answer that
can be believed: nothing is known, submit the same token again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer
from rich.console import Console

from gateway.cli import message_check, message_draft, message_sample, words
from gateway.cli import show as layers
from gateway.cli.errors import fault_in, read_bytes, stop
from gateway.cli.kit import CLIENT, Kit, read_kit
from gateway.cli.message_ground import MEMBERS
from gateway.contract.errors import PartnerError
from gateway.contract.values import Family
from gateway.core import strict_json, tokens
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.problems import RefusedInputError
from gateway.core.schema import family_uri
from gateway.ops.system import SystemDice
from gateway.testing.client import PartnerClient, Response

app = typer.Typer(
    help="Make, check, show and submit messages, as a partner does. `draft` makes a first one, `check` says what is wrong with files and"
    " folders of them (docs/howto/check-messages.md).",
    no_args_is_help=True,
)
app.command("draft")(message_draft.draft)
app.command("check")(message_check.check)
app.command("sample")(message_sample.make)
app.command("latin")(message_sample.latin)
EXIT_REJECTED: Final = 3
EXIT_UNKNOWN: Final = 4

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON: {family, event, and if you like toe, txn, jti}, or the event alone.")]
KitFolder = Annotated[Path, typer.Option("--kit", envvar="GATEWAY_KIT", help=f"Folder of the client kit: {CLIENT} and keys.")]
FamilyName = Annotated[str, typer.Option("--family", help="Family and version, where the file is the event alone.")]
TRAVEL: Final = "travel-notification/1.0"


@app.command()
def sign(
    file: File,
    kit: KitFolder = Path(),
    *,
    family: FamilyName = TRAVEL,
    plain: Annotated[bool, typer.Option("--plain", help="Signed alone, not encrypted: to keep, or to submit more than once.")] = False,
) -> None:
    """Sign the message in FILE, encrypt it to the gateway, and print the token."""
    opened = read_kit(kit, now=datetime.now(UTC))
    jws = _signed(file, opened, family)
    typer.echo((jws if plain else tokens.encrypt(jws, opened.gateway_encryption)).decode("ascii"))


@app.command()
def show(
    token: Annotated[str, typer.Argument(metavar="TOKEN|FILE", help="A token, a file that holds one, or - for standard input.")],
    kit: KitFolder = Path(),
) -> None:
    """Print every layer of a token in words, and say what was verified and what was not.

    Without a client kit at hand nothing is opened or verified. Exit code 3: something in it does not verify.
    """
    opened = read_kit(kit, now=datetime.now(UTC)) if (kit / CLIENT).exists() else None
    out = Console(soft_wrap=True, highlight=False)
    try:
        good = layers.show(out, _token(token), opened)
    except RefusedInputError as exc:
        stop([f"cannot be read: {exc.problem.detail}"], EXIT_REJECTED)
    raise typer.Exit(0 if good else EXIT_REJECTED)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON as `sign` takes it, or a token of `sign --plain`.")],
    kit: KitFolder = Path(),
    *,
    family: FamilyName = TRAVEL,
    receipt: Annotated[Path | None, typer.Option(help="Keep the receipt in this file, for `evidence verify --against`.")] = None,
) -> None:
    """Sign, encrypt and submit a message, and check the gateway's receipt with the pinned keys."""
    opened = read_kit(kit, now=datetime.now(UTC))
    jws = _signed(file, opened, family)
    raise typer.Exit(asyncio.run(_submit(opened, jws, receipt)))


async def _submit(kit: Kit, jws: bytes, keep: Path | None) -> int:
    out = Console(soft_wrap=True, highlight=False)
    try:
        async with kit.client() as client:
            response = await client.submit(tokens.encrypt(jws, kit.gateway_encryption))
            if response.status in {200, 202}:
                return _accepted(out, client, response, jws, keep)
            return _rejected(out, client, response, jws)
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        stop([f"{kit.url} gives no answer ({type(exc).__name__}): nothing is known, submit the same token again"], EXIT_UNKNOWN)
    except (RefusedInputError, PartnerError):
        stop(["the answer is not signed by the gateway, or is about another message: nothing is known"], EXIT_UNKNOWN)


def _accepted(out: Console, client: PartnerClient, response: Response, jws: bytes, keep: Path | None) -> int:
    statement = client.read_receipt(response.body, jws)
    if keep is not None:
        keep.write_bytes(response.body + b"\n")
    word = "accepted" if response.status == 202 else "accepted before; this is the same receipt"
    out.print(f"[bold green]{word}[/]  {statement.received.jti}  at {statement.at:%Y-%m-%d %H:%M:%S} UTC")
    out.print("receipt verified with the pinned keys of the gateway")
    leaf = statement.leaf.hex() if statement.leaf is not None else ""
    out.print(f"its evidence is the entry {leaf}")
    if statement.problems:
        out.print(words.problems(statement.problems, "To be mended next time"))
    return 0


def _rejected(out: Console, client: PartnerClient, response: Response, jws: bytes) -> int:
    problems = response.problems
    if response.status >= 500 or not problems:
        again = response.headers.get("Retry-After")
        stop([f"not taken now ({response.status}): submit the same token again{f' in {again} s' if again else ''}"], EXIT_UNKNOWN)
    rejection = response.value.get("rejection")
    out.print(f"[bold red]rejected[/]  {len(problems)} fault{'s' if len(problems) > 1 else ''}")
    if rejection is not None:
        client.read_rejection(rejection.encode(), jws)
        out.print("rejection verified with the pinned keys of the gateway")
    else:
        out.print("the gateway did not sign this answer: it could not tell who asked")
    out.print(words.problems(problems, "Faults"))
    return EXIT_REJECTED


def _signed(file: Path, kit: Kit, family: str) -> bytes:
    """Return the message in a file as a signed token; one that is signed already stays as it is."""
    raw = read_bytes(file)
    if not raw.lstrip().startswith(b"{"):
        return raw.strip()
    return tokens.sign(_claims(raw, file, kit, family), kit.submit_key, typ=tokens.EVENT)


def _claims(raw: bytes, file: Path, kit: Kit, family: str) -> Mapping[str, Any]:
    try:
        said = strict_json.parse_object(raw)
    except RefusedInputError as exc:
        raise fault_in(file, exc.problem.detail, exc.problem.expected) from exc
    if "event" in said:
        if wrong := sorted(said.keys() - MEMBERS):
            raise fault_in(file, f"unknown {', '.join(wrong)}", f"one or more of {', '.join(sorted(MEMBERS))}")
        family = said.get("family", family)
    else:
        said = {"event": said}
    name, _, version = str(family).partition("/")
    if not name or not version:
        raise fault_in(file, "family is not <name>/<version>", TRAVEL)
    now, dice = datetime.now(UTC), SystemDice()
    return {
        "iss": kit.partner, "aud": kit.gateway, "jti": said.get("jti") or dice.uuid7(now), "iat": int(now.timestamp()),
        "toe": _toe(said.get("toe"), now, file), "txn": said.get("txn") or dice.uuid7(now),
        "events": {family_uri(kit.uri_base, Family(name, version)): said["event"]},
    }  # fmt: skip


def _toe(value: object, now: datetime, file: Path) -> int:
    if value is None:
        return int(now.timestamp())
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise fault_in(file, "toe is no instant", "2026-01-31T09:00:00Z")
    return int(when.timestamp())


def _token(text: str) -> bytes:
    """Return the token given on the command line, in a file or on standard input. A token has dots and is longer than a file's name."""
    if text == "-":
        return sys.stdin.buffer.read(SEALED_BYTES_MAX + 1).strip()
    if text.count(".") in {2, 4} and text.startswith("eyJ"):
        return text.encode("ascii", "replace")
    return read_bytes(Path(text)).strip()
