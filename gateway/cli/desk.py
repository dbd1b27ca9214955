"""What the commands of operators share: the operator's own file and key, asking page by page, moving many with progress.

```text
operator.toml     id, gateway, url, key, and if need be ca_file, passphrase_file (relative to the file)
<kid>.pem         the operator's private key, mode 0600 or encrypted: its name is the key's id
```
"""

from __future__ import annotations

import asyncio
import ssl
import tomllib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import aiohttp
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from gateway.cli.errors import fault_in, read_bytes, stop
from gateway.contract.values import KeyId, PartnerId
from gateway.core.keys import SigningKey, Use
from gateway.core.limits import COMMAND_LEGS_COUNT_MAX
from gateway.core.operators import Command
from gateway.keystores import secret_files
from gateway.keystores.secret_files import KeyFileError
from gateway.ops.faults import ConfigurationError, Fault
from gateway.testing.client import AnswerError, Response
from gateway.testing.operator import OperatorClient, OperatorIdentity

EXIT_REFUSED: Final = 3  # the gateway did not do it, or not for every leg
EXIT_NO_ANSWER: Final = 4
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
T = TypeVar("T")

OperatorFile = Annotated[
    Path, typer.Option("--operator", envvar="GATEWAY_OPERATOR", help="Your operator.toml: who you are, your key, and which gateway.")
]
Legs = Annotated[list[str] | None, typer.Argument(metavar="[LEG]...", help="Ids of legs, as the list shows them.")]
OfPartner = Annotated[str | None, typer.Option("--partner", help="Only legs to this partner.")]
Since = Annotated[datetime | None, typer.Option(help="Only what stands aside since then or later (UTC).")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say which legs it would be, and change nothing.")]


class _Said(BaseModel):
    """What `operator.toml` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^[a-z0-9-]{2,32}$")
    gateway: str = Field(pattern=r"^[a-z0-9-]{2,32}$")
    url: str = Field(pattern=r"^https?://[^/?#]+$")
    key: str
    ca_file: str = ""
    passphrase_file: str = ""


@dataclass(frozen=True, slots=True)
class Me:
    """The operator at this terminal."""

    url: str
    identity: OperatorIdentity
    ca_file: Path | None

    def client(self) -> OperatorClient:
        """Return a client that believes the authority named, or those of the system."""
        return OperatorClient(self.url, self.identity, tls=ssl.create_default_context(cafile=self.ca_file))


def read_me(path: Path) -> Me:
    """Return who `path` says. Raises `ConfigurationError`, also for plain HTTP to another machine."""
    try:
        said = _Said.model_validate(tomllib.loads(read_bytes(path).decode("utf-8")))
    except ValidationError as exc:
        told = exc.errors(include_input=False, include_url=False)
        raise ConfigurationError(Fault(str(path), 0, ".".join(map(str, error["loc"])), error["msg"]) for error in told) from None
    except ValueError as exc:
        raise fault_in(path, "is not TOML in UTF-8") from exc
    where = urlsplit(said.url)
    if where.scheme != "https" and where.hostname not in LOOPBACK:
        raise fault_in(path, "url: plain HTTP is for this machine alone", "https://host:port")
    folder = path.parent
    identity = OperatorIdentity(operator=said.id, gateway=PartnerId(said.gateway), key=_key(folder / said.key, folder, said))
    return Me(said.url, identity, folder / said.ca_file if said.ca_file else None)


def _key(path: Path, folder: Path, said: _Said) -> SigningKey:
    try:
        passphrase = secret_files.read(folder / said.passphrase_file).rstrip(b"\r\n") if said.passphrase_file else None
        private = secret_files.read_private(secret_files.read(path), passphrase)
    except KeyFileError as exc:
        raise fault_in(path, str(exc)) from exc
    return SigningKey(kid=KeyId(path.stem), use=Use.COMMAND, private=private)


def run(me: Me, work: Callable[[OperatorClient], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with a client. Ends with exit code 3 where the gateway refuses, 4 where none answers."""

    async def opened() -> T:
        async with me.client() as client:
            return await work(client)

    try:
        return asyncio.run(opened())
    except (aiohttp.ClientError, TimeoutError, OSError, AnswerError) as exc:
        stop([f"{me.url} gives no answer ({type(exc).__name__}): what was under way may be done or not, list again"], EXIT_NO_ANSWER)


async def ask(client: OperatorClient, command: Command, arguments: Mapping[str, Any], **why: str) -> Any:
    """Return what the gateway says; what is not given is left out. Ends with exit code 3 where it refuses."""
    given = {name: _plain(value) for name, value in arguments.items() if value is not None}
    response = await client.command(command, given, **why)
    return response.value if response.status == 200 else _refused(response)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value


def _refused(response: Response) -> NoReturn:
    if not response.problems:
        raise AnswerError("status", response.status)
    lines = [
        f"refused: {problem['detail']}" + (f"; {problem['expected']}" if problem.get("expected") else "") for problem in response.problems
    ]
    stop(lines, EXIT_REFUSED)


async def listed(client: OperatorClient, command: Command, arguments: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the pages of a list."""
    after: str | None = None
    while True:
        page = await ask(client, command, {**arguments, "after": after})
        yield page
        after = page["next"]
        if after is None:
            return


async def all_of(client: OperatorClient, command: Command, arguments: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, int]]:
    """Return every leg of a list, and the counts of all there are."""
    found: list[dict[str, Any]] = []
    counts: Mapping[str, int] = {}
    async for page in listed(client, command, arguments):
        found += page["legs"]
        counts = counts or page["counts"]
    return found, counts


def show(rows: Iterable[Mapping[str, Any]], why: Sequence[str]) -> Table:
    """Return legs as a table; `why` are the members that say why they stand aside."""
    table = Table("leg", "partner", "family", *why, "code", "attempts", "since", box=None)
    for row in rows:
        since = row["ended_at"] or row["created_at"]
        table.add_row(
            row["leg"], row["partner"], row["family"], *(str(row.get(name) or "") for name in why), row["last_code"] or "",
            str(row["attempt"]), f"{since[:16]}Z",
        )  # fmt: skip
    return table


def screen() -> Console:
    """Return the terminal; what is no terminal gets whole lines."""
    return Console(highlight=False, width=None if Console().is_terminal else 220)


async def chosen(client: OperatorClient, command: Command, legs: Sequence[str] | None, filters: Mapping[str, Any]) -> list[str]:
    """Return the legs meant: those named, or all that filters find. Neither is a fault: "all there are" has to be said in a filter."""
    if legs and any(value is not None for value in filters.values()):
        raise typer.BadParameter("name legs, or say which by options, not both")
    if legs:
        return list(legs)
    if not any(value is not None for value in filters.values()):
        raise typer.BadParameter("name legs, or say which by options")
    found, _ = await all_of(client, command, filters)
    return [row["leg"] for row in found]


async def move(client: OperatorClient, command: Command, legs: Sequence[str], *, more: Mapping[str, Any], yes: bool, dry_run: bool) -> int:
    """Have legs moved, some at a time, with progress; return the exit code. Each batch is one command and one transaction."""
    out = screen()
    if not legs or dry_run:
        out.print("\n".join([*legs, f"{len(legs)} legs; nothing was changed"]))
        return 0
    if not yes:
        typer.confirm(f"{command} {len(legs)} legs", abort=True)
    stayed: list[Mapping[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task(command.value, total=len(legs))
        for start in range(0, len(legs), COMMAND_LEGS_COUNT_MAX):
            batch = legs[start : start + COMMAND_LEGS_COUNT_MAX]
            told = await ask(client, command, {"legs": batch, **more})
            stayed += [each for each in told["legs"] if not each["done"]]
            progress.advance(task, len(batch))
    for each in stayed:
        out.print(f"stays  {each['leg']}  {each['why']}")
    out.print(f"{len(legs) - len(stayed)} of {len(legs)} legs: {command}")
    return EXIT_REFUSED if stayed else 0
