"""R-REF-03. With all that is stored, logged, carried and told, and every key but the compartment's, nobody joins a referral with a register.

An attacker holds everything and two persons, each with a travel notice and a referral under the same reference, in the same conversation.
It collects what stands on each side, opens what its keys open, reckons what its keys reckon, and looks for a value that a person's notice
shares with that person's referral and not with the other's. The two are treated alike, so that such a value joins, whatever it is.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import io
import itertools
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from prometheus_client import generate_latest

from gateway.app import topics
from gateway.app.channels import Events
from gateway.app.intake import Outcome, Submission
from gateway.contract.errors import InvariantError
from gateway.contract.values import Family, PartnerId, Ref, Role, SubjectKey
from gateway.core import vault
from gateway.core.problems import RefusedInputError
from gateway.core.profiles import Profile, Receives
from gateway.core.tokens import EVENT, unwrap
from gateway.core.vault import Compartment
from gateway.ops.telemetry import Telemetry
from gateway.testing.clock import START
from gateway.testing.families import support_referral
from gateway.testing.messages import replaced
from tests.house import ACK, BASE, GATEWAY, REFERRALS, REGISTERS, SHIPPED, TRAVEL, Got, house
from tests.notices import also, answer_to, notice
from tests.promises.test_p10_personal_data_stays_in_payloads import SpyBus

REF: Final = Family("support-referral", "1.0")
REGISTER, POLICE, PROVIDER = PartnerId("gb-register"), PartnerId("fr-police"), PartnerId("fr-support")
PERSONS: Final = {"anna": "person-anna-1", "bert": "person-bert-2"}
TXN: Final = {name: f"01900000-0000-7000-8000-00000000000{n}" for n, name in enumerate(PERSONS)}
WORD: Final = re.compile(r"[A-Za-z0-9_-]{6,}")  # ids, digests, references, parts of tokens: what is shorter joins nothing
REFERENCE_CHARS_MAX: Final = 66  # a row key with its mark: what is longer is no reference, id or digest
EXAMPLES: Final = {
    sample.event["body"]["identity_mode"]: sample.event
    for sample in (support_referral.generate(Random(seed), START) for seed in range(60))
    if not sample.event["body"]["safeguarding_flag"] and sample.event["body"]["referred_role"] == "SUBJECT"
}


def profiles(*, also_sends: str = REF.name) -> dict[PartnerId, Profile]:
    provider = replace(
        SHIPPED[POLICE], id=PROVIDER, name=PROVIDER, kind="SUPPORT_SERVICE", sector="STATUTORY", sends=frozenset({REF.name}),
        receives=(Receives(REF.name, frozenset({Role.NAMED}), frozenset({"SUPPORT"})),),
    )  # fmt: skip
    register = replace(SHIPPED[REGISTER], sends=SHIPPED[REGISTER].sends | {REF.name})
    return also(provider, register, replace(SHIPPED[POLICE], sends=SHIPPED[POLICE].sends | {also_sends}))


def referral(mode: str, ref: str) -> dict[str, Any]:
    to = [{"partner": PROVIDER, "role": "NAMED"}]
    return replaced(replaced(EXAMPLES[mode], "/subject/ref", ref), "/routing/recipients", to)


def outcome(mode: str, ref: str, got: Got) -> dict[str, Any]:
    """What the provider has to say of a referral, in a referral of its own."""
    event = replaced(referral(mode, ref), "/routing/in_response_to", {"iss": GATEWAY, "jti": got.jti})
    event = replaced(event, "/routing/recipients", [{"partner": REGISTER, "role": "NAMED"}])
    event = replaced(replaced(event, "/subject/iss", REGISTER), "/handling/legal_basis/0/jurisdiction", "FR")
    return replaced(event, "/body/outcome", "ACCEPTED")


# --- what there is to look at


@dataclass(frozen=True)
class World:
    """All that an attacker finds, as records of named values; and whose message is whose, which it knows of its own two."""

    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    others: Mapping[str, Sequence[Any]]  # evidence, records of the bus, events, lines of the log, answers
    messages: Mapping[tuple[str, str], str]  # (person, family) → jti
    decrypts: Mapping[Any, Any]  # the gateway's own decryption keys

    @property
    def records(self) -> Iterator[Any]:
        yield from itertools.chain(*self.tables.values(), *self.others.values())


async def live(folder: Path, mode: str) -> World:
    """Do the same with two persons: a notice, a referral, answers of both recipients, and what the register hears of it."""
    bus, log = SpyBus(), io.StringIO()
    sent: dict[tuple[str, str], str] = {}
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(log))
        stack.enter_context(contextlib.redirect_stdout(log))
        h = await stack.enter_async_context(house(folder, profiles=profiles(), bus=bus))
        for name, ref in PERSONS.items():
            sent[name, "travel"] = await h.submit(notice("FR", subject=ref), txn=TXN[name])
        for name, ref in PERSONS.items():
            sent[name, "referral"] = await h.submit(referral(mode, ref), family=REF, txn=TXN[name])
        await h.run_until_idle()
        got_by = {got.event["subject"]["ref"]: got for got in h.partners[PROVIDER].received.values()}
        for name, ref in PERSONS.items():
            sent[name, "outcome"] = await h.submit(outcome(mode, ref, got_by[ref]), sender=PROVIDER, family=REF, txn=TXN[name])
        for who in (POLICE, PROVIDER):
            for got in [got for got in h.partners[who].received.values() if got.family != ACK.name]:
                await h.submit(answer_to(got), sender=who, family=ACK, txn=got.claims["txn"])
        await h.run_until_idle()
        await h.poll_all("gb-register")
        await h.run_until_idle()
        askers = {"travel": REGISTER, "referral": REGISTER, "outcome": PROVIDER}
        answers = [(await h.ask("status", f"/v1/messages/{jti}", who=askers[what])).body for (_, what), jti in sent.items()]
        events = Events(h.store, bus, h.clock, telemetry=Telemetry(h.metrics), source=BASE, holder="test")
        while await events.run_once():
            pass
        metrics = generate_latest(h.metrics.registry)
        async with h.store.reading() as work:
            evidence = [entry for _, entry in await work.leaves(0, 1000)]
        decrypts = h.keys[GATEWAY].decryption
    carried = [[r.topic, r.key, r.value, repr(sorted(r.headers.items()))] for r in bus.seen]
    others = {
        "evidence": evidence, "bus": [r for r in carried if r[0] != topics.EVENTS], "events": [r for r in carried if r[0] == topics.EVENTS],
        "log": log.getvalue().splitlines(), "answers": answers, "metrics": metrics.splitlines(),
    }  # fmt: skip
    return World(tables_of(folder), others, sent, decrypts)


def tables_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read every column of every table there is."""
    with contextlib.closing(sqlite3.connect(folder / "gateway.db")) as db:
        db.row_factory = sqlite3.Row
        names = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in db.execute(f'SELECT * FROM "{name}"')] for name in names}  # noqa: S608 -- names of tables


