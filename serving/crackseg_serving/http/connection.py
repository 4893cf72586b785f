"""One connection: uvicorn's protocol with a clock, so that a client who sends slowly or reads nothing holds no place for ever.

uvicorn ends a connection that is idle after an answer; what it leaves open is one that never sends a whole head, one that goes on
with a body after its answer, and one that does not read. Bodies on their way to a handler have their own clock (`http/body.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class Connection(HttpToolsProtocol):
    """See the module. A client has `head_seconds` to send a head."""

    head_seconds: ClassVar[float]

    _clock: asyncio.TimerHandle | None = None
    _unread = 0  # bytes, when last looked at

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._start()  # between two requests: in a head, or in a body that nobody waits for any more
        else:
            self._stop()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
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
