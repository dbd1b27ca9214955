"""`gateway kafka`: prepare a broker for the scaled-out form, or say what it lacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.bootstrap import kafka_access, kafka_shape, load_adapters, load_lists, load_profiles
from gateway.buses.kafka import KafkaAccess
from gateway.buses.kafka_plan import WAIVER, Plan, Shape, make_plan
from gateway.buses.kafka_setup import KafkaSetup
from gateway.cli.errors import Commands
from gateway.contract.errors import OperatorError
from gateway.contract.values import Environment, PartnerId
from gateway.ops.settings import ProcessRole, load_settings

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Prepare a Kafka broker.")

CREATE_USERS_HELP = "Give each principal a SCRAM password, kept in this folder (mode 0600)."
CONFIG_HELP = "Settings file (TOML) of the gateway: its broker, environment and waivers, and what its partners' profiles ask for."
NEEDS: Final = ("environment", "waivers", "bus", "paths.schemas", "paths.partners")


@dataclass(frozen=True, slots=True)
class Wish:
    """Whom to ask, and for what: as options say it, or settings and profiles."""

    access: KafkaAccess
    shape: Shape
    environment: Environment
    waived: frozenset[str]


@app.callback()
def kafka() -> None:
    """Prepare a Kafka broker."""


@app.command()
def setup(  # noqa: PLR0913 -- each is one option of the command line
    *,
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help=CONFIG_HELP)] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Without --config: the brokers, host:port, comma separated.")] = None,
    user: Annotated[str | None, typer.Option(help="A principal that may administer the cluster.  [default: as the settings say]")] = None,
    password_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with that principal's password.")] = None,
    ca_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The brokers' authority (PEM).")] = None,
    register: Annotated[list[str] | None, typer.Option(help="A register with a Kafka channel: ID or ID=AGE_LIMIT_SECONDS.")] = None,
    shard: Annotated[list[str] | None, typer.Option(help="A courier shard. [default: main]")] = None,
    edges: Annotated[int, typer.Option(min=1, help="Partitions of the replies: at least as many as edges.")] = 12,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the other shared topics.")] = 6,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each topic.")] = 3,
    in_sync: Annotated[int, typer.Option(min=1, help="min.insync.replicas.")] = 2,
    environment: Annotated[Environment | None, typer.Option(help="What the gateway is for. [default: PRODUCTION]")] = None,
    waive: Annotated[list[str] | None, typer.Option(help=f"A check to waive by name outside PRODUCTION: {WAIVER}.")] = None,
    create_users: Annotated[Path | None, typer.Option(file_okay=False, help=CREATE_USERS_HELP)] = None,
    check: Annotated[bool, typer.Option("--check", help="Only report what is wanting; change nothing.")] = False,
) -> None:
    """Create missing topics and access rules, and report what is not as it must be.

    With --config, everything but the administrator and the sizes comes from settings and profiles.
    Nothing that exists is changed or deleted. Exit code 0: the broker fits; 1: something is wanting; 2: usage; 4: no answer.
    """
    said = {"bootstrap": bootstrap, "ca-file": ca_file, "register": register, "shard": shard, "environment": environment, "waive": waive}
    if config is not None:
        wish = _of_settings(config, user, password_file, said=[name for name, value in said.items() if value])
    else:
        access = _access(bootstrap, user, password_file=password_file, ca_file=ca_file)
        wish = Wish(access, _shape(register or [], shard or []), environment or Environment.PRODUCTION, frozenset(waive or []))
    plan = _plan(wish, edges=edges, partitions=partitions, replicas=replicas, in_sync=in_sync)
    try:
        complete = _visit(KafkaSetup(wish.access), plan, None if check else create_users, check=check)
    except OperatorError as exc:
        typer.echo(f"the broker does not answer: {exc}", err=True)
        raise typer.Exit(4) from exc
    raise typer.Exit(0 if complete else 1)


def _of_settings(config: Path, user: str | None, password_file: Path | None, *, said: list[str]) -> Wish:
    """Read the wish from settings and profiles, with the administrator in the place of a role's principal. Raises `OperatorError`s."""
    if said:
        raise typer.BadParameter(f"the settings say it: leave out --{said[0]}, or --config")
    administrator = {name: value for name, value in {"user": user, "password_file": password_file}.items() if value is not None}
    over = {"role": ProcessRole.INNER, "bus": administrator}  # whichever role's settings these are: a broker is for the scaled-out form
    settings = load_settings(config, over=over, needs=NEEDS)
    reference, schemas = load_lists(settings)
    partners = load_profiles(settings, load_adapters(), reference=reference, schemas=schemas)
    return Wish(kafka_access(settings), kafka_shape(partners), settings.environment, settings.waivers)


def _plan(wish: Wish, *, edges: int, partitions: int, replicas: int, in_sync: int) -> Plan:
    try:
        shape = replace(wish.shape, edges=edges, partitions=partitions, replicas=replicas, in_sync=in_sync)
        return make_plan(shape, wish.environment, waived=wish.waived)
    except OperatorError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _access(bootstrap: str | None, user: str | None, *, password_file: Path | None, ca_file: Path | None) -> KafkaAccess:
    if bootstrap is None or user is None or password_file is None:
        raise typer.BadParameter("say which broker, and as whom: --config, or --bootstrap, --user and --password-file")
    password = password_file.read_text(encoding="utf-8").strip()
    return KafkaAccess(bootstrap=bootstrap, user=user, password=password, ca_file=str(ca_file) if ca_file else None)


def _shape(register: list[str], shard: list[str]) -> Shape:
    try:
        return Shape(registers=dict(map(_register, register)), shards=tuple(shard or ["main"]))
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _visit(broker: KafkaSetup, plan: Plan, create_users: Path | None, *, check: bool) -> bool:
    """Do it and say it; return whether the broker fits the plan."""
    if not check:
        for created in broker.create_missing(plan):
            typer.echo(f"created: {created}")
    if create_users is not None:
        create_users.mkdir(mode=0o700, parents=True, exist_ok=True)
        for principal in broker.create_users(plan, create_users):
            typer.echo(f"created: password of {principal} in {create_users / principal}.password")
    wanting = broker.find_wanting(plan)
    for line in wanting:
        typer.echo(f"wanting: {line}", err=True)
    typer.echo(f"{len(plan.topics)} topics and {len(plan.rules)} access rules looked at, {len(wanting)} wanting")
    return not wanting


def _register(text: str) -> tuple[PartnerId, int]:
    partner, _, seconds = text.partition("=")
    return PartnerId(partner), int(seconds or 3 * 86_400)
