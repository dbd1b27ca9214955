"""`gateway serve`: run a gateway, in any of its roles; or only check that it would start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
import uvloop

from gateway import bootstrap
from gateway.app.supervise import DRAIN_SECONDS_MAX
from gateway.cli.errors import lines_of, stop
from gateway.contract.errors import OperatorError
from gateway.contract.loading import Adapter
from gateway.ops import telemetry
from gateway.ops.policies import load_policies
from gateway.ops.profiles import Partners
from gateway.ops.rulefiles import load_rule_tables
from gateway.ops.settings import FOLDERS, ProcessRole, Settings, load_settings
from gateway.ops.tls import server_context

Loaded = TypeVar("Loaded")
EXIT_OVERDUE: Final = 70  # ended, but not in order: something did not end in the time it has
_INNER: Final = frozenset({ProcessRole.EMBEDDED, ProcessRole.INNER})
_PUSHES: Final = frozenset({ProcessRole.EMBEDDED, ProcessRole.COURIER})
_LISTENS: Final = frozenset({ProcessRole.EMBEDDED, ProcessRole.EDGE})


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML). The environment (GATEWAY__BUS__SECURITY) goes over it.")
    ] = None,
    role: Annotated[ProcessRole | None, typer.Option(help="Which part of the gateway to run.  [default: as the settings say]")] = None,
    check: Annotated[bool, typer.Option("--check", help="Load what a start would, say what is wrong, listen to nothing.")] = False,
) -> None:
    """Run the gateway until SIGTERM or SIGINT, then let it finish what is under way.

    It has ended 27 s after `limits.leave_seconds` at the latest. Exit code 0: in order; 70: not in that time, as by kill -9.
    """
    settings = load_settings(config, over={"role": role} if role else {})
    telemetry.configure("INFO", json=not (settings.is_dev and sys.stderr.isatty()))
    checked = Check(settings)
    faults = checked.faults()  # before a start too, which would end at the first of them
    if faults:
        stop(faults)
    if check:
        typer.echo("\n".join([*_head(settings), "ok"]))
        return
    uvloop.run(_serve(settings, checked.lists))


async def _serve(settings: Settings, lists: bootstrap.Lists | None) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    overdue = threading.Timer(settings.leave_seconds + DRAIN_SECONDS_MAX, _end_now)
    overdue.daemon = True

    def leave() -> None:
        if not ended.is_set():
            ended.set()
            overdue.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    async with bootstrap.build(settings, lists) as gateway:
        typer.echo("\n".join([*_head(settings), *_addresses(gateway)]))
        sys.stdout.flush()
        await gateway.run(ended)
    typer.echo("stopped")


def _end_now() -> None:
    """End as a crash would, which loses nothing: what is under way goes again when its lease ends."""
    sys.stderr.write("not ended in time: killed\n")
    sys.stderr.flush()
    os._exit(EXIT_OVERDUE)


def _head(settings: Settings) -> Iterator[str]:
    waived = ", ".join(sorted(settings.waivers)) or "nothing"
    yield f"gateway {settings.id} {bootstrap.VERSION}: {settings.role}, profile {settings.profile}, environment {settings.environment}"
    yield f"waived: {waived}"


def _addresses(gateway: bootstrap.Gateway) -> Iterator[str]:
    settings = gateway.settings
    if settings.role in _LISTENS:
        scheme = "https" if settings.partner_listener.tls_certificate else "http"
        yield f"partners: {scheme}://{settings.partner_listener.host}:{gateway.port}, known to them as {settings.origin}"
    scheme = "https" if settings.admin_listener.tls_certificate else "http"
    yield f"admin: {scheme}://{settings.admin_listener.host}:{gateway.admin_port}"


class Check:
    """Loads everything a start of a role would, each part on its own, so that all faults are told at once."""

    def __init__(self, settings: Settings) -> None:
        """Check for these settings."""
        self._settings = settings
        self._found: list[str] = []
        self.lists: bootstrap.Lists | None = None  # read once, and used by the start

    def faults(self) -> list[str]:
        """Return every fault as a line. Nothing listens, and no database or broker is asked."""
        settings = self._settings
        adapters = self._try(bootstrap.load_adapters)
        partners = self._profiles(adapters) if adapters is not None else None
        if settings.role in _INNER:
            self._inner(partners)
        elif "keys" in FOLDERS[settings.role]:
            self._try(bootstrap.keystore(settings).own)
        if settings.role in _LISTENS:
            self._listener()
        if settings.role in _PUSHES and adapters is not None and partners is not None:
            self._transports(adapters, partners)
        if settings.bus.kind == "kafka":
            self._try(lambda: bootstrap.kafka_access(settings))
        return self._found

    def _try(self, load: Callable[[], Loaded]) -> Loaded | None:
        try:
            return load()
        except OperatorError as exc:
            self._found += lines_of(exc)
        except OSError as exc:
            self._found.append(f"{exc.filename}: {exc.strerror}")
        return None

    def _profiles(self, adapters: dict[str, Adapter]) -> Partners | None:
        self.lists = self._try(lambda: bootstrap.load_lists(self._settings))
        if self.lists is None:
            return None
        reference, schemas = self.lists
        return self._try(lambda: bootstrap.load_profiles(self._settings, adapters, reference=reference, schemas=schemas))

    def _inner(self, partners: Partners | None) -> None:
        settings, before = self._settings, len(self._found)
        named = partners.profiles.keys() if partners else {path.stem for path in settings.paths.partners.glob("*.toml")}
        self._try(lambda: load_policies(settings.paths.policies, partners=named))
        self._try(lambda: load_rule_tables(settings.paths.schemas / "rules"))
        self._try(lambda: bootstrap.load_people(settings, named))
        keystore = self._try(lambda: bootstrap.keystore(settings))
        if keystore is None:
            return
        self._try(keystore.trusted)
        private = self._try(keystore.private)
        if private is not None and partners is not None and len(self._found) == before:
            self._try(lambda: bootstrap.load(settings, private, keystore, self.lists))  # what only all of it together shows

    def _listener(self) -> None:
        listener = self._settings.partner_listener
        self._try(bootstrap.keystore(self._settings).key_set)
        self._try(bootstrap.problems_page)
        if listener.tls_certificate is not None and listener.tls_key is not None:
            certificate, key = listener.tls_certificate, listener.tls_key
            self._try(lambda: server_context(certificate, key, client_ca=listener.client_ca))

    def _transports(self, adapters: dict[str, Adapter], partners: Partners) -> None:
        for partner, way in partners.transports.items():
            if self._settings.role is ProcessRole.EMBEDDED or way.shard == self._settings.shard:
                before = len(self._found)
                self._try(lambda way=way: adapters[way.transport].transport(way.settings))  # type: ignore[misc]  # mypy cannot infer the default
                self._found[before:] = [f"{partner}: {fault}" for fault in self._found[before:]]
