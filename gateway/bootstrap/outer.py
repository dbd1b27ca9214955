"""The outer zone: couriers, and the listener for partners with what it publishes."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from aiohttp import web

from gateway.api import app, public
from gateway.api.edge import Bounds, Edge, PublicInfo
from gateway.app.courier import Courier
from gateway.app.ports import Desk
from gateway.app.supervise import Loop, every
from gateway.bootstrap.built import Gateway
from gateway.bootstrap.reading import certificates_of, keystore, load_adapters, load_lists, load_profiles, problems_page, tls_of
from gateway.contract.loading import Adapter
from gateway.contract.transports import Transport
from gateway.contract.values import PartnerId
from gateway.core.keyring import Keyring
from gateway.keystores.files import FileKeystore
from gateway.ops.profiles import Partners
from gateway.ops.settings import ProcessRole, Settings
from gateway.ops.system import SystemClock
from gateway.ops.telemetry import Telemetry
from gateway.ops.tls import end_of, renew
from gateway.ops.watch import Watch

WATCH_SECONDS: Final = 2.0  # between looks whether certificate or key set are others


async def add_courier(built: Gateway, stack: AsyncExitStack, telemetry: Telemetry) -> None:
    """Add a loop for each shard this process delivers for. Raises `OperatorError`s."""
    settings = built.settings
    partners, adapters = _partners(built)
    shards: dict[str, dict[PartnerId, tuple[Transport, float]]] = {}
    for partner, way in partners.transports.items():
        if settings.role is ProcessRole.EMBEDDED or way.shard == settings.shard:
            transport = adapters[way.transport].transport(way.settings)
            stack.push_async_callback(transport.close)
            shards.setdefault(way.shard, {})[partner] = (transport, float(way.timeout_seconds))
    if built.bus is None:
        raise AssertionError("bus before courier")
    for shard, transports in shards.items():
        courier = Courier(built.bus, transports, shard=shard, clock=SystemClock(), telemetry=telemetry)
        built.loops[f"courier-{shard}"] = courier.run


async def add_edge(
    built: Gateway, stack: AsyncExitStack, *, desk: Desk, telemetry: Telemetry, readiness: Callable[[], Awaitable[list[str]]]
) -> None:
    """Open the partners' listener before `desk`. Raises `OperatorError`s."""
    settings = built.settings
    keys = keystore(settings)
    bounds = Bounds(
        answer_seconds=settings.limits.answer_seconds, poll_seconds=settings.limits.poll_seconds, questions_max=settings.limits.waiting_max
    )
    edge = Edge(
        desk=desk, clock=SystemClock(), telemetry=telemetry, public=_public(settings, keys), readiness=readiness, bounds=bounds,
        stopping=built.leaving,
    )  # fmt: skip
    edge.clients = certificates_of(_partners(built)[0])
    runner = built.listener = app.runner(app.create(edge))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = settings.partner_listener
    tls = tls_of(listener.tls_certificate, listener.tls_key, client_ca=listener.client_ca)
    site = web.TCPSite(runner, listener.host, listener.port, ssl_context=tls)
    built.loops |= _watched(built, keys, edge, tls=tls, telemetry=telemetry)
    await site.start()
    built.port = runner.addresses[0][1]


def _partners(built: Gateway) -> tuple[Partners, Mapping[str, Adapter]]:
    """Return profiles and adapters: read once, whatever the role does with them."""
    if built.read is None:
        adapters = load_adapters()
        reference, schemas = built.lists or load_lists(built.settings)
        built.read = load_profiles(built.settings, adapters, reference=reference, schemas=schemas), adapters
    return built.read


def _watched(built: Gateway, keys: FileKeystore, edge: Edge, *, tls: ssl.SSLContext | None, telemetry: Telemetry) -> dict[str, Loop]:
    """Return loops that read the key set and the certificate of partners' listener again when they are others."""
    settings = built.settings

    def publish() -> None:
        edge.public = replace(edge.public, jwks=_jwks(keys.own()), key_set=keys.key_set())

    listener, public = settings.partner_listener, settings.paths.keys / "public" / f"{settings.gateway}.json"
    watches = [Watch([public, public.with_suffix(".jwt")], publish, telemetry, name="key-set-not-read")]
    if tls is not None and listener.tls_certificate is not None and listener.tls_key is not None:
        files = listener.tls_certificate, listener.tls_key

        def take() -> None:
            renew(tls, *files)
            built.certificates["partners"] = end_of(files[0])  # of what is shown, not of what lies there

        built.certificates["partners"] = end_of(files[0])
        watches.append(Watch(files, take, telemetry, name="certificate-not-read"))
    return {f"watch-{number}": every(WATCH_SECONDS, watch.run_once) for number, watch in enumerate(watches)}


def _public(settings: Settings, keys: FileKeystore) -> PublicInfo:
    schemas = {str(path.relative_to(settings.paths.schemas)): path.read_bytes() for path in sorted(settings.paths.schemas.rglob("*.json"))}
    problems = public.problem_pages(problems_page())
    return PublicInfo(jwks=_jwks(keys.own()), key_set=keys.key_set(), schemas=schemas, problems=problems, openapi=public.openapi())


def _jwks(keyring: Keyring) -> bytes:
    from gateway.core import jwks, strict_json  # noqa: PLC0415

    return strict_json.canonical(jwks.write_jwks(keyring.entries))
