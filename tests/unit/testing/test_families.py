"""What the generators of families reach: each thing a family can say is said by one of a few hundred messages."""

from __future__ import annotations

from random import Random

from gateway.testing.clock import START
from gateway.testing.families import acknowledgement
from tests.properties.test_families import admitted

MADE = [acknowledgement.generate(Random(seed), START) for seed in range(300)]


def test_acknowledgements_say_everything_a_recipient_can():
    said = [*acknowledgement.SAID, *acknowledgement.OF_A_CORRECTION, *acknowledgement.OF_A_REFERRAL]
    bodies = [one.event["body"] for one in MADE]
    for expected in said:
        assert any(expected.items() <= body.items() for body in bodies), expected


def test_some_recipients_ask_to_be_kept_informed_and_only_those_who_take_the_message():
    asking = [one.event["body"] for one in MADE if "keep_informed_until" in one.event["body"]]
    assert asking
    assert {body["stage"] for body in asking} <= acknowledgement.TAKES


def test_the_acknowledgement_of_an_anonymous_referral_has_no_reference_and_is_admitted():
    anonymous = [one for one in MADE if "ref" not in one.event["subject"]]
    assert anonymous
    for one in anonymous:
        assert one.event["handling"]["purpose"] == "SUPPORT"
        assert "ref" not in admitted(one).message.event["subject"]
