"""`gateway policy`: check the access policies, and explain what one partner would get of one message.

Exit codes: 0 right, or it goes; 1 faults; 2 usage; 3 refused; 4 cannot read; 5 held for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bootstrap import load_adapters
from gateway.cli.words import REMOVALS
from gateway.contract.errors import OperatorError
from gateway.contract.values import Family, Jti, PartnerId, Role
from gateway.core.directory import Directory
from gateway.core.groups import ALWAYS
from gateway.core.message import Message
from gateway.core.minimise import minimise, reasons
from gateway.core.policy import DEFAULT_DENY, Answer, Effect, PartnerAnswer, PolicySet, context_of
from gateway.core.policy_source import PolicyFaultsError
from gateway.core.problems import RefusedInputError
from gateway.core.profiles import Profile
from gateway.core.reference import Reference
from gateway.core.routing import route
from gateway.core.schema import Schemas
from gateway.core.strict_json import parse_object
from gateway.ops.policies import load_policies
from gateway.ops.profiles import Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas

app = typer.Typer(help="Check and explain the access policies.", no_args_is_help=True)
EXIT_FAULTS: Final = 1
EXIT_REFUSED: Final = 3
EXIT_UNREADABLE: Final = 4
EXIT_HELD: Final = 5

PoliciesFolder = Annotated[Path, typer.Option("--policies", help="Folder of *.cedar and gateway.cedarschema.")]
PartnersFolder = Annotated[Path, typer.Option("--partners", help="Folder of partner profiles.")]
SchemasFolder = Annotated[Path, typer.Option("--schemas", help="Folder of message schemas and code lists.")]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What an explanation rests on."""

    reference: Reference
    schemas: Schemas
    directory: Directory
    policies: PolicySet


@app.callback()
def policy() -> None:
    """Check and explain the access policies."""


@app.command()
def check(
    policies: PoliciesFolder = Path("policies"), *, partners: PartnersFolder = Path("partners"), schemas: SchemasFolder = Path("schemas")
) -> None:
    """Check every policy, and the profiles it may name. Each fault is told with file and line."""
    ground = _ground(policies, partners, schemas)
    Console().print(f"{len(ground.policies.policies)} policies are right for {len(ground.directory)} partners")
    Console().print(f"digest {ground.policies.digest}")


@app.command()
def explain(  # noqa: PLR0913 -- each is one option of the command line
    message: Annotated[Path, typer.Argument(help="JSON file: the claims of a message, or its event alone.", exists=True, dir_okay=False)],
    partner: Annotated[str, typer.Argument(help="Id of the partner.")],
    *,
    sender: Annotated[str | None, typer.Option(help="Id of the sender, where the file has no iss.")] = None,
    family: Annotated[str, typer.Option(help="Family and version, where the file has no event URI.")] = "travel-notification/1.0",
    on: Annotated[datetime | None, typer.Option(help="The day to decide for.  [default: today]", formats=["%Y-%m-%d"])] = None,
    policies: PoliciesFolder = Path("policies"),
    partners: PartnersFolder = Path("partners"),
    schemas: SchemasFolder = Path("schemas"),
) -> None:
    """Say in words whether PARTNER would get MESSAGE, and which field groups of it, each with the policy that says so."""
    ground = _ground(policies, partners, schemas)
    now = on.replace(tzinfo=UTC) if on else datetime.now(UTC)
    read = _message(message, ground, sender=sender, family=family, now=now)
    profile = ground.directory.find(partner)
    if profile is None:
        raise typer.BadParameter(f"no profile {partner}", param_hint="PARTNER")
    raise typer.Exit(_explain(Console(soft_wrap=True, highlight=False), read, profile, ground, day=now.date()))


def _explain(out: Console, message: Message, profile: Profile, ground: _Ground, *, day: date) -> int:
    home = ground.directory.by_id(message.iss).country
    roles = _roles(out, message, profile, ground)
    answer = ground.policies.decide_partner(context_of(message, profile, roles, home=home, on=day))
    out.print(
        f"{message.family.name} {message.family.version} of {message.iss} to {profile.id} ({profile.kind}, {profile.country}) on {day}"
    )
    out.print(f"as {', '.join(roles)}\n")
    held = [a for a in (answer.send, answer.unreviewed, *answer.groups.values()) if a.effect is Effect.HOLD]
    if answer.send.effect is Effect.DENY:
        out.print(f"[bold red]It is not sent[/]: {_because(answer.send)}.")
        return EXIT_REFUSED
    code = 0
    if held:
        out.print("[bold yellow]It is held[/]: a policy could not be evaluated, so a person decides (POLICY_ERROR).")
        code = EXIT_HELD
    elif answer.unreviewed.effect is Effect.ALLOW:
        out.print(f"[bold green]It is sent[/], {_because(answer.send)}; without review, {_because(answer.unreviewed)}.")
    else:
        out.print(f"[bold yellow]It is held[/] for review (REVIEW): sending is permitted, {_because(answer.send)},")
        out.print(f"but not without a person's look: {_because(answer.unreviewed)}.")
        code = EXIT_HELD
    out.print(_groups(message, profile, answer, ground))
    return code


