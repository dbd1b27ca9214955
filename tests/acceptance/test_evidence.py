"""What anyone can check with public keys alone: checkpoints, that a receipt's leaf is in the log, and that the log only grew."""

from __future__ import annotations

from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.evidence import merkle
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey, verify
from gateway.core.evidence.errors import EvidenceError
from gateway.core.keys import Use, VerifyKey
from tests.acceptance.deployment import FRANCE, eventually_async, receipt_of


def log_keys(gw) -> list[CheckpointKey]:
    """Return the log's keys, from the key set that the pinned root signed."""
    entries = [e for e in gw.kit().gateway_keys.entries if isinstance(e, VerifyKey) and e.use is Use.CHECKPOINT]
    return [CheckpointKey(gw.setup.gateway, entry.public) for entry in entries if isinstance(entry.public, Ed25519PublicKey)]


async def checkpoint(gw, client) -> Checkpoint:
    response = await client.get("/v1/evidence/checkpoint")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    return verify(response.body.decode(), log_keys(gw))


async def covered(gw, client, leaf: bytes) -> tuple[Checkpoint, dict[str, object]]:
    """Wait until a leaf is in the log; return a checkpoint that covers it, and its proof."""

    async def look():
        head = await checkpoint(gw, client)
        response = await client.get("/v1/evidence/inclusion", {"leaf": leaf.hex(), "size": str(head.size)})
        return (head, response.value) if response.status == 200 else None

    return await eventually_async(look, what="the leaf in the log")


async def test_the_leaf_of_a_receipt_is_in_the_log_under_a_signed_checkpoint(gw):
    async with gw.client() as register:
        sent = gw.message()
        statement = receipt_of(register, await register.submit(sent.sealed), sent)
        head, proof = await covered(gw, register, statement.leaf)
    path = [bytes.fromhex(step) for step in proof["path"]]
    assert merkle.verify_inclusion(statement.leaf, proof["index"], head.size, path=path, root=head.root) == statement.leaf
    with pytest.raises(EvidenceError):
        merkle.verify_inclusion(bytes(32), proof["index"], head.size, path=path, root=head.root)


async def test_the_log_only_grows_from_the_checkpoint_in_one_receipt_to_that_in_the_next(gw):
    async with gw.client() as register:
        heads = []
        for _ in range(3):
            sent = gw.message()
            statement = receipt_of(register, await register.submit(sent.sealed), sent)
            heads.append((await covered(gw, register, statement.leaf))[0])
            if statement.checkpoint is not None:
                heads.insert(-1, verify(statement.checkpoint, log_keys(gw)))
        assert heads[-1].size > heads[0].size
        for one, two in pairwise(heads):
            answer = await register.get("/v1/evidence/consistency", {"first": str(one.size), "second": str(two.size)})
            path = [bytes.fromhex(step) for step in answer.value["path"]]
            merkle.verify_consistency(one.size, two.size, path=path, first_root=one.root, second_root=two.root)
            if one.size < two.size:
                with pytest.raises(EvidenceError):
                    merkle.verify_consistency(one.size, two.size, path=path, first_root=bytes(32), second_root=two.root)


async def test_a_partner_gets_a_checkpoint_in_what_it_receives_and_may_ask_for_proofs_itself(gw):
    async with gw.client() as register, gw.client(FRANCE) as france:
        first = gw.message()
        statement = receipt_of(register, await register.submit(first.sealed), first)
        await covered(gw, register, statement.leaf)
        sent = gw.message()
        await register.submit(sent.sealed)
        document = await gw.until_received(FRANCE, sent.jti)
        ((_, event),) = document.claims["events"].items()
        told = verify(event["checkpoint"], log_keys(gw))
        now = await checkpoint(gw, france)
        answer = await france.get("/v1/evidence/consistency", {"first": str(told.size), "second": str(now.size)})
    path = [bytes.fromhex(step) for step in answer.value["path"]]
    merkle.verify_consistency(told.size, now.size, path=path, first_root=told.root, second_root=now.root)


QUESTIONS = {
    "a leaf that is not there": ("inclusion", {"leaf": "00" * 32, "size": "1"}, 404, "not-found"),
    "a leaf that is no hash": ("inclusion", {"leaf": "FF", "size": "1"}, 400, "request-invalid"),
    "no size": ("inclusion", {"leaf": "00" * 32}, 400, "request-invalid"),
    "a size that is not reached": ("consistency", {"first": "1", "second": "999999999"}, 400, "request-invalid"),
    "backwards": ("consistency", {"first": "2", "second": "1"}, 400, "request-invalid"),
    "a parameter too many": ("consistency", {"first": "1", "second": "1", "third": "1"}, 400, "request-invalid"),
}


@pytest.mark.parametrize("case", QUESTIONS)
async def test_a_question_without_an_answer_is_told_what_would_be_right(gw, case):
    kind, parameters, status, code = QUESTIONS[case]
    async with gw.client() as register:
        response = await register.get(f"/v1/evidence/{kind}", parameters)
    assert (response.status, [fault["code"] for fault in response.problems]) == (status, [code])
    assert response.problems[0]["expected"]
