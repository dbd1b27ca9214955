"""What the gateway decides by, as evidence: at start all of it, at a reload what changed, and every waived check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

from gateway.app.ports import Store
from gateway.app.world import World
from gateway.core import jwks, strict_json
from gateway.core.evidence import entries

What = Literal["policies", "profile", "operator", "key", "rules", "codes", "schemas", "gateway"]
Digests = Mapping[tuple[What, str | None], str]
_OF_GROUNDS: Mapping[What, str] = {"policies": "policies", "rules": "rules", "codes": "reference", "schemas": "schemas"}


def digests_of(world: World) -> Digests:
    """Return the digest of everything a decision rests on, by kind and name."""
    found: dict[tuple[What, str | None], str] = {(what, None): world.grounds.digests[name] for what, name in _OF_GROUNDS.items()}
    found |= {("profile", profile.id): profile.digest for profile in world.directory}
    found |= {("operator", operator.id): operator.digest for operator in world.operators}
    for entry in (*world.context.keyring.entries, *world.signers.public.entries):
        found["key", f"{entry.owner}.{entry.kid}"[:64]] = sha256(strict_json.canonical(jwks.write_jwk(entry))).hexdigest()
    return found


async def record(store: Store, before: Digests, after: Digests, *, at: datetime) -> int:
    """Stage an entry for each thing that is new, changed or gone; return how many."""
    changed = sorted({key for key in {*before, *after} if before.get(key) != after.get(key)}, key=lambda key: (key[0], key[1] or ""))
    staged = [
        entries.Config(
            at=entries.moment(at), what=what, name=name, digest=after.get((what, name)), previous=before.get((what, name))
        ).encode()
        for what, name in changed
    ]
    if staged:
        async with store.unit_of_work() as work:
            await work.stage_evidence(staged)
    return len(staged)


async def record_waivers(store: Store, waivers: Collection[str], *, environment: str, at: datetime) -> None:
    """Stage an entry for each waived check."""
    kinds: Mapping[str, Literal["PRODUCTION", "ACCEPTANCE", "TEST"]] = {
        "PRODUCTION": "PRODUCTION", "ACCEPTANCE": "ACCEPTANCE", "TEST": "TEST"
    }  # fmt: skip
    if waivers:
        async with store.unit_of_work() as work:
            when = entries.moment(at)
            await work.stage_evidence(
                [entries.Waiver(at=when, check=name, environment=kinds[environment]).encode() for name in sorted(waivers)]
            )
