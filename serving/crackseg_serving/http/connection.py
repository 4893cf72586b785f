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
        if cycle is None or cycle.response_complete:
            self._start()  # between two requests: in a head, or in a body that nobody waits for any more
        else:
            self._stop()

    @override
    def data_received(self, data: bytes | memoryview) -> None:
        self._beside += len(data)
        super().data_received(data)  # type: ignore[arg-type]  # the parser takes both
        if self._beside > _BESIDE and not self.transport.is_closing():
            self._end_too_long()
        body, closing = self.body, self.transport.is_closing()
        if body is not None and body.announced and not closing and not self.parser.should_upgrade():
            body.make_room(self.most)

    def _fill(self, body: Incoming, size: int) -> None:
        """More of a body that the parser does not see; when it is whole, a new parser waits for the next head."""
        self._unset_keepalive_if_required()
        body.fill(size, wanted=not self.cycle.response_complete)
        if not body.missing:
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self.on_message_complete()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.body = Incoming(self)
        self.scope["state"]["body"] = self.body

    @override
    def on_headers_complete(self) -> None:
        self._beside = 0
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
            again = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = again

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
