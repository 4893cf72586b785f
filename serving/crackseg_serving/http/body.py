"""Request bodies: received within bounds of bytes and time, and decompressed. What is in them is read by `forms`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
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
    with engine.admission.elsewhere(ticket):
        body = joined(await _parts(request, limit, grow, pace(engine.settings.client_seconds, ticket)))
    return body if coding == "identity" else await asyncio.to_thread(decompress, body, coding, limit, grow)


def pace(seconds: float, ticket: Ticket) -> Callable[[int], float]:
    """Until when more than so many bytes must have come: some seconds, and one more for every 16 KiB; never beyond the ticket."""
    began, remaining = asyncio.get_running_loop().time(), ticket.remaining
    return lambda size: began + min(seconds + size / _SLOWEST, remaining)


async def _parts(
    request: Request, limit: int, grow: Callable[[int], None], until: Callable[[int], float]
) -> Sequence[Part]:
    """All that comes. Raises Refused (CLIENT_GONE, TOO_MANY_BYTES, OVERLOADED) or Problem (408)."""
    parts: list[Part] = []
    size = 0
    try:
        while (part := await request.body.part(until)) is not None:
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            grow(len(part))
            parts.append(part)
    except ConnectionResetError:
        raise Refused(Cause.CLIENT_GONE, "the client closed the connection before its request was whole") from None
    except TimeoutError:
        message = f"only {size} bytes of the body have come in time: send it faster"
        raise Problem(408, "Request timeout", message, {"Connection": "close"}) from None
    return parts


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
