"""A restored store: what it lacks is named, the next log is staged once, and erasures are done again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.app.logcheck import check_log
from gateway.app.partner_rows import KeyRow
from gateway.app.ports import Store, WrappedKey
from gateway.app.restore import RestoreError, look, open_next
from gateway.app.sequence import LEASE_SECONDS, Sequencer
from gateway.contract.values import KeyId, PartnerId, Ref, SubjectKey
from gateway.core import jose, jwks
from gateway.core.evidence import entries
from gateway.core.evidence.checkpoint import CheckpointKey, CheckpointSigner
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.receipts import Receipt
from gateway.core.evidence.succession import Outside
from gateway.core.keys import KeyEntry
from gateway.core.message import Signed
from gateway.core.next_key import KeyState, spelled
from gateway.core.standing import Standing
from gateway.stores.open import open_store
from gateway.testing.clock import FakeClock
from tests.vectors.evidence import SIGNER, accepted, uuid
from tests.vectors.tokens import OWNER, VERIFY_EC, VERIFY_ED

GATEWAY = "gb-gateway"
KEY = CheckpointKey(GATEWAY, SIGNER.key.public)
ANNA, BERT = SubjectKey("a" * 64), SubjectKey("b" * 64)


@pytest.fixture
async def store(tmp_path):
    async with open_store(f"sqlite:///{tmp_path / 'gateway.db'}", dev=True) as opened:
        yield opened


@pytest.fixture
def clock():
    return FakeClock()


async def grow(store: Store, clock: FakeClock, *numbers: int) -> None:
    async with store.unit_of_work() as work:
        await work.stage_evidence([accepted(number).encode() for number in numbers])
    await Sequencer(store, CheckpointSigner(GATEWAY, SIGNER.private), clock, holder="inner").run_once()
    clock.advance(seconds=LEASE_SECONDS + 1)


async def log_of(store: Store) -> list[entries.Entry]:
    async with store.reading() as work:
        return [entries.decode(raw) for _, raw in await work.leaves(0, 1000)]


def later(start: int, *said: entries.Entry) -> Outside:
    return Outside(events=tuple((start + n, entry.encode()) for n, entry in enumerate(said)))


async def test_the_next_log_is_opened_once_and_follows_what_was_found(store, clock):
    await grow(store, clock, 1, 2)
    found = await look(store, later(3, accepted(7)), gateway=GATEWAY, keys=[KEY], now=clock.now())
    assert await open_next(store, found) == 0
    with pytest.raises(RestoreError, match="already"):
        await look(store, Outside(), gateway=GATEWAY, keys=[KEY], now=clock.now())
    clock.advance(seconds=2)
    await grow(store, clock, 3)
    await grow(store, clock, 4)
    log = await log_of(store)
    assert [entry.kind for entry in log] == ["log-opened", "accepted", "accepted"]
    assert isinstance(log[0], entries.LogOpened)
    assert (log[0].origin, log[0].previous) == (f"{GATEWAY}/2", found.succession.previous)
    assert found.succession.previous.size == 4
    checked = await check_log(store, keys=[KEY])
    assert (checked.origin, checked.edge.size) == (f"{GATEWAY}/2", 3)


async def test_a_second_restore_opens_the_third_log(store, clock):
    await grow(store, clock, 1)
    for _ in range(2):
        await open_next(store, await look(store, Outside(), gateway=GATEWAY, keys=[KEY], now=clock.now()))
        clock.advance(seconds=2)
        await grow(store, clock, 2)
    (opened, _) = await log_of(store)
    assert isinstance(opened, entries.LogOpened)
    assert opened.previous is not None
    assert (opened.origin, opened.previous.origin, opened.previous.size) == (f"{GATEWAY}/3", f"{GATEWAY}/2", 2)


async def test_a_report_names_what_must_be_asked_for_again(store, clock):
    await grow(store, clock, 1, 2)
    gone = entries.LegMoved(at=accepted(3).at, leg_id=uuid(1002), jti=uuid(2002), partner="fr-police", state="delivered")
    found = await look(store, later(3, accepted(3), gone), gateway=GATEWAY, keys=[KEY], now=clock.now())
    report = found.report(partners=["nl-border"])
    assert report["history"] == {"entries": 3, "missing": 2, "told_by_events": 2}
    assert report["ask"]["submissions"] == [{"iss": "ie-register", "jti": uuid(3), "seen_in": "gw.events"}]
    assert [sender["partner"] for sender in report["ask"]["senders"]] == ["ie-register", "nl-border"]
    assert [(leg["jti"], leg["state"], leg.get("later")) for leg in report["ask"]["legs"]] == [
        (uuid(2001), "planned", None),
        (uuid(2002), "planned", "delivered"),
    ]
    assert report["ask"]["since"] == accepted(2).at


async def test_erasures_recorded_since_are_done_again_and_recorded(store, clock):
    await grow(store, clock, 1)
    async with store.unit_of_work() as work:
        await work.lock_subjects({ANNA: WrappedKey("kek-1", b"a"), BERT: WrappedKey("kek-2", b"b")})
    said = [
        entries.Erased(at=accepted(2).at, key=entries.ErasedSubject(subject=ANNA), reason="RETENTION"),
        entries.Erased(at=accepted(2).at, key=entries.ErasedEpoch(epoch="kek-2"), reason="RETENTION"),
        entries.Erased(at=accepted(2).at, key=entries.ErasedMessage(iss="ie-register", jti=uuid(1)), reason="RETENTION"),
    ]
    found = await look(store, later(2, *said), gateway=GATEWAY, keys=[KEY], now=clock.now())
    assert await open_next(store, found) == 2, "two keys of subjects; the message's was not there"
    async with store.reading() as work:
        assert await work.subject_keys([ANNA, BERT]) == {}
    clock.advance(seconds=2)
    await grow(store, clock, 9)
    assert [entry.key for entry in await log_of(store) if isinstance(entry, entries.Erased)] == [each.key for each in said]


def submitted(kid: str, state: KeyState, key: KeyEntry = VERIFY_ED) -> KeyRow:
    entry = replace(key, kid=KeyId(kid), owner=OWNER)
    return KeyRow(
        kid=entry.kid, partner=OWNER, jwk=spelled(entry), thumbprint=jwks.thumbprint(entry), state=state, signer=KeyId("s1"), digest="d" * 64,
        submitted_at=FakeClock().now(),
    )  # fmt: skip


def said(kid: str, state: str, key: KeyEntry = VERIFY_ED) -> entries.PartnerKey:
    return entries.PartnerKey(
        at=accepted(2).at, partner=OWNER, key=kid, use="request", state=state, thumbprint=jose.b64decode(jwks.thumbprint(key).encode()).hex(),
        signer="s1", digest="d" * 64,
    )  # fmt: skip


KEYS_SINCE = {  # as the backup has it, what was said since; as it stands then, whether its partner or an operator is asked
    "revoked": ("approved", ("revoked",), "revoked", False),
    "approved and revoked": ("pending", ("approved", "revoked"), "revoked", False),
    "refused": ("pending", ("refused",), "refused", False),
    "approved": ("pending", ("approved",), "pending", True),
    "submitted": (None, ("pending",), None, True),
    "submitted and revoked": (None, ("pending", "approved", "revoked"), None, True),
    "untouched": ("approved", (), "approved", False),
}


@pytest.mark.parametrize("case", KEYS_SINCE)
async def test_a_key_is_not_believed_that_was_not_believed_any_more(store, clock, case):
    before, steps, after, asked = KEYS_SINCE[case]
    await grow(store, clock, 1)
    if before is not None:
        async with store.unit_of_work() as work:
            await work.add_key(submitted("k1", KeyState(before)))
    found = await look(store, later(2, *(said("k1", step) for step in steps)), gateway=GATEWAY, keys=[KEY], now=clock.now())
    await open_next(store, found)
    async with store.reading() as work:
        row = await work.key(KeyId("k1"))
    assert (row and row.state.value) == after
    assert (row is not None and row.revoked_at is not None) == (after == "revoked")
    report = found.report(partners=[])
    mine = {"partner": OWNER, "kid": "k1", "state": steps[-1] if steps else None}
    assert report["ask"]["keys"] == ([mine] if asked else [])
    assert report["ended_again"] == ([mine] if after != before else [])
    clock.advance(seconds=2)
    await grow(store, clock, 9)
    log = await log_of(store)
    assert [entry.state for entry in log if isinstance(entry, entries.PartnerKey)] == ([after] if after != before else [])
    assert [entry.what for entry in log if isinstance(entry, entries.Config)] == (["key"] if case == "revoked" else [])


async def test_another_key_of_the_same_id_is_left_alone(store, clock):
    await grow(store, clock, 1)
    async with store.unit_of_work() as work:
        await work.add_key(submitted("k1", KeyState.APPROVED, VERIFY_EC))
    found = await look(store, later(2, said("k1", "revoked", VERIFY_ED)), gateway=GATEWAY, keys=[KEY], now=clock.now())
    await open_next(store, found)
    async with store.reading() as work:
        assert (await work.key(KeyId("k1"))).state is KeyState.APPROVED
    assert found.report(partners=[])["ask"]["keys"] == [{"partner": OWNER, "kid": "k1", "state": "revoked"}]


def command(number: int, name: str, partner: str) -> entries.Commanded:
    return entries.Commanded(
        at=accepted(2).at, operator="chief", key="chief-1", jti=uuid(number), command=name, digest="d" * 64, partner=partner
    )


async def test_a_partner_stopped_since_is_stopped_again_and_one_let_go_stays_as_it_was(store, clock):
    await grow(store, clock, 1)
    async with store.unit_of_work() as work:
        await work.set_standing(PartnerId("es-police"), Standing.PAUSED)
    since = [
        command(1, "partner-pause", "fr-police"),
        command(2, "partner-suspend", "fr-police"),
        command(3, "partner-pause", "ie-police"),
        command(4, "partner-suspend", "nl-border"),
        command(5, "partner-resume", "nl-border"),
        command(6, "partner-resume", "es-police"),
        command(7, "partner-check", "pt-police"),
    ]
    found = await look(store, later(2, *since), gateway=GATEWAY, keys=[KEY], now=clock.now())
    await open_next(store, found)
    async with store.reading() as work:
        assert await work.standings() == {"fr-police": Standing.SUSPENDED, "ie-police": Standing.PAUSED, "es-police": Standing.PAUSED}
    stopped = [{"partner": "fr-police", "standing": "suspended"}, {"partner": "ie-police", "standing": "paused"}]
    assert found.report(partners=[])["stopped_again"] == stopped


async def test_a_gateway_that_holds_the_sequencers_lease_is_left_alone(store, clock):
    await grow(store, clock, 1)
    found = await look(store, Outside(), gateway=GATEWAY, keys=[KEY], now=clock.now())
    async with store.unit_of_work() as work:
        await work.stage_evidence([accepted(2).encode()])
    await Sequencer(store, CheckpointSigner(GATEWAY, SIGNER.private), clock, holder="inner").run_once()
    with pytest.raises(RestoreError, match="stop it"):
        await open_next(store, found)
    assert len(await log_of(store)) == 3


SPOILT = {
    "an entry": ("UPDATE evidence_leaf SET entry = CAST(replace(entry, 'ie-register', 'fr-register') AS BLOB) WHERE idx = 1", "node 0/1"),
    "a node": ("UPDATE evidence_node SET hash = zeroblob(32) WHERE level = 1 AND idx = 0", "node 1/0"),
    "a root": ("UPDATE checkpoint SET root = zeroblob(32)", "checkpoint 3: its root"),
    "a signature": ("UPDATE checkpoint SET note = replace(note, '— gb-gateway ', '— gb-gateway A')", "checkpoint 3"),
    "a hole": ("DELETE FROM evidence_leaf WHERE idx = 1", "entry 1: is missing"),
    "the end": ("DELETE FROM evidence_leaf WHERE idx = 2", "newest checkpoint says 3"),
}


@pytest.mark.parametrize("case", SPOILT)
async def test_a_log_that_was_altered_is_found(store, clock, case, tmp_path):
    await grow(store, clock, 1, 2)
    await check_log(store, keys=[KEY])
    statement, why = SPOILT[case]
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as other:
        other.execute(statement)
        other.commit()
    with pytest.raises(EvidenceError, match=why):
        await check_log(store, keys=[KEY])


async def test_receipts_name_what_is_lost_and_one_with_other_content_stops_the_restore(store, clock):
    ref = Ref("ie-register", uuid(1))
    async with store.unit_of_work() as work:
        await work.claim([Signed(ref.iss, ref.jti, "d" * 64)], clock.now())
        await work.save_receipts({ref: b"receipt"})
    await grow(store, clock, 1)

    def outside(number: int, digest: str) -> Outside:
        return Outside(receipts=(("r:1", Receipt("ie-register", uuid(number), digest, bytes(32), None)),))

    assert (await look(store, outside(1, "d" * 64), gateway=GATEWAY, keys=[KEY], now=clock.now())).lost == ()
    assert (await look(store, outside(5, "d" * 64), gateway=GATEWAY, keys=[KEY], now=clock.now())).lost == (
        ("r:1", Ref("ie-register", uuid(5))),
    )
    with pytest.raises(EvidenceError, match="other content"):
        await look(store, outside(1, "e" * 64), gateway=GATEWAY, keys=[KEY], now=clock.now())
