"""From the bytes of a connection to requests and their bodies, by httptools' parser (llhttp, which Node.js has too).

Called by `connection`, which says what becomes of a request. A body whose size is announced is received where it will be read, and the
parser never sees it: it would copy each byte several times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httptools

from crackseg_serving.http.incoming import Incoming, Sender
from crackseg_serving.http.messages import Request, read_request

_BESIDE: Final = 64 << 10  # bytes of one head, or between two parts of a body: the parser would take any number of them
_VERSIONS: Final = ("1.0", "1.1")  # the parser knows others
_NO_HTTP: Final = "this is no request of HTTP/1.1\n"
_FRAMING: Final = ("content-length", "transfer-encoding")  # where a request ends

#: What is read before it is known where it belongs. One for all connections: it is read out before the next one fills it.
_SCRATCH: Final = memoryview(bytearray(1 << 16))


class NoRequest(Exception):  # noqa: N818 - what has come is none
    """What has come is no request of HTTP/1.1, nor will what follows be one."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and what has become of it."""

    request: Request
    in_chunks: bool  # its client understands an answer whose size is not known
    keep_alive: bool  # another request may follow on the connection
    expects: bool  # its client waits to be told to send the body
    whole: bool = False  # all of the request has come
    answered: bool = False
    task: asyncio.Task[None] | None = None  # who answers it; the event loop alone would not hold it


class Reader:
    """One connection's requests. Give it bytes in `room`, and say how many with `take`."""

    def __init__(self, sender: Sender, most: int, begin: Callable[[Exchange], None]) -> None:
        """`begin` hears of each request when its head is whole; bodies of at most `most` bytes get memory before they come."""
        self._sender, self._most, self._begin = sender, most, begin
        self._parser = self._new_parser()
        self._url = b""
        self._lines: list[tuple[str, str]] = []  # of the head: name in lower case, value
        self._beside = 0  # bytes that have come since a head was whole, or a part of a body was there
        self._declining = False  # while a new parser is told of a request that it has not seen
        self.newest: Exchange | None = None  # whose body comes, or came last
        self.at_rest = False  # all of the newest request has come, and nothing since

    @property
    def room(self) -> memoryview:
        """Where the next bytes are to be received."""
        newest = self.newest
        if newest is None or not newest.request.body.missing:
            return _SCRATCH
        body = newest.request.body
        return _SCRATCH[: body.missing] if newest.answered else body.room

    def take(self, size: int) -> None:
        """So many bytes have come to that room. Raises NoRequest."""
        newest = self.newest
        if newest is not None and newest.request.body.missing:
            self._fill(newest, size)
        else:
            self._read(_SCRATCH[:size])

    def _fill(self, exchange: Exchange, size: int) -> None:
        """More of a body that the parser does not see; when it is whole, a new parser waits for the next head."""
        body = exchange.request.body
        body.fill(size, wanted=not exchange.answered)
        if not body.missing:
            self._parser = self._new_parser()
            self.on_message_complete()

    def _read(self, data: memoryview) -> None:
        self._beside += len(data)
        self.at_rest = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            raise NoRequest(HTTPStatus.BAD_REQUEST, _NO_HTTP) from None
        if self._beside > _BESIDE:
            message = "the head of the request, or what stands beside its body, is too long\n"
            raise NoRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)
        if self.newest is not None and self.newest.request.body.announced:
            self.newest.request.body.make_room(self._most)

    def _parse(self, data: memoryview) -> None:
        """Raises HttpParserError."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._decline()
            else:
                return

    def _decline(self) -> None:
        """Who asks for another protocol gets an answer by this one, as is allowed (RFC 9110, 7.8).

        The parser takes all that follows for the other protocol, and the request's body with it: another one goes on from there.
        """
        self._declining = True
        self._parser = self._new_parser()
        framing = [f"{name}: {value}\r\n" for name, value in self._lines if name in _FRAMING]
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{''.join(framing)}\r\n".encode("latin-1"))
        self._declining = False

    def _new_parser(self) -> httptools.HttpRequestParser:
        """One that goes on after a request that wants to be the last: its answer is still to be sent."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A request."""
        self.at_rest = False
        if not self._declining:
            self._url, self._lines = b"", []

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        if not self._declining:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of its head."""
        if not self._declining:
            self._lines.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """All of its head."""
        self._beside = 0
        if self._declining:
            return
        parser, headers = self._parser, _headers(self._lines)
        version, body = parser.get_http_version(), Incoming(self._sender)
        if version not in _VERSIONS:
            raise ValueError(version)  # the parser reports it as an error of its own
        # The parser has seen to it that it is a number, and there but once.
        body.announced = int(headers.get("content-length", 0))
        self.newest = Exchange(
            read_request(parser.get_method().decode("ascii"), self._url, version, headers, body),
            in_chunks=version != "1.0",
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects=headers.get("expect", "").lower() == "100-continue",
        )
        self._begin(self.newest)

    def on_body(self, body: bytes) -> None:
        """A part of a body that has no memory of its own."""
        self._beside = 0
        assert self.newest is not None
        incoming = self.newest.request.body
        incoming.come += len(body)
        if not self.newest.answered:
            incoming.add(body)

    def on_message_complete(self) -> None:
        """All of a request."""
        if self._parser.should_upgrade():
            return  # its body is still to come
        assert self.newest is not None
        self.at_rest = self.newest.whole = True
        self.newest.request.body.add(None)


def _headers(lines: Sequence[tuple[str, str]]) -> dict[str, str]:
    """By name; lines of one name are one list (RFC 9110, 5.3)."""
    headers = dict(lines)
    if len(headers) == len(lines):
        return headers
    values: dict[str, list[str]] = {}
    for name, text in lines:
        values.setdefault(name, []).append(text)
    return {name: ", ".join(found) for name, found in values.items()}
