"""Answers as the bytes of HTTP/1.1 (RFC 9112).

Pure but for the date. Called by `connection`; knows responses, and nothing of what is in them.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from crackseg_serving.http.messages import Response
from crackseg_serving.identity import printable

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
_CLIENT_GONE: Final = 499  # nginx's; nobody is there to read it
_STATUS_LINES: Final = {
    **{status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus},
    _CLIENT_GONE: f"HTTP/1.1 {_CLIENT_GONE} Client Closed Request",
}
_WITHOUT_BODY: Final = frozenset({204, 304})


def head(response: Response, *, close: bool, chunked: bool) -> bytes:
    """All that stands before an answer's body. `close`: no other answer follows on its connection."""
    lines = [_STATUS_LINES[response.status], f"date: {_date(int(time.time()))}"]
    if response.status not in _WITHOUT_BODY:
        lines.append(f"content-type: {response.content_type}")
        if response.stream is None:
            lines.append(f"content-length: {len(response.body)}")
    lines += [f"{name.lower()}: {printable(value)}" for name, value in response.headers.items() if name != "Connection"]
    if chunked:
        lines.append("transfer-encoding: chunked")
    if close:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def refusal(status: HTTPStatus, message: str) -> bytes:
    """A whole answer to what is no request."""
    text = message.encode()
    return head(Response(text, "text/plain; charset=utf-8", status.value), close=True, chunked=False) + text


def chunk(part: bytes) -> bytes:
    """A part of an answer whose size is not known before its end."""
    return b"%x\r\n%b\r\n" % (len(part), part)


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
