"""Compression of answers: large JSON only. Images are compressed already, and binary tensors would hardly shrink.

Called by the application with each answer.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from typing import Final

from crackseg_serving.http.messages import Request, Response

_LEAST: Final = 4 << 10  # bytes: a smaller answer takes few packets either way
_IN_THE_LOOP: Final = 64 << 10  # bytes: up to here a thread would cost more than the work
_TYPES: Final = frozenset({"application/json", "application/geo+json", "application/problem+json"})


async def compressed(response: Response, request: Request) -> Response:
    """`response`, compressed with gzip if it is large JSON and the client accepts it."""
    if response.content_type not in _TYPES or len(response.body) < _LEAST:
        return response
    headers = {**response.headers, "Vary": "Accept-Encoding"}
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return replace(response, headers=headers)
    small = len(response.body) <= _IN_THE_LOOP
    body = _gzip(response.body) if small else await asyncio.to_thread(_gzip, response.body)
    return replace(response, body=body, headers={**headers, "Content-Encoding": "gzip"})


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (not with quality 0)."""
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in {"gzip", "x-gzip", "*"}:
            quality = parameters.replace(" ", "").partition("q=")[2]
            return not quality or quality.strip("0.") != ""
    return False


def _gzip(body: bytes) -> bytes:
    # Level 1: for numbers as text, higher levels save next to nothing and cost several times as much.
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(body) + stream.flush()
