"""Request bodies: received within bounds of bytes and time; the image taken out of a multipart form."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.messages import Request
from crackseg_serving.http.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

CODINGS: Final = ("identity", "gzip", "deflate")  # what a body may be sent in
_FORM_ALLOWANCE: Final = 1 << 16  # bytes that a form may have around its image
_SLOWEST: Final = 16 << 10  # bytes a second: a client slower than a bad mobile connection holds a place for nothing
_STEP: Final = 1 << 20  # bytes that are decompressed at a time


async def receive_body(
    engine: Engine, request: Request, ticket: Ticket, grow: Callable[[int], None], limit: int | None = None
) -> bytes:
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
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(None) as patience:
            pace = _Pace(engine.settings.client_seconds, ticket, patience)
            async for part in _parts(request, limit, grow, pace):
                parts.append(part)  # noqa: PERF401 - what has come is told of when the rest does not
    except TimeoutError:
        raise Problem(
            408,
            "Request timeout",
            f"only {sum(map(len, parts))} bytes of the body have come in time: send it faster",
            {"Connection": "close"},
        ) from None
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return body if coding == "identity" else await asyncio.to_thread(decompress, body, coding, limit, grow)


class _Pace:
    """How long a body may take: some seconds, and one more for every 16 KiB that have come; never beyond its ticket."""

    def __init__(self, seconds: float, ticket: Ticket, patience: asyncio.Timeout) -> None:
        self._began, self._seconds = asyncio.get_running_loop().time(), seconds
        self._remaining, self._patience = ticket.remaining, patience
        self.reach(0)

    def reach(self, size: int) -> None:
        """`size` bytes have come."""
        allowed = min(self._seconds + size / _SLOWEST, self._remaining)
        self._patience.reschedule(self._began + allowed)


async def _parts(request: Request, limit: int, grow: Callable[[int], None], pace: _Pace) -> AsyncIterator[bytes]:
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection before its request was whole")
        part = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        grow(len(part))
        pace.reach(size)
        yield part


def decompress(body: bytes, coding: str, limit: int, grow: Callable[[int], None]) -> bytes:
    """`body` without its `coding`, bounded before it is made. Raises Refused (TOO_MANY_BYTES, OVERLOADED, BAD_REQUEST)."""
    # 47: gzip and zlib, by their headers. Some clients call a bare stream deflate too: it has no header of zlib's.
    bare = coding == "deflate" and body[:1] and body[0] & 0x0F != zlib.DEFLATED
    stream, parts, size = zlib.decompressobj(-zlib.MAX_WBITS if bare else 47), [], 0
    rest: bytes = body
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


def image_limit(content_type: str, limit: int) -> int:
    """How many bytes a body of this type may have so that its image has at most `limit`."""
    return limit + _FORM_ALLOWANCE if content_type.lower().startswith("multipart/") else limit


def image_of(body: bytes, content_type: str) -> bytes:
    """The encoded image in a body: the body itself, or the part `image` of a multipart form.

    Raises Refused (BAD_REQUEST) with what is missing, Problem 415 for a type that holds no image.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        body = _part(body, options.get(b"boundary", b""))
    elif kind not in {b"", b"application/octet-stream", b"application/x-www-form-urlencoded"} and not kind.startswith(
        b"image/"
    ):
        raise Problem(
            415,
            "Unsupported media type",
            f"{kind.decode('latin-1')} holds no image: send image/jpeg, image/png … or multipart/form-data",
        )
    if not body:
        raise Refused(
            Cause.BAD_REQUEST,
            "there is no image in the request: send its bytes as the body, or as part `image` of a form",
        )
    return body


class _Form:
    """Callbacks for the parser: remembers the first part named `image`, or the only file."""

    def __init__(self) -> None:
        self.images: dict[str, bytearray] = {}
        self._header = (bytearray(), bytearray())
        self._current: bytearray | None = None

    def on_part_begin(self) -> None:
        self._current = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header = (bytearray(), bytearray())
        if name == b"content-disposition":
            field = parse_options_header(value)[1].get(b"name", b"").decode("utf-8", "replace")
            self._current = self.images.setdefault(field, bytearray())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            self._current.extend(memoryview(data)[start:end])


def _part(body: bytes, boundary: bytes) -> bytes:
    form = _Form()
    callbacks: MultipartCallbacks = {
        "on_part_begin": form.on_part_begin,
        "on_header_field": form.on_header_field,
        "on_header_value": form.on_header_value,
        "on_header_end": form.on_header_end,
        "on_part_data": form.on_part_data,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except (MultipartParseError, ValueError) as error:
        raise Refused(Cause.BAD_REQUEST, f"the form could not be read: {error}") from None
    if "image" not in form.images:
        found = ", ".join(sorted(form.images)[:8]) or "none"
        raise Refused(Cause.BAD_REQUEST, f"the form has no part named `image`; its parts: {found}")
    return bytes(form.images["image"])
