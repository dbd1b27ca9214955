"""TLS of our own listeners."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from gateway.contract.errors import OperatorError


class TlsError(OperatorError):
    """Certificate, key or authority of a listener cannot be used. Names the setting, never what the file holds."""


def server_context(certificate: Path, key: Path, *, client_ca: Path | None = None, passphrase: str = "") -> ssl.SSLContext:
    """Return a context for a listener: TLS 1.2 or later, no compression, no renegotiation.

    With `client_ca` a client certificate is asked for and checked, but not demanded: which partner must show one is in its profile, and
    inner decides by that. A certificate of any other authority ends the handshake. Raises `TlsError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2: forward secrecy and AEAD alone; TLS 1.3 has nothing else
    context.set_alpn_protocols(["http/1.1"])
    try:  # always a passphrase: without one OpenSSL would ask the terminal for it
        context.load_cert_chain(certificate, key, password=passphrase)
    except (OSError, ssl.SSLError) as exc:
        raise TlsError("tls_certificate, tls_key", "must be PEM files that belong together") from exc
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as exc:
            raise TlsError("client_ca", "must be a PEM file of certificates") from exc
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def end_of(certificate: Path) -> datetime:
    """Return when the first certificate of a chain ends: from then on nobody believes the chain. Raises `TlsError`."""
    try:
        return min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(certificate.read_bytes()))
    except (OSError, ValueError) as exc:
        raise TlsError("tls_certificate", "must be a PEM file of certificates") from exc


def renew(context: ssl.SSLContext, certificate: Path, key: Path, *, passphrase: str = "") -> None:
    """Put a renewed certificate in force for new connections; those that are open go on. Raises `TlsError`; the old one then stays."""
    server_context(certificate, key, passphrase=passphrase)  # a pair that does not fit would be in force by half
    context.load_cert_chain(certificate, key, password=passphrase)
