"""Answers made smaller for who asks: large JSON only. Pictures are small already, and tensors of bytes would not shrink."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from typing import Final

from crackseg_serving.http.messages import Request, Response

_LEAST: Final = 4 << 10  # bytes: below, the packet is no fuller for it
_IN_THE_LOOP: Final = 64 << 10  # bytes: up to here a thread would cost more than the work
_TYPES: Final = frozenset({"application/json", "application/geo+json", "application/problem+json"})


async def compressed(response: Response, request: Request) -> Response:
    """`response`, with gzip where that is worth it and accepted."""
    if response.content_type not in _TYPES or len(response.body) < _LEAST:
        return response
    headers = {**response.headers, "Vary": "Accept-Encoding"}
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return replace(response, headers=headers)
    small = len(response.body) <= _IN_THE_LOOP
    body = _gzip(response.body) if small else await asyncio.to_thread(_gzip, response.body)
    return replace(response, body=body, headers={**headers, "Content-Encoding": "gzip"})


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding has gzip, and not at quality 0."""
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in {"gzip", "x-gzip", "*"}:
            quality = parameters.replace(" ", "").partition("q=")[2]
            return not quality or quality.strip("0.") != ""
    return False


def _gzip(body: bytes) -> bytes:
    # Level 1: numbers written as text hold no more than it finds, and the levels above cost several times as much.
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(body) + stream.flush()
