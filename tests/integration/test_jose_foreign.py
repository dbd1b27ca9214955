"""What we seal a foreign JOSE library opens, what it seals we open, and on malformed tokens we are never the more lenient one."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.core import jwks, tokens
from tests.vectors import tokens as vectors

HERE = Path(__file__).parent.parent / "foreign" / "node"
LARGE = {"events": {"https://e.example/x": {"name": "Zoë Ångström 北京", "list": list(range(2000))}}}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the locked `jose` into a temporary copy."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found: the foreign JOSE library cannot run"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    home = tmp_path_factory.mktemp("jose") / "node"
    shutil.copytree(HERE, home, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0:
        reason = f"npm ci did not install the foreign JOSE library: {done.stderr[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return home


def private_jwk(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, public: dict[str, Any]) -> dict[str, Any]:
    bare = {name: public[name] for name in ("kty", "crv", "x", "y") if name in public}
    raw = (
        key.private_numbers().private_value.to_bytes(32, "big") if isinstance(key, ec.EllipticCurvePrivateKey) else key.private_bytes_raw()
    )
    return {**bare, "d": vectors.b64(raw).decode()}


def run(home: Path, *, to_open: list[dict[str, Any]] = (), make: list[dict[str, Any]] = ()) -> dict[str, Any]:
    """Let node do one job."""
    verify_ec, verify_ed, encrypt = (jwks.write_jwk(key) for key in (vectors.VERIFY_EC, vectors.VERIFY_ED, vectors.ENCRYPT))
    job = {
        "verify": {"ES256": verify_ec, "Ed25519": verify_ed},
        "sign": {"ES256": private_jwk(vectors.EC_KEY, verify_ec), "Ed25519": private_jwk(vectors.ED_KEY, verify_ed)},
        "encrypt": encrypt,
        "decrypt": private_jwk(vectors.GATEWAY_KEY, encrypt),
        "open": list(to_open),
        "make": list(make),
    }
    done = subprocess.run(["node", "foreign.mjs"], cwd=home, input=json.dumps(job), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def item(name: str, raw: bytes, *, encrypted: bool, alg: str = "ES256") -> dict[str, Any]:
    return {"name": name, "raw": base64.b64encode(raw).decode(), "encrypted": encrypted, "alg": alg}


def test_a_foreign_library_opens_and_verifies_what_we_seal(node):
    claims = {**vectors.CLAIMS, **LARGE}
    signers = {"ES256": vectors.SIGN_EC, "Ed25519": vectors.SIGN_ED}
    items = []
    for alg, key in signers.items():
        jws = tokens.sign(claims, key, typ=tokens.EVENT)
        items += [item(f"{alg} signed", jws, encrypted=False, alg=alg)]
        items += [item(f"{alg} sealed", tokens.encrypt(jws, vectors.ENCRYPT), encrypted=True, alg=alg)]
    opened = run(node, to_open=items)["opened"]
    assert {name: entry.get("claims") for name, entry in opened.items()} == {entry["name"]: claims for entry in items}


@pytest.mark.parametrize(("alg", "key"), [("ES256", vectors.VERIFY_EC), ("Ed25519", vectors.VERIFY_ED)], ids=["ES256", "Ed25519"])
def test_we_open_and_verify_what_a_foreign_library_seals(node, alg, key):
    claims = {**vectors.CLAIMS, **LARGE}
    make = [{"name": str(sealed), "alg": alg, "kid": key.kid, "claims": claims, "encrypted": sealed} for sealed in (True, False)]
    made = run(node, make=make)["made"]
    for sealed in (True, False):
        token = tokens.unwrap(made[str(sealed)].encode(), vectors.DECRYPT, typ=tokens.EVENT, encrypted="required" if sealed else "allowed")
        assert tokens.verify(token, key).claims == claims


def test_a_foreign_library_opens_the_valid_tokens_that_the_malformed_ones_are_made_from(node):
    opened = run(node, to_open=[item("jws", vectors.jws(), encrypted=False), item("jwe", vectors.jwe(), encrypted=True)])["opened"]
    assert [entry.get("claims") for entry in opened.values()] == [vectors.CLAIMS, vectors.CLAIMS]


def test_a_foreign_library_refuses_the_malformed_tokens_but_the_ones_it_is_known_to_take(node):
    """All of these we refuse (tests/unit/core/test_tokens.py); so we refuse what it refuses."""
    items = [item(v.name, v.raw, encrypted=False) for v in vectors.JWS_VECTORS if len(v.raw) < 100_000]
    items += [item(v.name, v.raw, encrypted=True) for v in vectors.JWE_VECTORS]
    opened = run(node, to_open=items)["opened"]
    taken = {name for name, entry in opened.items() if entry["ok"]}
    known = {v.name for v in (*vectors.JWS_VECTORS, *vectors.JWE_VECTORS) if "node" in v.lenient}
    assert taken - known == set()
    assert len(opened) - len(taken) >= 60
