"""One connection: uvicorn's protocol with a clock, so that a client who sends slowly or reads nothing holds no place for ever.

uvicorn ends a connection that is idle after an answer; what it leaves open is one that never sends a whole head, one that goes on
with a body after its answer, and one that does not read. Bodies on their way to a handler have their own clock (`http/body.py`),
and their own way (`http/incoming.py`): uvicorn's would copy each byte four times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Final

import httptools
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from crackseg_serving.http.incoming import Incoming

_BESIDE: Final = 64 << 10  # bytes of one head, or between two parts of a body: the parser would take any number of them
_TOO_LONG: Final = b"the head of the request, or what stands beside its body, is too long\n"
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TOO_LONG), _TOO_LONG)
)

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})  # where a request ends

#: What is read before it is known where it belongs. One for all connections: it is read out before the next one fills it.
_SCRATCH: Final = memoryview(bytearray(1 << 16))


class Connection(HttpToolsProtocol):
    """See the module. A client has `head_seconds` to send a head; bodies of at most `most` bytes come to memory of their own."""

    head_seconds: ClassVar[float]
    most: ClassVar[int]

    body: Incoming | None = None  # of the request that is coming in
    _clock: asyncio.TimerHandle | None = None
    _unread = 0  # bytes, when last looked at
    _beside = 0  # bytes that have come since a head was whole, or a part of a body was there
    _whole = False  # all of a request has come, and nothing since
    _declining = False  # while a new parser is told of a request that it has not seen

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start()

    def pause(self) -> None:
        """Enough of a body for now."""
        self.flow.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.flow.resume_reading()

    def ask(self) -> None:
        """Somebody waits for more of a body."""
        if self.cycle.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.cycle.waiting_for_100_continue = False
        self.flow.resume_reading()

    def room(self) -> memoryview:
        """Where the next bytes are to be received."""
        body = self.body
        if body is None or not body.missing:
            return _SCRATCH
        return _SCRATCH[: body.missing] if self.cycle.response_complete else body.room

    def received(self, size: int) -> None:
        """So many bytes have come to that room."""
        if self.body is not None and self.body.missing:
            self._fill(self.body, size)
        else:
            self.data_received(_SCRATCH[:size])
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and (self._whole or not cycle.response_complete):
            self._stop()
            if cycle.response_complete and not self.transport.is_closing():
                self._wait_for_the_next()  # the rest of a body came after the answer
        else:
            self._start()  # between two requests: in a head, or in a body that nobody waits for any more

    @override
    def data_received(self, data: bytes | memoryview) -> None:
        self._beside += len(data)
        self._whole = False
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._beside > _BESIDE and not self.transport.is_closing():
            self._end_too_long()
        body = self.body
        if body is not None and body.announced and not self.transport.is_closing():
            body.make_room(self.most)

    def _parse(self, data: bytes | memoryview) -> None:
        """Raises HttpParserError."""
        while True:
            try:
                self.parser.feed_data(data)
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
        self.parser = _parser(self)
        framing = [name + b": " + value + b"\r\n" for name, value in self.headers if name in _FRAMING]
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        self._declining = False

    def _fill(self, body: Incoming, size: int) -> None:
        """More of a body that the parser does not see; when it is whole, a new parser waits for the next head."""
        self._unset_keepalive_if_required()
        body.fill(size, wanted=not self.cycle.response_complete)
        if not body.missing:
            self.parser = _parser(self)
            self.on_message_complete()

    @override
    def on_message_begin(self) -> None:
        self._whole = False
        if self._declining:
            return
        super().on_message_begin()
        self.body = Incoming(self)
        self.scope["state"]["body"] = self.body

    @override
    def on_url(self, url: bytes) -> None:
        if not self._declining:
            super().on_url(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._declining:
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._beside = 0
        if self._declining:
            return
        super().on_headers_complete()
        if self.body is not None:  # the parser has seen to it that it is a number, and there but once
            self.body.announced = int(next((value for name, value in self.headers if name == b"content-length"), b"0"))

    @override
    def on_body(self, body: bytes) -> None:
        self._beside = 0
        if self.body is not None:
            self.body.come += len(body)
            if not self.cycle.response_complete:
                self.body.add(body)

    @override
    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # its body is still to come
        self._whole = True
        super().on_message_complete()
        if self.body is not None:
            self.body.add(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        if self.body is not None:
            self.body.lose()
        super().connection_lost(exc)

    @override
    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for a while: the end, unless a large answer is still being read."""
        unread, before = self.transport.get_write_buffer_size(), self._unread
        self._unread = unread
        if not unread:
            super().timeout_keep_alive_handler()
        elif before and unread >= before:
            self.transport.abort()
        else:
            self._wait_for_the_next()

    def _wait_for_the_next(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _end_too_long(self) -> None:
        """Who sends headers, notes on chunks or trailers without an end."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.write(_REFUSAL)
        self.transport.close()

    def _start(self) -> None:
        if self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def _parser(connection: Connection) -> httptools.HttpRequestParser:
    """As uvicorn's own."""
    parser = httptools.HttpRequestParser(connection)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class Wire(asyncio.BufferedProtocol):
    """What the event loop sees of a connection: it asks where bytes belong, and does not make an object of each part."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.connection_made(transport)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._connection.room()

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._connection.received(nbytes)

    @override
    def eof_received(self) -> None:
        self._connection.eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        self._connection.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._connection.resume_writing()


def connection(seconds: float, most: int) -> Callable[..., Wire]:
    """What makes a protocol for each of uvicorn's connections."""
    made = type("TimedConnection", (Connection,), {"head_seconds": seconds, "most": most})
    return lambda **context: Wire(made(**context))
