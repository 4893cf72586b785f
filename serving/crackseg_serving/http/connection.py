"""One connection: uvicorn's protocol with a clock, so that a client who sends slowly or reads nothing holds no place for ever.

uvicorn ends a connection that is idle after an answer; what it leaves open is one that never sends a whole head, one that goes on
with a body after its answer, and one that does not read. Bodies on their way to a handler have their own clock (`http/body.py`),
and their own way: uvicorn's would copy each byte twice more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, ClassVar, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_UNREAD: Final = 1 << 20  # bytes that may come before a handler takes them
_BESIDE: Final = 64 << 10  # bytes of one head, or between two parts of a body: the parser would take any number of them
_TOO_LONG: Final = b"the head of the request, or what stands beside its body, is too long\n"
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TOO_LONG), _TOO_LONG)
)


class Body:
    """A request's body on its way from a connection to the handler: each part is taken once, as it came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: deque[bytes | None] = deque()  # None: that was all
        self._unread = 0
        self._lost = False
        self._more = asyncio.Event()

    def add(self, part: bytes | None) -> None:
        """The next part has come; None: there is no more."""
        self._parts.append(part)
        self._unread += len(part or b"")
        if self._unread > _UNREAD:
            self._connection.flow.pause_reading()
        self._more.set()

    def lose(self) -> None:
        """The client is gone; where the body is not whole, it never will be."""
        self._lost = True
        self._more.set()

    async def part(self) -> bytes | None:
        """The next part, as soon as it is there; None after the last. Raises ConnectionResetError."""
        if not self._parts:
            self._ask()
            self._more.clear()
            while not self._parts and not self._lost:
                await self._more.wait()
        if not self._parts:
            raise ConnectionResetError
        part = self._parts.popleft()
        self._unread -= len(part or b"")
        return part

    def _ask(self) -> None:
        cycle, transport = self._connection.cycle, self._connection.transport
        if cycle.waiting_for_100_continue and not transport.is_closing():
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        self._connection.flow.resume_reading()


class Connection(HttpToolsProtocol):
    """See the module. A client has `head_seconds` to send a head."""

    head_seconds: ClassVar[float]

    body: Body | None = None  # of the request that is coming in
    _clock: asyncio.TimerHandle | None = None
    _unread = 0  # bytes, when last looked at
    _beside = 0  # bytes that have come since a head was whole, or a part of a body was there

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start()

    @override
    def data_received(self, data: bytes) -> None:
        self._beside += len(data)
        super().data_received(data)
        if self._beside > _BESIDE and not self.transport.is_closing():
            self._end_too_long()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._start()  # between two requests: in a head, or in a body that nobody waits for any more
        else:
            self._stop()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.body = Body(self)
        self.scope["state"]["body"] = self.body

    @override
    def on_headers_complete(self) -> None:
        self._beside = 0
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._beside = 0
        if self.body is not None and not self.cycle.response_complete:
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


def connection(seconds: float) -> type[Connection]:
    """The protocol's class, for uvicorn, which makes one for each connection."""
    return type("TimedConnection", (Connection,), {"head_seconds": seconds})
