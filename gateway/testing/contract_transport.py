"""What every transport must do, against a partner that misbehaves.

A test class gives two fixtures: `partner`, a simulator with the knobs of `PartnerSimulator`, and `made`, an open transport to it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Transport
from gateway.contract.values import Jti, LegId, PartnerId, Sealed
from gateway.testing.partner import DROPPED, LOST, Behaviour, PartnerSimulator

ATTEMPT_SECONDS = 10.0
SHORT_SECONDS = 0.3


def sealed(body: bytes = b"e30.e30.e30.e30.e30") -> Sealed:
    """Return something sealed. A transport never looks inside."""
    until = datetime.now(UTC) + timedelta(minutes=1)
    return Sealed(LegId("leg-1"), Jti("jti-1"), PartnerId("ie-police"), attempt=1, not_after=until, body=body)


class TransportContract:
    """Inherited by the tests of every transport."""

    async def test_a_good_partner_gets_the_bytes_and_the_answer_is_delivered(self, made: Transport, partner: PartnerSimulator) -> None:
        reply = await made.deliver(sealed(), ATTEMPT_SECONDS)
        assert (reply.outcome, reply.code, reply.retry_after) == (Outcome.DELIVERED, "", None)
        assert len(partner.received) == 1

    async def test_an_answer_lost_after_the_partner_kept_it_is_an_open_question(self, made: Transport, partner: PartnerSimulator) -> None:
        partner.play([LOST])
        with pytest.raises(DeliveryError):
            await made.deliver(sealed(), ATTEMPT_SECONDS)
        assert len(partner.received) == 1
        assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED
        assert [entry.copies for entry in partner.received.values()] == [2]
        assert partner.conflicts == []

    async def test_a_dropped_connection_is_an_open_question(self, made: Transport, partner: PartnerSimulator) -> None:
        partner.play([DROPPED])
        with pytest.raises(DeliveryError):
            await made.deliver(sealed(), ATTEMPT_SECONDS)

    async def test_a_slow_partner_is_cut_at_the_time_given(self, made: Transport, partner: PartnerSimulator) -> None:
        partner.play([Behaviour(delay_seconds=ATTEMPT_SECONDS)])
        with pytest.raises(DeliveryError, match="timeout"):
            await made.deliver(sealed(), SHORT_SECONDS)

    async def test_a_partner_that_is_down_is_a_failure_and_works_again_when_it_is_up(
        self, made: Transport, partner: PartnerSimulator
    ) -> None:
        await partner.refuse_connections()
        assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.FAILED
        await partner.accept_connections()
        assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED

    async def test_a_partner_that_restarts_between_attempts_gets_the_next_one(self, made: Transport, partner: PartnerSimulator) -> None:
        assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED
        await partner.refuse_connections()
        await partner.accept_connections()
        await asyncio.sleep(0)  # let the transport see that its connection is gone
        assert (await made.deliver(sealed(b"e30.e30.e30.e30.e31"), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED

    async def test_many_attempts_at_once_all_arrive(self, made: Transport, partner: PartnerSimulator) -> None:
        replies = await asyncio.gather(*(made.deliver(sealed(b"e30.e30.e30.e30.%d" % n), ATTEMPT_SECONDS) for n in range(40)))
        assert {reply.outcome for reply in replies} == {Outcome.DELIVERED}
        assert len(partner.received) == 40

    async def test_a_cancelled_attempt_leaves_the_transport_usable(self, made: Transport, partner: PartnerSimulator) -> None:
        partner.play([Behaviour(delay_seconds=ATTEMPT_SECONDS)])
        attempt = asyncio.create_task(made.deliver(sealed(), ATTEMPT_SECONDS))
        await partner.until_asked(1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert (await made.deliver(sealed(), ATTEMPT_SECONDS)).outcome is Outcome.DELIVERED

    async def test_closing_twice_is_harmless(self, made: Transport, partner: PartnerSimulator) -> None:
        await made.deliver(sealed(), ATTEMPT_SECONDS)
        await made.close()
        await made.close()
        assert len(partner.received) == 1
