"""Whose dead letter it is."""

from __future__ import annotations

import pytest

from adapters.transports.https_push import answers
from gateway.core.deadletters import OF_CODE, Side, side_of

TABLE = {
    ("NO_RECEIPT", None): Side.PARTNER,
    ("NO_RECEIPT", "invalid_key"): Side.PARTNER,
    ("ATTEMPTS", "http-500"): Side.PARTNER,
    ("ATTEMPTS", "http-503"): Side.PARTNER,
    ("ATTEMPTS", "http-200"): Side.PARTNER,
    ("ATTEMPTS", "http-429"): Side.PARTNER,
    ("ATTEMPTS", "timeout"): Side.PARTNER,
    ("ATTEMPTS", "ClientConnectorCertificateError"): Side.PARTNER,
    ("ATTEMPTS", "http-401"): Side.OURS,
    ("ATTEMPTS", "http-404"): Side.OURS,
    ("ATTEMPTS", "no-report"): Side.OURS,
    ("ATTEMPTS", "not-sealed"): Side.OURS,
    ("ATTEMPTS", "SomethingNew"): Side.OURS,
    (None, "http-413"): Side.DATA,
    (None, "http-422"): Side.DATA,
    (None, "invalid_request"): Side.DATA,
    (None, "unknown"): Side.DATA,
    (None, "invalid_key"): Side.OURS,
    (None, "invalid_audience"): Side.OURS,
    (None, "access_denied"): Side.OURS,
    (None, "http-5000"): Side.OURS,
    (None, None): Side.OURS,
}


@pytest.mark.parametrize(("why", "side"), TABLE.items(), ids=str)
def test_a_dead_letter_is_somebodys(why, side):
    assert side_of(*why) is side


def test_every_word_of_a_partner_has_a_side_of_its_own():
    assert answers.ERRORS | {answers.UNKNOWN} <= OF_CODE.keys()
