"""Request bodies: received within bounds of bytes and time, and decompressed. What is in them is read by `forms`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.incoming import Part, joined
from crackseg_serving.http.messages import Request
from crackseg_serving.http.problems import Problem

CODINGS: Final = ("identity", "gzip", "deflate")  # what a body may be sent in
_SLOWEST: Final = 16 << 10  # bytes a second: a client slower than a bad mobile connection holds a place for nothing
_STEP: Final = 1 << 20  # bytes that are decompressed at a time


async def receive_body(
    engine: Engine, request: Request, ticket: Ticket, grow: Callable[[int], None], limit: int | None = None
) -> Part:
    """The whole body, decompressed where it came compressed; at most `limit` bytes, by default as many as the settings allow.

    Raises Refused (TOO_MANY_BYTES, OVERLOADED, CLIENT_GONE, BAD_REQUEST) or Problem (408, 415).
    """
    limit = limit or engine.settings.max_bytes
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    coding = request.headers.get("content-encoding", "identity").lower().strip() or "identity"
    if coding not in CODINGS:
        raise Problem(
            415,
            "Unsupported encoding",
            f"the body is encoded as {coding!r:.50}: send it plain, or as gzip or deflate",
            {"Accept-Encoding": "gzip, deflate"},
        )
    parts: list[Part] = []
    try:
        with engine.admission.elsewhere(ticket):
            async with asyncio.timeout(None) as patience:
                pace = Pace(engine.settings.client_seconds, ticket, patience)
                async for part in _parts(request, limit, grow, pace):
                    parts.append(part)  # noqa: PERF401 - what has come is told of when the rest does not
    except TimeoutError:
        raise Problem(
            408,
            "Request timeout",
            f"only {sum(map(len, parts))} bytes of the body have come in time: send it faster",
            {"Connection": "close"},
        ) from None
    body = joined(parts)
    return body if coding == "identity" else await asyncio.to_thread(decompress, body, coding, limit, grow)


class Pace:
    """How long a body may take: some seconds, and one more for every 16 KiB that have come; never beyond its ticket."""

    def __init__(self, seconds: float, ticket: Ticket, patience: asyncio.Timeout) -> None:
        self._began, self._seconds = asyncio.get_running_loop().time(), seconds
        self._remaining, self._patience = ticket.remaining, patience
        self.reach(0)

    def reach(self, size: int) -> None:
        """`size` bytes have come."""
        allowed = min(self._seconds + size / _SLOWEST, self._remaining)
        self._patience.reschedule(self._began + allowed)


async def _parts(request: Request, limit: int, grow: Callable[[int], None], pace: Pace) -> AsyncIterator[Part]:
    size = 0
    while True:
        try:
            part = await request.body.part()
        except ConnectionResetError:
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection before its request was whole") from None
        if part is None:
            return
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        grow(len(part))
        pace.reach(size)
        yield part


def decompress(body: Part, coding: str, limit: int, grow: Callable[[int], None]) -> bytes:
    """`body` without its `coding`, bounded before it is made. Raises Refused (TOO_MANY_BYTES, OVERLOADED, BAD_REQUEST)."""
    # 47: gzip and zlib, by their headers. Some clients call a bare stream deflate too: it has no header of zlib's.
    bare = coding == "deflate" and body[:1] and body[0] & 0x0F != zlib.DEFLATED
    stream, parts, size = zlib.decompressobj(-zlib.MAX_WBITS if bare else 47), [], 0
    rest: Part = body
    try:
        while rest and not stream.eof:
            grow(_STEP)
            part = stream.decompress(rest, _STEP)
            rest = stream.unconsumed_tail
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except zlib.error as error:
        raise Refused(Cause.BAD_REQUEST, f"the body is not {coding}: {error}") from None
    if not stream.eof or stream.unused_data:
        raise Refused(Cause.BAD_REQUEST, f"the body's {coding} ends too early or too late")
    return b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(
        Cause.TOO_MANY_BYTES,
        f"the body has more than {limit} bytes, the most that this server takes: send a smaller image",
    )
