"""Every limit with its name, unit and reason. Largest word first, unit, then `_MAX`."""

from __future__ import annotations

from typing import Final

MESSAGE_BYTES_MAX: Final = 256 * 1024  # pictures do not travel; a family that needs more argues here
SEALED_BYTES_MAX: Final = 512 * 1024  # a JWE of the largest JWS: base64url twice, and headers
JSON_DEPTH_MAX: Final = 32  # deeper than any schema of ours: only a parser attack needs more
HEADER_BYTES_MAX: Final = 2 * 1024  # a JOSE header of ours is below 300 bytes
PROBLEMS_COUNT_MAX: Final = 100  # a person mends a hundred faults at a time; the answer says when there were more
RECIPIENTS_COUNT_MAX: Final = 64  # each one costs a signature: bounds the work one message can buy
SEGMENTS_COUNT_MAX: Final = 32  # a journey with more legs of transport is two journeys
REQUESTS_PER_MINUTE: Final = 60_000  # of one partner, where its profile says nothing: more than one inner can take
URGENT_PER_HOUR: Final = 300  # of one sender in the fastest lane, where its profile says nothing: a lane full of one sender is no fast one
WAITING_COUNT_MAX: Final = 2_000  # submissions waiting for a transaction: the next is told to come again
WAITING_SHARE_MAX: Final = 500  # of them from one sender: a flood keeps nobody else out
LINES_COUNT_MAX: Final = 1000  # of one JSON-lines body
BODY_BYTES_MAX: Final = 16 * 1024 * 1024  # of one JSON-lines body: each line is below SEALED_BYTES_MAX
EARLIER_COUNT_MAX: Final = 1000  # earlier messages opened for one decision; of a subject with more, every leg is held (FACT_UNREAD)
BATCH_COUNT_MAX: Final = 100  # submissions decided in one transaction
REQUEST_SECONDS_MAX: Final = 60  # life of a request token (design: exp <= 60 s)
REQUEST_SKEW_SECONDS_MAX: Final = 5  # of a partner's clock against ours
IAT_SKEW_SECONDS_MAX: Final = 300  # a message from the future by more is refused
IAT_AGE_SECONDS_MAX: Final = 7 * 24 * 3600  # default of a channel: registers retry over a long weekend
OWN_MESSAGE_DAYS_MIN: Final = 30  # what the gateway itself says about a message is kept for its reader at least so long
DUPLICATE_SECONDS_MIN: Final = 90 * 24 * 3600  # how long (iss, jti) is remembered at least
LEASE_SECONDS_MAX: Final = 60  # a crashed worker delays a leg by at most this
WINDOW_COUNT_MAX: Final = 64  # legs of one partner under way at once: bounds memory whatever the backlog
WAKE_SECONDS_MIN: Final = 60  # between two contacts of a partner that have its silent endpoint tried at once
WAKE_COUNT_MAX: Final = 1000  # legs made due at once when a partner is back: the rest come by their own back-off
COMMAND_LEGS_COUNT_MAX: Final = 100  # legs one command of an operator moves: one transaction locks their subjects
LIST_COUNT_MAX: Final = 200  # legs in one answer to an operator
ATTEMPT_DAYS_MAX: Final = 30  # how long it is kept what was tried at a partner: longer than the longest schedule of retries
KEY_TOKEN_BYTES_MAX: Final = 8 * 1024  # a partner's next key: two tokens and a public key are below 3 KiB
KEYS_PENDING_COUNT_MAX: Final = 4  # next keys of one partner that wait for an operator: one for each use, and one more
KEY_DAYS_MAX: Final = 800  # period of a partner's next key: twice what ours last
KEY_AHEAD_DAYS_MAX: Final = 400  # until its period begins
KEY_BEHIND_DAYS_MAX: Final = 1  # since its period began: it was made now, and not found
FORGET_COUNT_MAX: Final = 1000  # rows that one transaction forgets: nobody waits for it
POLL_SETS_COUNT_MAX: Final = 100  # tokens in one answer to a poll
POLL_BYTES_MAX: Final = 768 * 1024  # of tokens in one answer, so that it stays a Kafka record
RECORD_BYTES_MAX: Final = 1000 * 1000  # Kafka's default message.max.bytes is 1,048,588
POLICY_ANSWERS_COUNT_MAX: Final = 8192  # remembered answers of one policy set: partners times kinds of message of a few days
POLICY_SLICES_COUNT_MAX: Final = 1024  # parsed slices of one policy set, by partner and family

assert MESSAGE_BYTES_MAX < SEALED_BYTES_MAX < POLL_BYTES_MAX < RECORD_BYTES_MAX < 1024 * 1024
assert IAT_AGE_SECONDS_MAX + IAT_SKEW_SECONDS_MAX < DUPLICATE_SECONDS_MIN, "an accepted iat must still be remembered"
assert REQUEST_SECONDS_MAX < LEASE_SECONDS_MAX * 2
