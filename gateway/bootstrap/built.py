"""A gateway that was built: its parts and its loops."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from aiohttp import web

from gateway.api import app
from gateway.app.commands import Commands
from gateway.app.keeping import Keeping
from gateway.app.ports import Bus, Store
from gateway.app.supervise import Loop, Supervisor
from gateway.app.world import Holder
from gateway.bootstrap.reading import Lists
from gateway.contract.loading import Adapter
from gateway.ops.profiles import Partners
from gateway.ops.settings import Settings

STOPPED_LAST: Final = ("submissions", "remembered", "settle")  # others work through them until they have ended


@dataclass(slots=True)
class Gateway:
    """A gateway that was built and listens, but whose loops do not run yet."""

    settings: Settings
    supervisor: Supervisor
    loops: dict[str, Loop]
    port: int = 0  # of the partners' listener; 0 where there is none
    admin_port: int = 0
    holder: Holder | None = None
    store: Store | None = None
    keeping: Keeping | None = None  # where there is a store
    bus: Bus | None = None
    commands: Commands | None = None
    read: tuple[Partners, Mapping[str, Adapter]] | None = None  # profiles and adapters, once they were
    lists: Lists | None = None  # code lists and schemas, where they were read before
    listener: web.AppRunner | None = None  # for partners
    certificates: dict[str, datetime] = field(default_factory=dict)  # when that of each listener ends
    leaving: asyncio.Event = field(default_factory=asyncio.Event)  # told to stop: not ready any more

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then drain.

        It says first that it is not ready, and goes on while a load balancer takes notice; then who asked is answered, what is under way
        comes to its end, and its reports are settled last.
        """
        closed = asyncio.Event()
        closing = asyncio.create_task(self._close(stop, closed))
        try:
            await self.supervisor.run(self.loops, closed, last=STOPPED_LAST)
        finally:
            closing.cancel()

    async def _close(self, stop: asyncio.Event, closed: asyncio.Event) -> None:
        await stop.wait()
        self.leaving.set()
        if self.listener is not None:
            await asyncio.sleep(self.settings.leave_seconds)
            await app.close(self.listener)
        closed.set()
