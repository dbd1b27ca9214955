"""P10. Personal data is only ever in payloads: not in logs, metrics, topics, record keys, evidence, problems or the database in clear."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import generate_latest

from gateway.app.ports import Outgoing
from gateway.buses.memory import MemoryBus
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from tests.house import ACK, House, house
from tests.notices import answer_to, notice

CANARY: Final = b"canary"
FR = PartnerId("fr-police")
PERSONAL: Final[dict[str, Any]] = {  # a canary in every kind of field that speaks of a person
    "subject__ref": "canary-ref-0001",
    "routing__contact": {"unit": "Canary Desk", "name": "Canary Officer", "phone": "+442079460000", "email": "canary@register.example"},
    "routing__case_reference": "CANARY-CASE-1",
    "handling__legal_basis": [{"jurisdiction": "GB", "code": "TRAVEL_NOTICE", "citation": "Canary Act, section 1"}],
    "body__person__names": [{"kind": "LEGAL", "family": "CANARY", "given": "CANARYGIVEN"}],
    "body__person__identifiers": [{"scheme": "VISOR", "value": "CANARY-0001", "country": "GB"}],
    "body__person__identity_documents": [{"type": "PASSPORT", "number": "CANARY001", "issuer": "GB"}],
    "body__accommodation__first_night__lines": ["Canary Hotel", "1 Canary Street"],
    "body__narratives": [{"kind": "OTHER", "language": "en", "text": "A canary sings"}],
}
WRONG: Final[dict[str, Any]] = {  # and where a fault is found
    "handling__purpose": "CANARY_PURPOSE",
    "body__person__birth": {"date": "canary-1970"},
    "body__canary": "canary",
    "routing__priority": "Canary",
}


class SpyBus(MemoryBus):
    """A bus that remembers all it carried."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.seen += records
        await super().publish(records)


def reveals(raw: bytes) -> bool:
    """Say whether bytes show a canary, in clear or as base64 of any kind (the parts of a token are base64url)."""
    if CANARY in raw.lower():
        return True
    runs = re.findall(rb"[A-Za-z0-9_+/-]{16,}", raw)
    return any(CANARY in base64.urlsafe_b64decode(_padded(run)).lower() for run in runs)


def _padded(run: bytes) -> bytes:
    run = run.replace(b"+", b"-").replace(b"/", b"_")
    return run[: len(run) // 4 * 4]


def test_p10_the_look_for_canaries_finds_them() -> None:
    assert reveals(b"a CaNaRy")
    assert reveals(b'x"' + base64.urlsafe_b64encode(b'{"name":"CANARY TEST"}').rstrip(b"=") + b'"')
    assert not reveals(base64.urlsafe_b64encode(b'{"name":"SOMEBODY ELSE"}'))


async def everything(h: House) -> list[bytes]:
    """Do all that can be done with a message; return what peers were told outside of payloads."""
    said: list[bytes] = []
    partner = h.partners[FR]
    partner.answers = [DeliveryError("timeout"), Reply(Outcome.FAILED, "A canary sings"), Reply(Outcome.DELIVERED)]
    jti = h.dice.uuid7(h.clock.now())
    outcomes = [await h.send(notice("FR", "NL", "TH", **PERSONAL), jti=jti)]
    outcomes += [await h.send(notice("FR", **{**PERSONAL, **WRONG}))]
    outcomes += [await h.send(notice("NL", **PERSONAL), jti=jti)]  # a conflict
    outcomes += [await h.send(notice("NL", **{**PERSONAL, "subject__is_minor": "YES", "subject__ref": "canary-2"}))]
    outcomes += [await h.send(notice("NL", **PERSONAL), txn="canary-txn", aud="canary-aud")]
    outcomes += [await h.send_token(raw) for raw in (b"canary", b'{"canary": 1}', h.token(notice(**PERSONAL), plain=True))]
    said += [(outcome.receipt or b"") + (outcome.rejection or b"") + repr(outcome.problems).encode() for outcome in outcomes]
    for _ in range(4):
        await h.run_until_idle()
        h.clock.advance(seconds=600)
    taken = await h.poll("nl-border")
    await h.poll("nl-border", errors=dict.fromkeys(taken, "canary_err"))
    answer = answer_to(next(iter(partner.received.values())), stage="REFUSED", reason="OTHER", text="The canary is not known here")
    assert (await h.send(answer, sender=FR, family=ACK)).receipt is not None
    for path in (f"/v1/messages/{jti}", "/v1/messages/canary"):
        said.append((await h.ask("status", path)).body)
    await h.run_until_idle()
    await h.poll_all("gb-register")
    await h.run_until_idle()
    return said


async def test_p10_no_personal_data_outside_of_payloads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bus = SpyBus()
    async with house(tmp_path, bus=bus) as h:
        said = await everything(h)
        async with h.store.reading() as work:
            evidence = [entry for _, entry in await work.leaves(0, 1000)]
        metrics = generate_latest(h.metrics.registry)
        files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    captured = capsys.readouterr()
    assert len(evidence) > 10
    assert len(bus.seen) > 3
    assert "leg-delivered" in captured.out + captured.err
    places = {
        "log": [captured.out.encode(), captured.err.encode()], "metrics": [metrics], "evidence": evidence, "answers": said,
        "database": files, "bus": list(parts(bus.seen)),
    }  # fmt: skip
    assert [name for name, blobs in places.items() if any(map(reveals, blobs))] == []


def parts(records: Iterable[Outgoing]) -> Iterable[bytes]:
    for record in records:
        yield record.topic.encode()
        yield record.key
        yield record.value
        yield repr(sorted(record.headers.items())).encode()


async def test_p10_record_keys_do_not_link_a_person_over_countries(tmp_path: Path) -> None:
    bus = SpyBus()
    async with house(tmp_path, bus=bus) as h:
        for _ in range(2):
            await h.submit(notice("FR", "ES", **PERSONAL))
            await h.run_until_idle()
    keys = [record.key for record in bus.seen if record.topic.startswith("gw.deliveries.")]
    assert (len(keys), len(set(keys))) == (4, 2)  # one for each partner, the same each time
