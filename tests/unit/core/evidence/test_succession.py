"""A log after a restore names the newest head that was found outside; what does not fit together is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.evidence import entries
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.ledger import Ledger, OpenLeg, Since
from gateway.core.evidence.merkle import Edge, append, leaf_hash
from gateway.core.evidence.succession import (
    Kept,
    Outside,
    follow,
    number_of,
    origin_of,
    read_events,
    read_head,
    read_kept,
    source_of,
    succeed,
)
from tests.vectors.evidence import KEYS, SIGNER, START, accepted, log, note, uuid

GATEWAY = "gb-gateway"
HERE = replace(SIGNER, origin=GATEWAY)
KEY = [CheckpointKey(GATEWAY, SIGNER.key.public)]
ENTRIES = log(20, origin=GATEWAY)
AT = entries.moment(START)


def edge_of(size: int) -> Edge:
    return append(Edge(), map(leaf_hash, ENTRIES[:size]))[0]


def kept(size: int, *sizes: int, origin: str = GATEWAY) -> Kept:
    return Kept(origin, edge_of(size), {each: edge_of(each).root for each in sizes})


def head(size: int, number: int = 1):
    signer = replace(SIGNER, origin=origin_of(GATEWAY, number))
    return f"note {number}/{size}", read_head(note(ENTRIES[:size], signer), KEY, gateway=GATEWAY)


def events(*places: int, entry: Callable[[int], bytes] = ENTRIES.__getitem__, source: str = "https://gateway.example") -> list[bytes]:
    return [
        json.dumps({"source": source, "sequence": str(at), "id": str(at)})[:-1].encode() + b', "data": ' + entry(at) + b"}" for at in places
    ]


def dumped(*places: int) -> Outside:
    return read_events("events", events(*places), origin=GATEWAY)


@pytest.mark.parametrize("number", [1, 2, 17])
def test_logs_of_one_gateway_are_numbered_by_their_names(number):
    assert number_of(origin_of(GATEWAY, number), GATEWAY) == number
    assert source_of("https://g", origin_of(GATEWAY, number)) == ("https://g" if number == 1 else f"https://g/logs/{number}")


@pytest.mark.parametrize(
    "origin", ["other", "gb-gateway/1", "gb-gateway/0", "gb-gateway/02", "gb-gateway/2/3", "gb-gateway/", "gb-gatewa", "/2"]
)
def test_what_is_no_log_of_ours_has_no_number(origin):
    with pytest.raises(EvidenceError):
        number_of(origin, GATEWAY)


def test_the_newest_head_found_outside_is_named_and_what_is_missing_counted():
    found = succeed(kept(8, 5), Outside(heads=(head(5), head(12), head(10))), gateway=GATEWAY)
    assert (found.previous.origin, found.previous.size, found.previous.root) == (GATEWAY, 12, edge_of(12).root.hex())
    assert (found.missing_count, found.next_origin, found.found_in, found.recovered) == (4, f"{GATEWAY}/2", "note 1/12", ())


def test_a_backup_newer_than_all_that_was_found_is_followed_itself():
    found = succeed(kept(8, 5), Outside(heads=(head(5),)), gateway=GATEWAY)
    assert (found.previous.size, found.missing_count, found.found_in) == (8, 0, "the backup itself")


def test_a_head_of_a_later_log_wins_over_any_size_of_an_earlier_one():
    found = succeed(kept(8), Outside(heads=(head(15), head(3, number=2))), gateway=GATEWAY)
    assert (found.previous.origin, found.missing_count, found.next_origin) == (f"{GATEWAY}/2", 3, f"{GATEWAY}/3")


def test_events_tell_the_missing_entries_and_the_head_over_them():
    found = succeed(kept(8), dumped(*range(3, 13)), gateway=GATEWAY)
    assert (found.previous.size, found.previous.root, found.missing_count) == (13, edge_of(13).root.hex(), 5)
    assert list(found.recovered) == ENTRIES[8:13]


def test_a_signed_head_is_the_guard_of_events_below_it():
    succeed(kept(8), Outside(heads=(head(10),), events=dumped(*range(6, 13)).events), gateway=GATEWAY)
    other = read_events("events", events(*range(8, 13), entry=lambda at: accepted(at + 50).encode()), origin=GATEWAY)
    with pytest.raises(EvidenceError, match="note 1/10"):
        succeed(kept(8), Outside(heads=(head(10),), events=other.events), gateway=GATEWAY)


def test_a_backup_that_others_saw_otherwise_is_refused():
    wrong = Kept(GATEWAY, edge_of(8), {5: bytes(32)})
    with pytest.raises(EvidenceError, match="first 5 entries are others"):
        succeed(wrong, Outside(heads=(head(5),)), gateway=GATEWAY)


def test_two_signed_heads_at_one_size_are_a_fork():
    forked = read_head(note([*ENTRIES[:11], accepted(99).encode()], HERE), KEY, gateway=GATEWAY)
    with pytest.raises(EvidenceError, match="fork"):
        succeed(kept(8), Outside(heads=(head(12), ("another", forked))), gateway=GATEWAY)


def test_events_that_begin_after_the_backup_are_refused():
    with pytest.raises(EvidenceError, match="begins with entry 10"):
        succeed(kept(8), dumped(*range(10, 13)), gateway=GATEWAY)


def test_a_dump_may_be_in_any_order_with_repeats_and_with_another_log_in_it():
    lines = [*events(4, 3, 5, 4), *events(0, 1, source="https://gateway.example/logs/2")]
    assert [place for place, _ in read_events("events", lines, origin=GATEWAY).events] == [3, 4, 5]
    assert [place for place, _ in read_events("events", lines, origin=f"{GATEWAY}/2").events] == [0, 1]


BAD_DUMPS = {
    "a gap": (events(1, 3), "entry 2 is missing"),
    "nothing": ([], "holds no event"),
    "no event": ([b"hello"], "1: is no event"),
    "no sequence": ([b'{"source":"s","sequence":"-1","data":{}}'], "no sequence"),
    "no entry": ([b'{"source":"s","sequence":"1","data":{"kind":"joke"}}'], "known kind"),
    "two at one place": ([*events(1), *events(1, entry=lambda at: accepted(77).encode())], "two entries"),
}


@pytest.mark.parametrize("case", BAD_DUMPS)
def test_a_dump_that_is_none_is_refused(case):
    lines, why = BAD_DUMPS[case]
    with pytest.raises(EvidenceError, match=why):
        read_events("events", lines, origin=GATEWAY)


def test_a_kept_note_is_read_under_the_name_of_its_log():
    for number in (1, 2):
        signer = replace(SIGNER, origin=origin_of(GATEWAY, number))
        ((_, seen),) = read_kept("kept", note(ENTRIES[:4], signer), keys=KEY, receipt_keys=KEYS.receipts, gateway=GATEWAY).heads
        assert (seen.origin, seen.size) == (signer.origin, 4)


@pytest.mark.parametrize(
    "text", ["e30.e30.e30\ne30.e30.e30", note(ENTRIES[:4], replace(SIGNER, origin="other")), note(ENTRIES[:4], HERE) + "x"]
)
def test_what_somebody_kept_is_refused_unless_our_keys_signed_it(text):
    with pytest.raises(EvidenceError):
        read_kept("kept", text, keys=KEY, receipt_keys=KEYS.receipts, gateway=GATEWAY)


# --- seen from outside ------------------------------------------------------------------------------------------------


def opened(size: int, root: str | None = None, origin: str = GATEWAY) -> entries.LogOpened:
    previous = entries.PreviousLog(origin=origin, size=size, root=root or edge_of(size).root.hex())
    return entries.LogOpened(at=AT, origin=f"{GATEWAY}/2", previous=previous)


@pytest.mark.parametrize(("size", "more"), [(12, 0), (15, 3)])
def test_a_new_log_follows_a_head_that_is_not_beyond_the_one_it_names(size, more):
    assert follow(opened(size), head(12)[1]) == more


UNFOLLOWED = {
    "it names no log": entries.LogOpened(at=AT, origin=f"{GATEWAY}/2"),
    "it leaves entries out": opened(11),
    "it names another root": opened(12, root="ab" * 32),
    "it names another log": opened(12, origin="other"),
    "it is no opening": accepted(1),
}


@pytest.mark.parametrize("case", UNFOLLOWED)
def test_a_new_log_that_does_not_follow_what_is_known_is_broken(case):
    with pytest.raises(EvidenceError):
        follow(UNFOLLOWED[case], head(12)[1])


# --- the ledger -------------------------------------------------------------------------------------------------------


def moved(number: int, state: str) -> entries.LegMoved:
    return entries.LegMoved(at=AT, leg_id=uuid(1000 + number), jti=uuid(2000 + number), partner="fr-police", state=state)


def test_a_ledger_knows_what_was_under_way_and_who_had_sent():
    ledger = Ledger()
    for entry in (accepted(1), accepted(2), accepted(3), moved(1, "delivered"), moved(2, "dead"), moved(3, "sending")):
        ledger.take(entry)
    assert ledger.legs == {
        uuid(1002): OpenLeg(uuid(1002), uuid(2002), "fr-police", "dead"),
        uuid(1003): OpenLeg(uuid(1003), uuid(2003), "fr-police", "sending"),
    }
    assert ledger.senders == {"ie-register": accepted(3).at}
    assert ledger.last_at == accepted(3).at


def test_messages_of_the_gateway_itself_need_nobody_to_repeat_them():
    ledger, since = Ledger(), Since()
    own = entries.Accepted(at=AT, iss=GATEWAY, jti=uuid(1), family="acknowledgement", family_version="1.0")
    ledger.take(own)
    since.take(own)
    assert (ledger.senders, since.accepted) == ({}, [])
