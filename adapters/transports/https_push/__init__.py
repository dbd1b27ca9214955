"""Push of security event tokens over HTTPS, as a transmitter of RFC 8935."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from adapters.transports.https_push import addresses, answers
from gateway.contract.manifest import Manifest, SettingsError
from gateway.contract.transports import Outcome, Reply, Transport
from gateway.contract.values import Sealed

_GROUP_AND_OTHERS: Final = 0o077
_TOKEN_BYTES_MAX: Final = 4096


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how to push."""

    url: URL
    tls: ssl.SSLContext
    networks: tuple[addresses.Network, ...]
    connections_max: int
    headers: Mapping[str, str]


class HttpsPush(Transport):
    """One partner's endpoint. Certificates are always checked, redirects never followed, proxies and cookies unknown."""

    def __init__(self, endpoint: Endpoint, now: Callable[[], datetime] = _now) -> None:
        """Keep `endpoint`; the first attempt opens the connections. `now` reads dates in `Retry-After`."""
        self._endpoint = endpoint
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def _send(self, item: Sealed) -> Reply:
        headers = {"Content-Type": item.media_type}
        try:
            async with self._open().post(self._endpoint.url, data=item.body, headers=headers, allow_redirects=False) as response:
                body = await _read(response) if response.status == 400 else b""
                return answers.read(response.status, response.headers, body, now=self._now())
        except aiohttp.ClientConnectorError as exc:  # nothing was sent: not even possibly delivered
            return Reply(Outcome.FAILED, _connection_code(exc))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._endpoint.tls,
                limit=self._endpoint.connections_max,
                socket_factory=addresses.guarded_sockets(self._endpoint.networks),
                use_dns_cache=False,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **self._endpoint.headers},
                skip_auto_headers=("User-Agent",),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # `deliver` bounds the whole attempt
                auto_decompress=False,  # a packed body of a few bytes may unpack to gigabytes
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return at most `BODY_BYTES_MAX` of the body. The rest is never read: leaving it closes the connection."""
    body = b""
    while len(body) < answers.BODY_BYTES_MAX:
        chunk = await response.content.read(answers.BODY_BYTES_MAX - len(body))
        if not chunk:
            break
        body += chunk
    return body


def _connection_code(exc: aiohttp.ClientConnectorError) -> str:
    if isinstance(exc.os_error, addresses.AddressRefusedError):
        return "address-refused"
    if isinstance(exc, aiohttp.ClientSSLError):
        return "tls"
    return "dns" if isinstance(exc, aiohttp.ClientConnectorDNSError) else "connect"


def create(manifest: Manifest, settings: Mapping[str, object]) -> HttpsPush:
    """Return the transport of one partner. Raises `SettingsError` with every fault of the settings and of the files they name."""
    found = _Found(settings)
    endpoint = found.endpoint()
    if endpoint is None:
        raise SettingsError(manifest.id, tuple(sorted(found.faults)))
    return HttpsPush(endpoint)


class _Found:
    """Reads checked settings and collects what is wrong with what they name."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings: Mapping[str, Any] = settings
        self.faults: list[str] = []

    def endpoint(self) -> Endpoint | None:
        url, networks, tls, headers = self._url(), self._networks(), self._tls(), self._headers()
        if self.faults or url is None or tls is None:
            return None
        return Endpoint(url=url, tls=tls, networks=networks, connections_max=self._settings["connections_max"], headers=headers)

    def _url(self) -> URL | None:
        try:
            url = URL(self._settings["url"])
        except ValueError:
            url = URL()
        if url.scheme != "https" or not url.host or url.user is not None or url.password is not None or url.fragment:
            self.faults.append("url: must be an https URL with a host, without user name and fragment")
            return None
        return url

    def _networks(self) -> tuple[addresses.Network, ...]:
        try:
            return addresses.read_networks(self._settings["allow_networks"])
        except ValueError:
            self.faults.append("allow_networks: must be networks such as 10.20.0.0/16")
            return ()

    def _headers(self) -> dict[str, str]:
        path = self._settings["token_file"]
        if path is None:
            return {}
        self.faults.extend(_open_to_others("token_file", path))
        try:
            token = Path(path).read_bytes()[: _TOKEN_BYTES_MAX + 1].decode("ascii").strip()
        except (OSError, ValueError):
            token = ""
        if not token or len(token) > _TOKEN_BYTES_MAX or not token.isprintable() or " " in token:
            self.faults.append("token_file: must be a file with one token in ASCII")
        return {"Authorization": f"Bearer {token}"}

    def _tls(self) -> ssl.SSLContext | None:
        certificate, key = self._settings["client_certificate_file"], self._settings["client_key_file"]
        if (certificate is None) != (key is None):
            self.faults.append("client_key_file: goes with client_certificate_file")
        try:
            context = ssl.create_default_context(cafile=self._settings["ca_file"])  # with a file, the system's authorities are not loaded
        except (OSError, ssl.SSLError):
            self.faults.append("ca_file: must be a PEM file of certificates")
            return None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None and key is not None:
            self.faults.extend(_open_to_others("client_key_file", key))
            try:  # an empty password: an encrypted key fails here, instead of asking the terminal
                context.load_cert_chain(certificate, key, password="")
            except (OSError, ssl.SSLError):
                self.faults.append("client_key_file: certificate and unencrypted key must be PEM files that belong together")
        return context


def _open_to_others(name: str, path: str) -> Iterator[str]:
    try:
        if Path(path).stat().st_mode & _GROUP_AND_OTHERS:
            yield f"{name}: others can read the file; set mode 0600"
    except OSError:
        return
