"""What changed on disk is read again; what cannot be read leaves what was in use."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.contract.errors import OperatorError
from gateway.ops.telemetry import Metrics, Telemetry
from gateway.ops.tls import TlsError, renew, server_context
from gateway.ops.watch import Watch
from gateway.testing.certificates import Authority


async def test_files_are_read_again_when_one_is_another_and_only_then(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1", encoding="utf-8")
    reads: list[str] = []
    watch = Watch([one, two], lambda: reads.append(one.read_text(encoding="utf-8")), Telemetry(Metrics()), name="not-read")
    await watch.run_once()
    assert reads == []
    one.write_text("22", encoding="utf-8")
    await watch.run_once()
    await watch.run_once()
    assert reads == ["22"]
    two.write_text("late", encoding="utf-8")
    await watch.run_once()
    assert reads == ["22", "22"]


async def test_what_cannot_be_read_is_tried_again_at_every_look(tmp_path: Path) -> None:
    file, reads = tmp_path / "file", list[str]()

    def read() -> None:
        reads.append(text := file.read_text(encoding="utf-8"))
        if text == "bad":
            raise OperatorError("bad")

    file.write_text("good", encoding="utf-8")
    watch = Watch([file], read, Telemetry(Metrics()), name="not-read")
    file.write_text("bad", encoding="utf-8")
    await watch.run_once()
    await watch.run_once()
    assert reads == ["bad", "bad"]
    file.write_text("better", encoding="utf-8")
    await watch.run_once()
    await watch.run_once()
    assert reads == ["bad", "bad", "better"]


def served(context: ssl.SSLContext, authority: Path) -> str:
    """Return the serial number of the certificate that a handshake shows."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    client = ssl.create_default_context(cafile=authority).wrap_bio(outgoing, incoming, server_hostname="localhost")
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = client.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_a_renewed_certificate_serves_new_connections_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    authority = Authority("Throw-away authority of a test")
    authority.write(tmp_path / "ca.pem")
    for name in ("first", "second"):
        authority.issue(tmp_path / f"{name}.pem", name, hosts=["localhost"], addresses=["127.0.0.1"])
    context = server_context(tmp_path / "first.pem", tmp_path / "first.pem")
    before = served(context, tmp_path / "ca.pem")
    (tmp_path / "bad.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(TlsError):
        renew(context, tmp_path / "bad.pem", tmp_path / "bad.pem")
    with pytest.raises(TlsError):
        renew(context, tmp_path / "second.pem", tmp_path / "first.pem")
    assert served(context, tmp_path / "ca.pem") == before
    renew(context, tmp_path / "second.pem", tmp_path / "second.pem")
    assert served(context, tmp_path / "ca.pem") != before