def words(value: Any) -> set[str]:
    """Return every value in a record that could be joined: words of texts, leaves of JSON, parts of tokens, bytes as hex."""
    if isinstance(value, Mapping):
        return set().union(*map(words, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(words, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return {str(value)} if value > 10**6 else set()
    if isinstance(value, bytes):
        found = {value.hex()}
        with contextlib.suppress(UnicodeDecodeError):
            found |= words(value.decode())
        return found
    return set().union(*map(_unfolded, WORD.findall(value))) if isinstance(value, str) else set()


def _unfolded(word: str) -> set[str]:
    """Return a word, and what it says where it is base64url of a text."""
    with contextlib.suppress(binascii.Error, UnicodeDecodeError, ValueError):
        text = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()
        if text.isprintable() and len(text) > len(word) // 2:
            return {word} | words(text)
    return {word}


# --- what can be made of it


@dataclass
class Attacker:
    """Everything in a world, and the keys of some compartments."""

    world: World
    keys: Sequence[Compartment]
    opened: dict[str, bytes] = field(default_factory=dict)  # jti → key of the message, where it opens
    values: list[set[str]] = field(default_factory=list)  # of each record

    def __post_init__(self) -> None:
        self.values = [words(record) for record in self.world.records]
        keks = [kek for compartment in self.keys for kek in compartment.keks.values()]
        subjects = list(self._unwrapped(keks, "subject_key"))
        for row in self.world.tables["message_key"]:
            for key in subjects:
                with contextlib.suppress(InvariantError):
                    self.opened[row["jti"]] = vault.unwrap(key, row["wrapped"])

    def _unwrapped(self, keks: Iterable[bytes], table: str) -> Iterator[bytes]:
        for row, kek in itertools.product(self.world.tables[table], keks):
            with contextlib.suppress(InvariantError):
                yield vault.unwrap(kek, row["wrapped"])

    def side(self, person: str, what: str) -> set[str]:
        """Return every value that stands with a message, in clear or opened, and what the index keys make of them."""
        start = self.world.messages[person, what]
        (subject,) = [row["subject"] for row in self.world.tables["message"] if row["jti"] == start]
        anchors = {subject, start}
        anchors |= {row["jti"] for row in self.world.tables["message"] if row["subject"] == subject}
        for row in self.world.tables["leg"]:
            anchors |= {row["jti"], row["leg_id"]} if row["subject"] == subject else set()
        found: set[str] = set()
        for values in self.values:
            if not anchors.isdisjoint(values):
                found |= values
        for opened in self._contents(anchors):
            found |= words(opened)
        return found | self._reckoned(found)

    def _contents(self, jtis: set[str]) -> Iterator[bytes]:
        """Open payloads, facts and signed documents."""
        places = [
            (row["iss"], row["jti"], column, column, row[column]) for row in self.world.tables["message"] for column in ("payload", "facts")
        ]
        places += [(r["message_iss"], r["message_jti"], r["jti"], "signed", r["signed"]) for r in self.world.tables["leg"] if r["signed"]]
        for iss, jti, what, _, sealed in places:
            if jti in jtis and jti in self.opened:
                plain = vault.open_sealed(self.opened[jti], sealed, aad=f"{what}\x00{iss}\x00{jti}".encode())
                yield from plain.split(b".")
        for blob in self._blobs():
            with contextlib.suppress(RefusedInputError, UnicodeDecodeError):
                yield unwrap(blob, self.world.decrypts, typ=EVENT, encrypted="required").raw

    def _blobs(self) -> Iterator[bytes]:
        for record in self.world.records:
            for value in record.values() if isinstance(record, Mapping) else record if isinstance(record, list) else [record]:
                if isinstance(value, bytes | str):
                    yield value.encode() if isinstance(value, str) else value

    def _reckoned(self, found: set[str]) -> set[str]:
        """Reckon every row key, record key, conversation and digest of each reference and id that was found."""
        made: set[str] = set()
        refs = {word for word in found if len(word) <= REFERENCE_CHARS_MAX}
        partners = sorted(profiles())
        for compartment, ref in itertools.product(self.keys, refs):
            index = compartment.index_key
            rows = {vault.subject_key_of(index, REGISTER, REGISTER, ref)}
            rows |= {f"r-{row}" for row in rows} | {row for row in (ref,) if row.startswith("r-")}
            made |= rows | {vault.conversation_key_of(index, ref), vault.subject_key_of(index, GATEWAY, REGISTER, ref)}
            made |= {vault.record_key_of(index, partner, SubjectKey(row)).hex() for partner in partners for row in rows}
        return made | {hashlib.sha256(ref.encode()).hexdigest() for ref in refs}

    def joined(self, notice_of: str, referral_of: str) -> set[str]:
        """Return what a person's notice shares with a referral, and not with the other one."""
        (other,) = set(PERSONS) - {referral_of}
        return (self.side(notice_of, "travel") & self.side(referral_of, "referral")) - self.side(other, "referral")


@pytest.fixture(scope="module", params=["PSEUDONYM", "IDENTIFIED"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return asyncio.run(live(tmp_path_factory.mktemp("apart"), request.param))


PAIRS: Final = list(itertools.product(PERSONS, repeat=2))


def test_no_key_of_the_main_compartment_joins_a_referral_with_a_register(world: World) -> None:
    attacker = Attacker(world, [REGISTERS])
    assert world.messages["anna", "travel"] in attacker.opened
    assert world.messages["anna", "referral"] not in attacker.opened
    assert {pair: attacker.joined(*pair) for pair in PAIRS} == {pair: set() for pair in PAIRS}


def test_the_keys_of_the_compartment_join_them(world: World) -> None:
    attacker = Attacker(world, [REGISTERS, REFERRALS])
    assert world.messages["anna", "referral"] in attacker.opened
    for name, ref in PERSONS.items():
        found = attacker.joined(name, name)
        assert {ref, TXN[name], "r-" + vault.subject_key_of(REFERRALS.index_key, REGISTER, REGISTER, ref)} <= found
    assert {pair: attacker.joined(*pair) for pair in PAIRS if pair[0] != pair[1]} == {pair: set() for pair in PAIRS if pair[0] != pair[1]}


def test_the_index_key_of_the_compartment_alone_joins_them(world: World) -> None:
    """So it is the index key that parts them, and not the encryption alone."""
    attacker = Attacker(world, [REGISTERS, replace(REFERRALS, keks={})])
    assert world.messages["anna", "referral"] not in attacker.opened
    for name in PERSONS:
        assert attacker.joined(name, name)


def _column(world: World, table: str, change: Callable[[Mapping[str, Any], str], Mapping[str, Any]]) -> World:
    """Return a world in which rows of the first person's referral say something else."""
    jti = world.messages["anna", "referral"]
    changed = [change(row, jti) for row in world.tables[table]]
    return replace(world, tables={**world.tables, table: changed})


@pytest.mark.parametrize(
    ("table", "column", "said"),
    [
        pytest.param("message", "txn", TXN["anna"], id="the-conversation-in-clear"),
        pytest.param("message", "txn", vault.conversation_key_of(REGISTERS.index_key, TXN["anna"]), id="under-the-other-index-key"),
        pytest.param("message", "channel", PERSONS["anna"], id="the-reference-in-a-column"),
        pytest.param("message", "decision", json.dumps({"x": hashlib.sha256(PERSONS["anna"].encode()).hexdigest()}), id="a-plain-digest"),
        pytest.param("submission", "receipt", b"a." + base64.urlsafe_b64encode(b'{"ref":"person-anna-1"}') + b".c", id="inside-a-receipt"),
        pytest.param(
            "message", "facts", vault.record_key_of(
                REGISTERS.index_key, PROVIDER, SubjectKey(vault.subject_key_of(REGISTERS.index_key, REGISTER, REGISTER, PERSONS["anna"]))
            ), id="a-record-key",
        ),
    ],
)  # fmt: skip
def test_the_attacker_finds_what_is_there_to_be_found(world: World, table: str, column: str, said: object) -> None:
    """The attempt above is worth as much as this one."""
    if column == "facts":
        world = replace(world, others={**world.others, "found": [[world.messages["anna", "referral"], said]]})
    else:
        world = _column(world, table, lambda row, jti: {**row, column: said} if row["jti"] == jti else row)
    attacker = Attacker(world, [REGISTERS])
    assert attacker.joined("anna", "anna")
    assert not attacker.joined("bert", "bert")


def test_replies_count_to_the_subject_of_the_referral(world: World) -> None:
    subjects = {row["jti"]: row["subject"] for row in world.tables["message"]}
    assert subjects[world.messages["anna", "outcome"]] == subjects[world.messages["anna", "referral"]]
    families = Counter(row["family"] for row in world.tables["message"] if row["subject"].startswith("r-"))
    assert families == {"support-referral": 4, "acknowledgement": 6}  # the provider's, and the gateway's: delivered, receipted
    assert {(row["partner"], row["reason"]) for row in world.tables["refusal"]} == {(REGISTER, "POLICY")}  # R-REF-02, for an outcome too


def test_everything_was_looked_at(world: World) -> None:
    """Each side has rows, evidence, events, records of the bus, log lines and an answer, and all columns were read."""
    attacker = Attacker(world, [REGISTERS])
    for what in ("travel", "referral"):
        jti = world.messages["anna", what]
        legs = [row for row in world.tables["leg"] if row["message_jti"] == jti]
        assert [leg["state"] for leg in legs] == ["receipted"]
        named = {jti, legs[0]["leg_id"], legs[0]["jti"]}
        places = {**world.tables, **world.others}
        seen = {place for place, records in places.items() for record in records if not named.isdisjoint(words(record))}
        assert seen >= {"submission", "message", "message_key", "leg", "evidence_leaf", "evidence", "bus", "events", "log", "answers"}
        assert named <= attacker.side("anna", what)
    assert {row["epoch"] for row in world.tables["subject_key"]} == {*REGISTERS.keks, *REFERRALS.keks}
    assert len({row["subject"] for row in world.tables["message"]}) == 4


# --- what a sender would join itself


REFUSED: Final = [("R-REF-03", "txn")]


def faults(outcome: Outcome) -> list[tuple[str | None, str | None]]:
    return [(problem.rule, problem.claim) for problem in outcome.problems if problem.is_error]


@pytest.mark.parametrize("sender", [REGISTER, POLICE])
async def test_no_registers_message_takes_up_a_conversation_named_after_a_referral(tmp_path: Path, sender: PartnerId) -> None:
    """The referral's own id is in clear: as the txn of a register's message it would join the two, whoever says it."""
    async with house(tmp_path, profiles=profiles(also_sends=TRAVEL.name)) as h:
        named = await h.submit(referral("PSEUDONYM", PERSONS["anna"]), family=REF)
        assert faults(await h.send(notice("ES", subject=PERSONS["anna"]), sender=sender, txn=named)) == REFUSED
        assert (await h.send(notice("ES", subject=PERSONS["anna"]), sender=sender)).receipt is not None
        assert (await h.send(referral("PSEUDONYM", PERSONS["anna"]), family=REF, txn=named)).receipt is not None
        await h.run_until_idle()
        (got, *_) = h.partners[PROVIDER].received.values()
        assert (await h.send(answer_to(got), sender=PROVIDER, family=ACK, txn=got.claims["txn"])).receipt is not None


async def test_nor_one_that_comes_in_the_same_batch(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        named = h.dice.uuid7(h.clock.now())
        tokens = [
            h.token(referral("PSEUDONYM", PERSONS["anna"]), family=REF, jti=named, txn=named),
            h.token(notice("FR", subject=PERSONS["anna"]), txn=named),
            h.token(notice("FR", subject=PERSONS["bert"])),
        ]
        first, second, third = await h.intake.accept([Submission(token, REGISTER) for token in tokens])
        assert faults(second) == REFUSED
        assert first.receipt is not None
        assert third.receipt is not None


async def test_a_referral_may_take_up_the_conversation_of_a_notice(tmp_path: Path) -> None:
    """There the row of the referral says an HMAC."""
    async with house(tmp_path, profiles=profiles()) as h:
        named = await h.submit(notice("FR", subject=PERSONS["anna"]))
        jti = await h.submit(referral("PSEUDONYM", PERSONS["anna"]), family=REF, txn=named)
        async with h.store.reading() as work:
            (row,) = (await work.messages([Ref(REGISTER, jti)])).values()
        assert row.txn == vault.conversation_key_of(REFERRALS.index_key, named)