def _roles(out: Console, message: Message, profile: Profile, ground: _Ground) -> tuple[Role, ...]:
    home = ground.directory.by_id(message.iss).country
    routed = route(message, ground.directory, ground.reference, home=home, now=message.iat)
    for candidate in routed.candidates:
        if candidate.partner == profile.id:
            return candidate.roles
    for refusal in routed.refusals:
        if refusal.partner == profile.id:
            out.print(f"Routing refuses it ({refusal.reason.value}, {', '.join(refusal.because)}). Were it not so:\n")
            return refusal.roles or (Role.NAMED,)
    out.print("Nothing in the message brings it to this partner. Were the partner named:\n")
    return (Role.NAMED,)


def _groups(message: Message, profile: Profile, answer: PartnerAnswer, ground: _Ground) -> Table:
    _, present = ground.schemas.cut(message.family, message.event, ALWAYS)
    _, missing = ground.schemas.cut(message.family, message.event, answer.allowed)
    view = minimise(message, answer.allowed, profile, ground.schemas, removed=reasons(missing, answer.groups, profile))
    removed = {r.group: r for r in view.removed}
    table = Table("field group", "", "why", "policies", title=f"{len(present - removed.keys())} of {len(present)} field groups are shown")
    for group in sorted(present):
        gone, said = removed.get(group), answer.groups.get(group, Answer(Effect.DENY, DEFAULT_DENY))
        if gone is None:
            table.add_row(group, "[green]shown[/]", "", ", ".join(said.because))
        else:
            shown = "[yellow]in part[/]" if gone.reason == "DOMESTIC_ONLY" else "[red]withheld[/]"
            table.add_row(group, shown, f"{REMOVALS.get(gone.reason, '')} ({gone.reason})", ", ".join(gone.because))
    table.caption = "handling, routing and subject are always shown"
    return table


def _because(answer: Answer) -> str:
    if answer.because == DEFAULT_DENY:
        return "no policy permits it (default-deny)"
    verb = "permitted" if answer.effect is Effect.ALLOW else "forbidden"
    return f"{verb} by {', '.join(answer.because)}"


def _message(path: Path, ground: _Ground, *, sender: str | None, family: str, now: datetime) -> Message:
    document = _document(path)
    events = document.get("events")
    if isinstance(events, dict) and len(events) == 1:
        ((uri, event),) = events.items()
        family, sender = "/".join(uri.rsplit("/", 2)[1:]), document.get("iss", sender)
    else:
        event = document
    name, _, version = family.partition("/")
    found = Family(name, version)
    if not ground.schemas.knows(found):
        _stop([f"{path}: family {family} is not known here"], EXIT_FAULTS)
    if not isinstance(sender, str) or ground.directory.find(sender) is None:
        raise typer.BadParameter("the sender has no profile", param_hint="--sender")
    errors = [p for p in ground.schemas.check(found, event, on=now.date()) if p.is_error]
    if errors:
        _stop([f"{path}: {p.pointer}: {p.detail}; {p.expected}" for p in errors], EXIT_FAULTS)
    return Message(
        iss=PartnerId(sender), jti=Jti("-"), digest="", aud=PartnerId("-"), iat=now, toe=now, txn="", family=found, event=event
    )  # fmt: skip


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = parse_object(path.read_bytes())
    except OSError as exc:
        _stop([f"{path}: {exc.strerror}"], EXIT_UNREADABLE)
    except RefusedInputError as exc:
        _stop([f"{path}: {exc.problem.detail}"], EXIT_UNREADABLE)
    return document


def _ground(policies: Path, partners: Path, schemas: Path) -> _Ground:
    try:
        reference = load_reference(schemas)
        known = load_schemas(schemas, reference)
        manifests = {id_: adapter.manifest for id_, adapter in load_adapters().items()}
        profiles = load_partners(partners, vocabulary=Vocabulary.of(known, reference), adapters=manifests).profiles
        return _Ground(reference, known, Directory(profiles.values()), load_policies(policies, partners=profiles.keys()))
    except PolicyFaultsError as exc:
        _stop([str(fault) for fault in exc.faults], EXIT_FAULTS)
    except OperatorError as exc:
        _stop(str(exc).splitlines(), EXIT_FAULTS)
    except OSError as exc:
        _stop([f"{exc.filename}: {exc.strerror}"], EXIT_UNREADABLE)


def _stop(lines: list[str], code: int) -> NoReturn:
    err = Console(stderr=True, soft_wrap=True)
    for line in lines:
        err.print(escape(line), highlight=False)
    raise typer.Exit(code)
