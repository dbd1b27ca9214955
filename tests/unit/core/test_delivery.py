"""The state table of a leg: every (state, event) pair, and a machine that walks it."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import data, integers, sampled_from

from gateway.contract.errors import InvariantError
from gateway.contract.values import LegId
from gateway.core.delivery import DONE, ENDED, OPEN, TRANSITIONS, Event, State, advance, after_report

LEG: Final = LegId("019a9d2e-5c00-7000-8000-000000000001")

# Written out by hand and not derived: what is not named here must be refused.
TABLE: Final = {
    State.PLANNED: {
        Event.TURN_CAME: State.READY, Event.HELD: State.HELD, Event.REFUSED: State.REFUSED, Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.EXPIRED, Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED,
    },
    State.HELD: {
        Event.RELEASED: State.PLANNED, Event.HELD: State.HELD, Event.REFUSED: State.REFUSED, Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.EXPIRED, Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED,
    },
    State.READY: {
        Event.PUBLISHED: State.SENDING, Event.OFFERED: State.AVAILABLE, Event.GAVE_UP: State.DEAD, Event.HELD: State.HELD,
        Event.REFUSED: State.REFUSED, Event.CANCELLED: State.CANCELLED, Event.EXPIRED: State.EXPIRED, Event.DELIVERED: State.DELIVERED,
        Event.RECEIPTED: State.RECEIPTED, Event.NOT_SEALED: State.READY,
    },
    State.SENDING: {
        Event.FAILED: State.READY, Event.LEASE_ENDED: State.READY, Event.GAVE_UP: State.DEAD, Event.DELIVERED: State.DELIVERED,
        Event.RECEIPTED: State.RECEIPTED,
    },
    State.AVAILABLE: {
        Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED, Event.HELD: State.HELD, Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.EXPIRED, Event.GAVE_UP: State.DEAD,
    },
    State.DELIVERED: {
        Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED, Event.GAVE_UP: State.DEAD, Event.REDELIVERED: State.PLANNED,
    },
    State.RECEIPTED: {Event.DELIVERED: State.RECEIPTED, Event.RECEIPTED: State.RECEIPTED, Event.REDELIVERED: State.PLANNED},
    State.REFUSED: {},
    State.CANCELLED: {Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED},
    State.EXPIRED: {Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED},
    State.DEAD: {
        Event.RETRIED: State.PLANNED, Event.DELIVERED: State.DELIVERED, Event.RECEIPTED: State.RECEIPTED, Event.CANCELLED: State.CANCELLED,
        Event.EXPIRED: State.EXPIRED,
    },
}  # fmt: skip
PAIRS: Final = [(state, event) for state in State for event in Event]


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(TRANSITIONS) == set(State) == set(TABLE)


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda x: x.value)
def test_every_pair_leads_where_the_plan_says_or_is_refused(state: State, event: Event) -> None:
    expected = TABLE[state].get(event)
    if expected is None:
        with pytest.raises(InvariantError):
            advance(LEG, state, event, attempt=0)
    else:
        assert advance(LEG, state, event, attempt=0) is expected


@pytest.mark.parametrize("state", [State.PLANNED, State.HELD, State.READY])
def test_what_may_have_been_sent_is_no_longer_refused(state: State) -> None:
    with pytest.raises(InvariantError):
        advance(LEG, state, Event.REFUSED, attempt=1)


@pytest.mark.parametrize(("event", "after"), DONE.items(), ids=lambda x: x.value)
@pytest.mark.parametrize("state", [state for state in State if DONE.keys() <= TABLE[state].keys() and state is not State.RECEIPTED])
def test_a_late_success_of_any_attempt_counts(state: State, event: Event, after: State) -> None:
    assert after_report(LEG, state, event, attempt=3, reported=1) is after


@pytest.mark.parametrize("event", [Event.FAILED, Event.GAVE_UP, Event.LEASE_ENDED])
@pytest.mark.parametrize("state", list(State), ids=lambda x: x.value)
def test_a_late_failure_does_not_count(state: State, event: Event) -> None:
    assert after_report(LEG, state, event, attempt=3, reported=2) is state


@pytest.mark.parametrize("state", [state for state in State if state is not State.SENDING], ids=lambda x: x.value)
def test_a_failure_of_the_last_attempt_counts_only_while_it_is_sending(state: State) -> None:
    assert after_report(LEG, state, Event.FAILED, attempt=3, reported=3) is state


def test_a_failure_of_the_attempt_under_way_makes_it_ready_again() -> None:
    assert after_report(LEG, State.SENDING, Event.FAILED, attempt=3, reported=3) is State.READY


@pytest.mark.parametrize(("attempt", "reported"), [(0, 0), (0, 1), (2, 3), (2, 0), (2, -1)])
@pytest.mark.parametrize("event", [Event.DELIVERED, Event.FAILED], ids=lambda x: x.value)
def test_a_report_of_an_attempt_that_was_never_published_is_refused(event: Event, attempt: int, reported: int) -> None:
    with pytest.raises(InvariantError):
        after_report(LEG, State.SENDING, event, attempt=attempt, reported=reported)


def test_a_success_does_not_bring_a_refused_leg_back() -> None:
    with pytest.raises(InvariantError):
        after_report(LEG, State.REFUSED, Event.DELIVERED, attempt=1, reported=1)


def test_open_ended_and_held_are_all_states_and_do_not_overlap() -> None:
    assert set(State) == OPEN | ENDED | {State.HELD}
    assert not OPEN & ENDED
    assert State.HELD not in OPEN | ENDED


class LegMachine(RuleBasedStateMachine):
    """Walks the table with reports of old and new attempts, true and late."""

    @initialize(held=sampled_from([State.PLANNED, State.HELD]))
    def planned(self, held: State) -> None:
        self.state, self.attempt, self.receipted, self.done = held, 0, False, False

    @rule(choice=data())
    def happens(self, choice) -> None:
        event = choice.draw(sampled_from(sorted(TABLE[self.state]) or [Event.HELD]))
        before = self.state
        try:
            self.state = advance(LEG, self.state, event, attempt=self.attempt)
        except InvariantError:
            assert event not in TABLE[before] or (event is Event.REFUSED and self.attempt)
            return
        self.attempt += event in {Event.PUBLISHED, Event.OFFERED}
        self.done = self.done and event not in {Event.RETRIED, Event.REDELIVERED}
        self.receipted = self.receipted and event is not Event.REDELIVERED  # a person says that the partner lost it
        self._note(event)

    @precondition(lambda self: self.attempt > 0 and self.state is not State.REFUSED)
    @rule(event=sampled_from([Event.DELIVERED, Event.FAILED, Event.GAVE_UP]), back=integers(0, 3))
    def reported(self, event: Event, back: int) -> None:
        before, attempt = self.state, max(1, self.attempt - back)
        self.state = after_report(LEG, before, event, attempt=self.attempt, reported=attempt)
        if event is not Event.DELIVERED and (attempt < self.attempt or before is not State.SENDING):
            assert self.state is before
        self._note(event if self.state is not before else None)

    @rule(ahead=integers(1, 3))
    def reported_from_the_future(self, ahead: int) -> None:
        with pytest.raises(InvariantError):
            after_report(LEG, self.state, Event.DELIVERED, attempt=self.attempt, reported=self.attempt + ahead)

    def _note(self, event: Event | None) -> None:
        self.receipted = self.receipted or self.state is State.RECEIPTED
        self.done = self.done or event in DONE

    @invariant()
    def a_receipt_is_for_ever_unless_the_partner_lost_it(self) -> None:
        assert not getattr(self, "receipted", False) or self.state is State.RECEIPTED

    @invariant()
    def what_was_delivered_is_never_sent_again_by_itself(self) -> None:
        if getattr(self, "done", False):
            assert self.state in ENDED

    @invariant()
    def what_was_published_is_never_refused(self) -> None:
        assert not (getattr(self, "attempt", 0) and self.state is State.REFUSED)


LegMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLegMachine = LegMachine.TestCase
