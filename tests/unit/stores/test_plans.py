"""On SQLite each statement goes into the tables by the index that was made for it, and never through a whole table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, event
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.contract.values import Lane
from gateway.core.delivery import State
from gateway.stores import line_statements as line
from gateway.stores import log_statements as log
from gateway.stores import statements as s
from gateway.stores.sqlite import SqliteStore
from gateway.testing.store_rows import NOW

LINE, ID, PAIR = [["north", "anna"]], [["x"]], [["x", "y"]]
PARTNER: dict[str, Any] = {"of_partner": "north", "now": NOW}
CLAIM = PARTNER | {"until": NOW, "limit": 20}
PK = "pk"
KEYS: dict[str, Any] = {"states": ["pending"], "after": "", "limit": 9}
ATTEMPTS: dict[str, Any] = {"of_partner": "north", "since": NOW, "before": 5, "limit": 9}
PLANS = [
    (s.earlier(), {"lines": PAIR}, {"submission": {PK}}),
    (s.lock_subjects(), {"lines": ID}, {"subject": {PK}}),
    (s.subject_keys(), {"lines": ID}, {"subject_key": {PK}}),
    (s.subjects(), {"lines": ID}, {"subject": {PK}, "subject_key": {PK}}),
    (s.set_seq(), {"lines": [["x", 1]]}, {"subject": {PK}}),
    (s.answered(), {"lines": ID}, {"leg": {"uq_leg_jti"}, "message": {PK}}),
    (s.messages(), {"lines": PAIR}, {"message": {PK}, "message_key": {PK}}),
    (s.lift(), {"lines": [["north", "anna", 2]]}, {"leg": {"ix_leg_open", PK}}),
    (s.give_turns(), {"lines": LINE}, {"leg": {PK}, "first": {"ix_leg_open"}}),
    (s.previous_sent(), {"lines": LINE}, {"last": {"ix_leg_sent"}, "last_at": {"ix_leg_sent"}}),
    (s.undelivered_before(), {"lines": ID}, {"leg": {PK}, "aside": {"ix_leg_aside"}}),
    (s.due_partners(), {"now": NOW}, {"leg": {"ix_leg_due"}, "first": {"ix_leg_open"}}),
    (line.lock_senders(), {"lines": ID}, {"sender_line": {PK}}),
    (line.circuits(), {"lines": ID}, {"partner_line": {PK}}),
    (s.wake(), PARTNER | {"limit": 9}, {"leg": {"ix_leg_due", PK}}),
    (s.under_way(), PARTNER, {"leg": {"ix_leg_claimed"}}),
    (s.claim_legs(), CLAIM | {"of_lane": Lane.ROUTINE}, {"leg": {"ix_leg_due", PK}, "first": {"ix_leg_open"}}),
    (s.offered(), CLAIM, {"leg": {"ix_leg_offered", PK}}),
    (s.lock_as_claimed(), {"lines": [["x", 1, None]], "until": NOW}, {"leg": {PK}}),
    (s.legs(locked=True), {"lines": ID}, {"leg": {PK}}),
    (s.lines_of(), {"lines": ID}, {"leg": {PK}}),
    (s.legs_by_jti(), {"lines": ID} | PARTNER, {"leg": {"uq_leg_jti"}}),
    (s.legs_of(), {"iss": "x", "jti": "y"}, {"leg": {"ix_leg_message"}}),
    (s.legs_of_each(), {"lines": PAIR}, {"leg": {"ix_leg_message"}}),
    (s.heads(), {"lines": ID, "besides": "x"}, {"message": {"ix_message_subject"}}),
    (s.unclaim(), {"lines": PAIR}, {"submission": {PK}}),
    (s.refusals_of(), {"iss": "x", "jti": "y"}, {"refusal": {PK}}),
    (s.end_leases(), {"now": NOW}, {"leg": {"ix_leg_claimed"}}),
    (s.due_timers(), {"now": NOW, "limit": 9}, {"leg": {"ix_leg_sending", "ix_leg_expiring", "ix_leg_receipt_due", PK}}),
    (s.counts(), {}, {"leg": {"ix_leg_retained"}}),
    (s.due_watches(), {"of_kind": "x", "now": NOW, "limit": 9}, {"watch": {"ix_watch_due"}}),
    (s.lock_watch(), {"of_kind": "x", "of_iss": "x", "of_jti": "y"}, {"watch": {PK}}),
    (s.end_watch(), {"of_kind": "x", "of_iss": "x", "of_jti": "y"}, {"watch": {PK}}),
    (
        s.aside(State.HELD),
        {"of_partner": None, "of_hold_reason": None, "since": NOW, "after": "", "limit": 9},
        {"leg": {"ix_leg_set_aside"}},
    ),
    (s.aside_counts(), {}, {"leg": {"ix_leg_set_aside"}}),
    (s.forget_requests(), {"now": NOW}, {"request_id": {"ix_request_id_exp"}}),
    (line.attempts(failed=False), ATTEMPTS, {"attempt": {"ix_attempt_partner"}, "last": {PK}}),
    (line.attempts(failed=True), ATTEMPTS, {"attempt": {"ix_attempt_failed"}, "last": {PK}}),
    (line.forget_attempts(), {"before": NOW, "limit": 9}, {"attempt": {PK}, "oldest": {"nothing"}}),  # its first rows, by their ids
    (line.key(locked=True), {"of_kid": "x"}, {"partner_key": {PK}}),
    (line.keys(of_partner=True), KEYS | {"of_partner": "north"}, {"partner_key": {"ix_partner_key_partner"}}),
    (line.keys(of_partner=False), KEYS, {"partner_key": {PK}}),
    (log.unstage(), {"lines": [[1]]}, {"evidence_staged": {PK}}),
    (log.log_nodes(), {"lines": [[0, 1]]}, {"evidence_node": {PK}}),
    (log.leaf_index(), {"leaf_hash": b"h"}, {"evidence_leaf": {"ix_evidence_leaf_leaf_hash"}}),
    (log.leaves(), {"start": 5, "limit": 5}, {"evidence_leaf": {PK}}),
]
STEP = re.compile(r"(SCAN|SEARCH) (\w+)(?:.* (?:INDEX (\w+)|(INTEGER PRIMARY KEY)))?")


@pytest.fixture
async def explaining(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    """A connection that explains what it is asked to run."""
    store = SqliteStore(tmp_path / "gateway.db")
    await store.migrate()
    async with store.engines[0].connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *a: (f"EXPLAIN QUERY PLAN {a[2]}", a[3]), retval=True)
        yield connection
    await store.close()


@pytest.mark.parametrize(("statement", "values", "expected"), PLANS)
async def test_a_statement_uses_its_indexes(
    explaining: AsyncConnection, statement: Executable, values: dict[str, Any], expected: dict[str, set[str]]
) -> None:
    if "now" in values and "now" not in statement.compile().params:
        values = {name: value for name, value in values.items() if name != "now"}
    plan = [row[3] for row in (await explaining.execute(statement, values)).cursor.fetchall()]
    used: dict[str, set[str]] = {}
    for step in plan:
        found = STEP.match(step)
        if found and found[2] in expected:
            index = found[3] or found[4] or "nothing"
            used.setdefault(found[2], set()).add(PK if index.startswith(("sqlite_autoindex", "INTEGER")) else index)
    assert used == expected, plan
