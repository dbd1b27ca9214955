"""The edge's questions, answered in inner: here every request token is checked, for the edge is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

from gateway.app.batch import Batcher, Bounds, In, Out, QueueFullError, ShareFullError
from gateway.app.inbox import Inbox, read_poll
from gateway.app.intake import INTERNAL, Intake, Outcome, Submission, TokenUsedError
from gateway.app.next_keys import NextKeys
from gateway.app.ports import Answer, Clock, DeskUnavailableError, Question, Store, StoreUnavailableError, Telemetry
from gateway.app.query import Query, not_found
from gateway.app.sequence import Evidence
from gateway.app.world import Holder
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, PartnerId
from gateway.core import limits, strict_json, tokens
from gateway.core.directory import Directory
from gateway.core.keys import Use
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError, TooManyError, UntrustedError
from gateway.core.rates import Rate
from gateway.core.request_tokens import HttpRequest, RequestIdentity, check_request
from gateway.core.tokens import Token

LINE = "line"  # one of many in a body: the token covers them all, and each is signed itself
AGAIN = "poll-again"  # the edge asks on for a partner that waits, with the request it asked with before
SUBMISSIONS = frozenset({"submit", "event", LINE})
QUERY_CHARS_MAX = 1_000  # a leaf hash and a size are below a hundred
MINUTE = 60
SHARE_SECONDS = 1  # asked of a partner that has its share of the queue full: a batch takes far less
BEGUN = Problem(
    code=Code.UNAVAILABLE, detail="this request may have been begun before", expected="the same again, with a new request token"
)
BOUNDS = Bounds(batch=limits.BATCH_COUNT_MAX, waiting=limits.WAITING_COUNT_MAX, share=limits.WAITING_SHARE_MAX)
UNAVAILABLE = Problem(code=Code.UNAVAILABLE, detail="the gateway cannot keep anything right now", expected="the same again, later")


class Requests:
    """Answers `Question`s: the inner half of the desk."""

    def __init__(  # noqa: PLR0913 -- the use cases behind the API
        self,
        store: Store,
        holder: Holder,
        *,
        intake: Intake,
        inbox: Inbox,
        query: Query,
        evidence: Evidence,
        keys: NextKeys,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the use cases."""
        self._store, self._holder, self._inbox, self._query, self._evidence = store, holder, inbox, query, evidence
        self._keys = keys
        self._clock, self._telemetry, self._circuits = clock, telemetry, intake.circuits
        self.submissions: Batcher[Submission, Outcome] = Batcher(intake.accept, bounds=BOUNDS, whose=lambda s: s.channel)
        self.remembered: Batcher[RequestIdentity, bool] = Batcher(self._remember, bounds=BOUNDS, whose=lambda i: i.partner)
        self._taken: dict[PartnerId, datetime] = {}  # of each partner's rate, in this process
        self._kinds: Mapping[str, Callable[[PartnerId, Question], Awaitable[Answer]]] = {
            "key": self._key, "poll": self._poll, "status": self._status, "receipt": self._receipt,
            "checkpoint": self._checkpoint, "inclusion": self._inclusion, "consistency": self._consistency,
        }  # fmt: skip

    async def ask(self, question: Question, *, deadline: datetime) -> Answer:
        """Answer in this process: the desk of the embedded form. Raises `DeskUnavailableError` after `deadline`."""
        seconds = (deadline - self._clock.now()).total_seconds()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await self.answer(question)
        except TimeoutError as exc:
            raise DeskUnavailableError("no answer in time") from exc

    async def answer_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer a batch from the bus; submissions among them share transactions.

        The bus brings again what an inner had begun when it died: a used token is then no sign of a replay, and who sent it asks anew.
        """
        return list(await asyncio.gather(*(self.answer(question, carried=True) for question in questions)))

    async def answer(self, question: Question, *, carried: bool = False) -> Answer:
        """Answer one question; `carried`: by the bus. Never raises for what a peer sent."""
        try:
            partner, identity = self._who(question)
            self._limit(partner, question)
            if question.kind in SUBMISSIONS:  # remembered in the commit that accepts
                return await self._submit(Submission(question.body, partner, None if question.kind == LINE else identity))
            if question.kind == AGAIN:
                return await self._poll_again(partner, question)
            return await self._once(partner, question, identity)
        except RefusedInputError as exc:
            if isinstance(exc, UntrustedError):
                self._telemetry.event("request-untrusted", code=exc.reason)
            wait_seconds = exc.wait_seconds if isinstance(exc, TooManyError) else None
            return problems_answer((BEGUN if carried and isinstance(exc, TokenUsedError) else exc.problem,), wait_seconds=wait_seconds)
        except (StoreUnavailableError, QueueFullError) as exc:
            self._telemetry.event("request-unavailable", code=type(exc).__name__)
            return problems_answer((UNAVAILABLE,))
        except InvariantError as exc:  # one question we cannot answer must not take the others of its batch with it
            self._telemetry.event("request-failed", code=type(exc).__name__)
            return problems_answer((INTERNAL,))

    def _limit(self, partner: PartnerId, question: Question) -> None:
        """Count a request against its partner's rate, after its token was checked: nobody uses up another's. Raises `TooManyError`.

        Each inner counts for itself: of several each is bounded, and so is the sum.
        """
        if question.kind == AGAIN:
            return  # the edge's, for a partner that waits
        now = self._clock.now()
        rate = Rate(self._holder.current.directory.by_id(partner).requests_per_minute, MINUTE)
        wait = rate.wait(self._taken.get(partner), now)
        if wait > timedelta():
            self._telemetry.event("rate-limited", partner=partner, code="requests")
            raise TooManyError("more requests than your profile allows in a minute", ceil(wait.total_seconds()))
        self._taken[partner] = rate.after(self._taken.get(partner), now)

    async def _in_turn(self, batcher: Batcher[In, Out], item: In, partner: PartnerId) -> Out:
        try:
            return await batcher.put(item)
        except ShareFullError as exc:
            self._telemetry.event("rate-limited", partner=partner, code="waiting")
            raise TooManyError("too many of your requests wait for an answer", SHARE_SECONDS) from exc

    async def _once(self, partner: PartnerId, question: Question, identity: RequestIdentity | None) -> Answer:
        answer = self._kinds.get(question.kind)
        if answer is None:
            raise InvariantError("question of an unknown kind")
        if identity is None:
            raise UntrustedError("request token missing")
        if not await self._in_turn(self.remembered, identity, partner):
            raise TokenUsedError("request token used twice")
        return await answer(partner, question)

    def _who(self, question: Question) -> tuple[PartnerId, RequestIdentity | None]:
        """Return whose request this is. Raises `UntrustedError`.

        Only a submission may rely on mTLS alone: its message is signed itself (design 3.5).
        """
        context, now = self._holder.current.context, self._clock.now()
        if question.token is None:
            if question.mtls is None or question.kind not in SUBMISSIONS or context.directory.find(question.mtls) is None:
                raise UntrustedError("no request token")
            return question.mtls, None
        token = tokens.unwrap(question.token.encode("ascii", "replace"), {}, typ=tokens.REQUEST, encrypted="allowed")
        entry = context.keyring.find(
            _claimed_issuer(token, context.directory), token.kid, use=Use.REQUEST
        )  # whose key to look for: the key decides
        verified = tokens.verify(token, entry)
        entry.check_period(now)
        url = self._holder.current.origin + question.path
        whole = question.digest if question.kind == LINE else ""  # an edge may name a digest only of what is signed itself
        asked = HttpRequest(question.method, url, question.query.encode(), question.body, whole)
        identity = check_request(verified, asked, aud=context.gateway, now=now)
        profile = context.directory.find(identity.partner)
        if profile is None:
            raise UntrustedError("key without a profile")
        if profile.requires_mtls and question.mtls != profile.id:
            raise UntrustedError("mTLS is required by the profile")
        return profile.id, identity

    async def _remember(self, identities: Sequence[RequestIdentity]) -> list[bool]:
        """Note request tokens, many in one commit; say of each whether it was new."""
        async with self._store.unit_of_work() as work:
            new = await work.remember_requests([(i.partner, i.jti, i.exp) for i in identities])
            await self._circuits.contact(work, {partner for partner, _ in new})
        answers = []
        for identity in identities:
            answers.append((identity.partner, identity.jti) in new)
            new.discard((identity.partner, identity.jti))
        return answers

    async def _submit(self, submission: Submission) -> Answer:
        outcome = await self._in_turn(self.submissions, submission, submission.channel)
        if outcome.receipt is not None:
            return Answer(outcome="repeated" if outcome.repeated else "accepted", body=outcome.receipt, media_type="application/jwt")
        if outcome.token_used:
            raise TokenUsedError("request token used twice")
        return problems_answer(outcome.problems, outcome.rejection)

    async def _key(self, partner: PartnerId, question: Question) -> Answer:
        return await self._keys.submit(partner, question.body)

    async def _poll(self, partner: PartnerId, question: Question) -> Answer:
        proof = sha256((question.token or "").encode()).hexdigest()
        return _json(await self._inbox.poll(partner, read_poll(question.body), proof=proof))

    async def _poll_again(self, partner: PartnerId, question: Question) -> Answer:
        """Look again for who waits: the token was used once already, so nothing is settled on its word a second time."""
        return _json(await self._inbox.poll(partner, replace(read_poll(question.body), acks=(), errors={}), proof=""))

    async def _status(self, partner: PartnerId, question: Question) -> Answer:
        return _json(await self._query.status(partner, _jti(question.path, 0)))

    async def _receipt(self, partner: PartnerId, question: Question) -> Answer:
        return Answer(outcome="ok", body=await self._query.receipt(partner, _jti(question.path, 1)), media_type="application/jwt")

    async def _checkpoint(self, _: PartnerId, __: Question) -> Answer:
        row = await self._evidence.checkpoint()
        if row is None:
            raise not_found()
        return Answer(outcome="ok", body=row.note.encode(), media_type="text/plain")

    async def _inclusion(self, _: PartnerId, question: Question) -> Answer:
        leaf, size = _parameters(question.query, "leaf", "size")
        if len(leaf) != sha256().digest_size * 2 or not set(leaf) <= set("0123456789abcdef"):
            raise MalformedError("leaf is no leaf hash", code=Code.REQUEST_INVALID, expected="64 hex digits in lower case")
        found = await self._evidence.inclusion(bytes.fromhex(leaf), _count(size))
        return _json({"index": found.index, "size": found.size, "path": [node.hex() for node in found.path]})

    async def _consistency(self, _: PartnerId, question: Question) -> Answer:
        first, second = _parameters(question.query, "first", "second")
        path = await self._evidence.consistency(_count(first), _count(second))
        return _json({"first": _count(first), "second": _count(second), "path": [node.hex() for node in path]})


def _claimed_issuer(token: Token, directory: Directory) -> PartnerId:
    """Return whose token it says it is: one of our partners, for what a stranger writes there is not for the log."""
    iss = strict_json.parse_object(token.payload).get("iss")
    if not isinstance(iss, str) or directory.find(iss) is None:
        raise UntrustedError("request token: iss")
    return PartnerId(iss)


def problems_answer(problems: Sequence[Problem], rejection: bytes | None = None, *, wait_seconds: int | None = None) -> Answer:
    """Return problems as the desk says them: every fault, and the signed rejection where there is one."""
    listed = [
        {
            "code": p.code.value, "detail": p.detail, "expected": p.expected, "pointer": p.pointer, "claim": p.claim,
            "rule": p.rule, "severity": p.severity.value,
        }
        for p in problems
    ]  # fmt: skip
    body = strict_json.canonical({"problems": listed, "rejection": rejection.decode() if rejection else None})
    return Answer(outcome="problem", body=body, code=problems[0].code.value, wait_seconds=wait_seconds)


def _json(value: Mapping[str, Any]) -> Answer:
    return Answer(outcome="ok", body=strict_json.canonical(value))


def _jti(path: str, from_end: int) -> Jti:
    steps = path.rstrip("/").split("/")
    if len(steps) <= from_end or not tokens.is_uuid(steps[-1 - from_end]):
        raise not_found()
    return Jti(steps[-1 - from_end])


def _parameters(query: str, *names: str) -> list[str]:
    pairs = parse_qsl(query, keep_blank_values=True) if len(query) <= QUERY_CHARS_MAX else []
    values = dict(pairs)
    if sorted(values) != sorted(names) or len(pairs) != len(names):
        raise MalformedError("query parameters missing or not known", code=Code.REQUEST_INVALID, expected=f"once each: {', '.join(names)}")
    return [values[name] for name in names]


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise MalformedError("not a size of the log", code=Code.REQUEST_INVALID, expected="a whole number")
    return int(text)
