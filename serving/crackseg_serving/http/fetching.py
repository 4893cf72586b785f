"""An image from its URL: from hosts that the settings allow and addresses that are public, within bounds of time and bytes.

Imported by `segmenting` with the first URL that a client sends, because its library is large. A host name is resolved once, all
its addresses are checked, and the connection goes to one of them; TLS verifies the name. A redirect is a new URL, checked like
the first. Why so: docs/decisions/0010.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override
from yarl import URL

from crackseg_serving import __version__
from crackseg_serving.admission import Ticket
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.addresses import Address, is_allowed, is_public, parse
from crackseg_serving.http.body import pace
from crackseg_serving.http.problems import Problem
from crackseg_serving.settings import Settings

_REDIRECTS: Final = 3
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})
_OWN_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_URL: Final = 4096
_CHUNK: Final = 1 << 18
_HEADERS: Final = {
    "User-Agent": f"crackseg-serving/{__version__}",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}


async def fetch(
    settings: Settings,
    url: str,
    ticket: Ticket,
    grow: Callable[[int], None],
    acceptable: Callable[[Address], bool] = is_public,
) -> bytes:
    """The bytes at `url`. `grow` is called with the size of each part; `acceptable` says which addresses may be connected to.

    Raises Problem (403, 502, 504), Refused (BAD_REQUEST, TOO_MANY_BYTES, OVERLOADED).
    """
    place = _read(url)
    try:
        async with asyncio.timeout(None) as patience, _session(acceptable) as session:
            until = pace(settings.client_seconds, ticket)
            patience.reschedule(until(0))
            for _ in range(_REDIRECTS + 1):
                _check(place, settings.image_url_hosts)
                async with session.get(place, allow_redirects=False) as answer:
                    if answer.status not in _REDIRECTING:
                        return await _body(
                            answer, settings.max_bytes, grow, lambda size: patience.reschedule(until(size))
                        )
                    place = _next(place, answer.headers.get("Location", ""))
    except TimeoutError:
        raise Problem(
            504, "Image source timed out", f"{place.host} did not send the image in time: try again later"
        ) from None
    except (ClientError, OSError, ValueError) as error:
        raise _broken(f"{place.host} {_what_broke(error)}") from None
    raise _broken(f"the URL redirects more than {_REDIRECTS} times: give the final URL")


def _session(acceptable: Callable[[Address], bool]) -> ClientSession:
    """A session without cookies, without proxies or passwords from the environment, whose connections end with the fetch."""
    connector = TCPConnector(resolver=_Resolver(acceptable), use_dns_cache=False, force_close=True)
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        headers=_HEADERS,
        timeout=ClientTimeout(total=None),  # one clock for everything: `pace`
        auto_decompress=False,
        trust_env=False,
    )


class _Resolver(AbstractResolver):
    """Resolves a name once, and refuses it if any of its addresses is not acceptable. The connection goes to a checked address."""

    def __init__(self, acceptable: Callable[[Address], bool]) -> None:
        self._acceptable = acceptable

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = {str(info[4][0]): info[0] for info in found}
        if not all(self._acceptable(parse(address)) for address in addresses):
            raise _not_allowed(
                f"{host} has an address that is not public: images are fetched from public addresses only"
            )
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, kind in addresses.items()
        ]

    @override
    async def close(self) -> None:
        pass


def _read(url: str) -> URL:
    """The URL as the client library parses it, so that what is checked is what is requested. Raises Refused (BAD_REQUEST)."""
    try:
        place = URL(url)
    except ValueError:
        place = URL()
    if place.scheme not in _OWN_PORTS or not place.raw_host or len(url) > _LONGEST_URL:
        raise Refused(
            Cause.BAD_REQUEST,
            f"`url` must be http://HOST/PATH or https://HOST/PATH of at most {_LONGEST_URL} characters",
        )
    return place


def _check(place: URL, hosts: tuple[str, ...]) -> None:
    if place.raw_user is not None or place.raw_password is not None:
        raise _not_allowed("a URL may not have a user or a password: give one that needs none")
    host, port = (place.raw_host or "").lower(), place.port or 0
    if not is_allowed(host, port, _OWN_PORTS[place.scheme], hosts):
        raise _not_allowed(
            f"images are not fetched from {host:.100} at port {port}: send the file itself, or add the host to "
            "spec.serving.imageURL.allowedHosts of the CrackSegModel (IMAGE_URL_HOSTS)"
        )


def _next(place: URL, location: str) -> URL:
    """Where a redirect leads. Raises Problem."""
    try:
        target = place.join(URL(location))
    except ValueError:
        target = URL()
    if not location or target.scheme not in _OWN_PORTS or not target.raw_host:
        raise _broken(f"{place.host} redirects to something other than an http:// or https:// URL")
    if (place.scheme, target.scheme) == ("https", "http"):
        raise _not_allowed(f"{place.host} redirects from https to http, which is not followed")
    return target


async def _body(answer: ClientResponse, limit: int, grow: Callable[[int], None], reach: Callable[[int], None]) -> bytes:
    host = answer.url.host
    if answer.status != 200:
        raise _broken(f"{host} answered {answer.status}: check the URL, and that it can be read without signing in")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _broken(f"{host} answered in an encoding that was not asked for")
    if (answer.content_length or 0) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    async for part in answer.content.iter_chunked(_CHUNK):
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        grow(len(part))
        reach(size)
        parts.append(part)
    if not size:
        raise _broken(f"{host} answered with an empty file: check the URL")
    return b"".join(parts)


def _what_broke(error: Exception) -> str:
    """What happened, in plain words. More detail could reveal the inside of the network to the client."""
    match error:
        case ClientConnectorDNSError():
            return "could not be resolved: check the URL's host"
        case ClientConnectorCertificateError():
            return "has a certificate that is not valid for it"
        case ClientConnectorError():
            return "could not be connected to"
        case _:
            return "broke off, or did not speak HTTP"


def _broken(detail: str) -> Problem:
    return Problem(502, "Image not fetched", detail)


def _not_allowed(detail: str) -> Problem:
    return Problem(403, "URL not allowed", detail)


def _too_large(limit: int) -> Refused:
    return Refused(
        Cause.TOO_MANY_BYTES,
        f"the image at the URL has more than {limit} bytes, the most that this server accepts: send a smaller image",
    )
