"""`gateway kafka`: prepare a broker for the scaled-out form, or say what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.buses.kafka import KafkaAccess
from gateway.buses.kafka_plan import WAIVER, Plan, Shape, make_plan
from gateway.buses.kafka_setup import KafkaSetup
from gateway.contract.errors import OperatorError
from gateway.contract.values import Environment, PartnerId

app = typer.Typer(no_args_is_help=True, help="Prepare a Kafka broker.")

CREATE_USERS_HELP = "Give each principal a SCRAM password, kept in this folder (mode 0600)."


@app.callback()
def kafka() -> None:
    """Prepare a Kafka broker."""


@app.command()
def setup(  # noqa: PLR0913 -- each is one option of the command line
    *,
    bootstrap: Annotated[str, typer.Option(help="The brokers: host:port, comma separated.")],
    user: Annotated[str, typer.Option(help="A principal that may administer the cluster.")],
    password_file: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File with that principal's password.")],
    ca_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The brokers' authority (PEM).")] = None,
    register: Annotated[list[str] | None, typer.Option(help="A register with a Kafka channel: ID or ID=AGE_LIMIT_SECONDS.")] = None,
    shard: Annotated[list[str] | None, typer.Option(help="A courier shard. [default: main]")] = None,
    edges: Annotated[int, typer.Option(min=1, help="Partitions of the replies: at least as many as edges.")] = 12,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the other shared topics.")] = 6,
    replicas: Annotated[int, typer.Option(min=1)] = 3,
    in_sync: Annotated[int, typer.Option(min=1, help="min.insync.replicas.")] = 2,
    environment: Annotated[Environment, typer.Option(help="What the gateway is for.")] = Environment.PRODUCTION,
    waive: Annotated[list[str] | None, typer.Option(help=f"A check to waive by name outside PRODUCTION: {WAIVER}.")] = None,
    create_users: Annotated[Path | None, typer.Option(file_okay=False, help=CREATE_USERS_HELP)] = None,
    check: Annotated[bool, typer.Option("--check", help="Only report what is wanting; change nothing.")] = False,
) -> None:
    """Create missing topics and access rules, and report what is not as it must be.

    Nothing that exists is changed or deleted. Exit code 0: the broker fits; 1: something is wanting; 2: usage; 4: no answer.
    """
    try:
        registers = dict(map(_register, register or []))
        shape = Shape(
            registers=registers, shards=tuple(shard or ["main"]), edges=edges, partitions=partitions, replicas=replicas, in_sync=in_sync
        )
        plan = make_plan(shape, environment, waived=frozenset(waive or []))
    except (OperatorError, ValueError) as exc:
        raise typer.BadParameter(str(exc)) from exc
    access = KafkaAccess(
        bootstrap=bootstrap,
        user=user,
        password=password_file.read_text(encoding="utf-8").strip(),
        ca_file=str(ca_file) if ca_file else None,
    )
    try:
        complete = _visit(KafkaSetup(access), plan, None if check else create_users, check=check)
    except OperatorError as exc:
        typer.echo(f"the broker does not answer: {exc}", err=True)
        raise typer.Exit(4) from exc
    raise typer.Exit(0 if complete else 1)


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
