"""The auditor: what anyone can check with public keys alone, while trials run, and the whole log at their end."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.contract.errors import GatewayError
from gateway.core.evidence import checkpoint, merkle
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.keys import Use, VerifyKey
from gateway.ops.settings import ProcessRole
from gateway.testing.client import PartnerClient
from tests.acceptance.deployment import Deployment
from tests.acceptance.processes import gateway
from trials.ledger import Entry, Ledger
from trials.load import UNREACHABLE

INCLUDED_SECONDS: Final = 40.0  # a receipt's leaf is in the log by then: a dead sequencer's lease is 15 s
ASKED_AT_ONCE: Final = 12  # proofs for each look; the offline check at the end holds all receipts against the log


class Auditor:
    """Follows one log. Keeps every checkpoint and every receipt outside the gateway."""

    def __init__(self, gw: Deployment, ledger: Ledger, folder: Path) -> None:
        """Write what it keeps to `folder`."""
        self._gw, self._ledger, self._folder = gw, ledger, folder
        self._heads: list[tuple[Checkpoint, str]] = []
        entries = [e for e in gw.kit().gateway_keys.entries if isinstance(e, VerifyKey) and e.use is Use.CHECKPOINT]
        self._keys = [CheckpointKey(gw.setup.gateway, e.public) for e in entries if isinstance(e.public, Ed25519PublicKey)]

    async def look(self) -> None:
        """Fetch the newest checkpoint, prove that it continues the one before, and that receipts are in it."""
        try:
            async with asyncio.timeout(20), self._gw.client() as client:
                head = await self._head(client)
                if head is None:
                    return
                await self._continues(client, head)
                await self._included(client, head)
        except (*UNREACHABLE, KeyError) as exc:
            self._fault(f"could not be asked for: {type(exc).__name__}")
        except (EvidenceError, GatewayError) as exc:
            self._fault(str(exc))

    async def _head(self, client: PartnerClient) -> Checkpoint | None:
        response = await client.get("/v1/evidence/checkpoint")
        if response.status != 200:
            return None
        note = response.body.decode()
        head = checkpoint.verify(note, self._keys)
        self._heads.append((head, note))
        return head

    async def _continues(self, client: PartnerClient, head: Checkpoint) -> None:
        if len(self._heads) < 2:
            return
        before = self._heads[-2][0]
        if head.size < before.size:
            self._fault(f"the log has {head.size} leaves, and had {before.size}")
            return
        answer = await client.get("/v1/evidence/consistency", {"first": str(before.size), "second": str(head.size)})
        path = [bytes.fromhex(step) for step in answer.value["path"]]
        merkle.verify_consistency(before.size, head.size, path=path, first_root=before.root, second_root=head.root)

    async def _included(self, client: PartnerClient, head: Checkpoint) -> None:
        waiting = [entry for entry in self._ledger.entries.values() if entry.leaf is not None and not entry.proven]
        for entry in waiting[:ASKED_AT_ONCE]:
            await self._prove(client, head, entry)

    async def _prove(self, client: PartnerClient, head: Checkpoint, entry: Entry) -> None:
        leaf = entry.leaf or b""
        response = await client.get("/v1/evidence/inclusion", {"leaf": leaf.hex(), "size": str(head.size)})
        if response.status == 200:
            path = [bytes.fromhex(step) for step in response.value["path"]]
            merkle.verify_inclusion(leaf, response.value["index"], head.size, path=path, root=head.root)
            entry.proven = True
        elif response.status == 404 and time.monotonic() - (entry.receipted_at or 0) > INCLUDED_SECONDS:
            self._fault(f"the leaf of the receipt of {entry.jti} is not in the log")

    async def close(self) -> None:
        """Export the log and verify it offline, with every receipt and checkpoint that was kept outside."""
        end = time.monotonic() + INCLUDED_SECONDS
        while time.monotonic() < end and not await self._covers_the_last():  # noqa: ASYNC110 -- another process makes it so
            await asyncio.sleep(0.5)
        await asyncio.to_thread(self._offline)

    async def _covers_the_last(self) -> bool:
        receipted = [entry for entry in self._ledger.entries.values() if entry.leaf is not None]
        if not receipted:
            return True
        last = max(receipted, key=lambda entry: entry.receipted_at or 0)
        try:
            async with asyncio.timeout(5), self._gw.client() as client:
                head = await self._head(client)
                if head is not None:
                    await self._prove(client, head, last)
        except (*UNREACHABLE, EvidenceError, GatewayError):
            return False
        return last.proven

    def _offline(self) -> None:
        kept, bundle = self._folder / "kept", self._folder / "bundle"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.rmtree(bundle, ignore_errors=True)
        kept.mkdir()
        for number, (_, note) in enumerate(self._heads):
            (kept / f"checkpoint-{number:05}").write_text(note, encoding="utf-8")
        receipts = [receipt for entry in self._ledger.entries.values() for receipt in sorted(entry.receipts)]
        if receipts:
            (kept / "receipts").write_bytes(b"\n".join(receipts) + b"\n")
        settings = self._gw.setup.settings
        role = ProcessRole.EMBEDDED if ProcessRole.EMBEDDED in settings else ProcessRole.INNER
        exported = gateway("evidence", "export", "--config", str(settings[role]), str(bundle), tree=self._gw.processes[role].tree)
        if exported.returncode != 0:
            self._fault(f"cannot be exported: {exported.stderr.strip()[-300:]}")
            return
        against = ("--against", str(kept)) if any(kept.iterdir()) else ()
        verified = gateway("evidence", "verify", str(bundle), *against)
        if verified.returncode != 0:
            self._fault(f"offline: {(verified.stderr or verified.stdout).strip()[-300:]}")

    def _fault(self, what: str) -> None:
        if what not in self._ledger.evidence:
            self._ledger.evidence.append(what)
