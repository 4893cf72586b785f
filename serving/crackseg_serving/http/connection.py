"""One connection: requests in, answers out in their order, and a clock for whoever sends slowly or reads nothing.

A protocol of the event loop, and not a server library's: what it costs is a part of every request (docs/decisions/0006). `reading` makes
requests of bytes and `wire` bytes of answers; the application between them is a function, and what it does is its own affair.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from typing_extensions import override

from crackseg_serving.http import wire
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.reading import Exchange, NoRequest, Reader
from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.http")
#: Longer than proxies keep idle connections (Traefik 90 s): who closes first must not be the one being asked.
_KEEP_ALIVE_SECONDS: Final = 120

Send = Callable[[Response], Awaitable[None]]
Application = Callable[[Request, Send], Awaitable[None]]  # sends one answer


@value
class Terms:
    """What all connections of a server have in common."""

    application: Application
    client_seconds: int  # for a client to send a head, or to take a part of an answer
    most: int  # bytes of a body that gets memory of its own before it comes
    connections: set[Connection]  # those that are open, or still being answered


class Connection(asyncio.BufferedProtocol):
    """See the module. `look` is to be called every now and then."""

    _transport: asyncio.Transport
    _writable: asyncio.Future[None] | None = None  # there while the client reads more slowly than answers are written
    _due = math.inf  # when something must have happened, by the event loop's clock
    _pressed = False  # the client is in the middle of something that nobody waits for
    _unread = 0  # bytes of answers, when last looked at
    _paused = False  # nothing is read
    _lost = False
    _last_words = b""  # what is no request has come: this follows the answers that are still due, and then the end
    _closing = False  # no request after those that are here

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(self, terms.most, self._take)
        self._exchanges: deque[Exchange] = deque()  # not answered yet: the first is being answered

    # What the event loop tells.

    @override
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._terms.connections.add(self)
        self._press()

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.room

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._last_words:
            return
        try:
            self._reader.take(nbytes)
        except NoRequest as error:
            self._end_with(wire.refusal(error.status, error.message))
        if not self._exchanges:
            self._rest()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        for exchange in self._exchanges:
            exchange.request.body.lose()
        while len(self._exchanges) > 1:  # the first is being answered; nobody is there for the others
            self._exchanges.pop()
        self.resume_writing()
        self._leave()

    @override
    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    @override
    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the server tells.

    def look(self, now: float) -> None:
        """Whether what was due has come; `now` by the event loop's clock."""
        if now < self._due or self._transport.is_closing():
            return
        unread, before = self._transport.get_write_buffer_size(), self._unread
        self._unread = unread
        if self._pressed or (before and unread >= before):
            self._transport.abort()
        elif unread:  # a large answer is still being read
            self._due = now + _KEEP_ALIVE_SECONDS
        else:
            self._transport.close()

    def shut(self) -> None:
        """Answer what is here, and end."""
        self._closing = True
        if not self._exchanges:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    # What bodies ask for.

    def pause(self) -> None:
        """Enough of a body for now."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def ask(self) -> None:
        """Somebody waits for more of a body."""
        first = self._exchanges[0] if self._exchanges else None
        if first is not None and first.expects and not self._transport.is_closing():
            self._transport.write(wire.CONTINUE)
            first.expects = False
        self.resume()

    # Requests.

    def _take(self, exchange: Exchange) -> None:
        """The head of a request has come; those before it are answered first."""
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            self._begin(exchange)
        else:
            self.pause()

    def _end_with(self, last_words: bytes) -> None:
        """What has come is no request: answer those before it, say so, and end."""
        self._last_words = last_words
        newest = self._reader.newest
        if newest is not None and not (
            newest.whole or newest.answered
        ):  # it ends in its middle: nothing is to be answered
            newest.answered = True
            newest.request.body.lose()
            self._exchanges.remove(newest)
        if self._exchanges:
            self.pause()
        else:
            self._transport.write(last_words)
            self._transport.close()

    # Answers.

    def _begin(self, exchange: Exchange) -> None:
        self._due, self._pressed = math.inf, False
        exchange.task = self._loop.create_task(self._run(exchange))

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._terms.application(exchange.request, partial(self._send, exchange))
        except Exception:  # noqa: BLE001 - the last line of defence: logged, and the server goes on
            _LOG.exception("request %s: its answer could not be sent", exchange.request.id)
            self._transport.abort()
        finally:
            self._end(exchange)

    async def _send(self, exchange: Exchange, response: Response) -> None:
        """Write an answer; it is on its way when this returns."""
        stream = response.stream
        chunked = stream is not None and exchange.in_chunks
        if (stream is not None and not chunked) or response.headers.get("Connection") == "close":
            exchange.keep_alive = False
        if self._writable is not None:
            await self._writable
        if exchange.answered or self._transport.is_closing():
            exchange.answered = True
            if stream is not None:
                await stream.aclose()
            return
        exchange.expects = False
        head = wire.head(response, close=not exchange.keep_alive, chunked=chunked)
        body = b"" if exchange.request.method == "HEAD" else response.body
        self._transport.writelines((head, body) if body else (head,))
        exchange.answered = stream is None or await self._stream(stream, chunked=chunked)

    async def _stream(self, stream: AsyncGenerator[bytes, None], *, chunked: bool) -> bool:
        """Write an answer part by part. False where the client does not read on: it holds a place for nothing."""
        async with aclosing(stream) as parts:
            async for part in parts:
                if part:
                    self._transport.write(wire.chunk(part) if chunked else part)
                try:
                    async with asyncio.timeout(self._terms.client_seconds):
                        await (self._writable or asyncio.sleep(0))
                except TimeoutError:
                    return False
                if self._transport.is_closing():
                    return False
        if chunked:
            self._transport.write(wire.LAST_CHUNK)
        return True

    def _end(self, exchange: Exchange) -> None:
        """The application is done with it."""
        if self._exchanges and self._exchanges[0] is exchange:
            self._exchanges.popleft()
        exchange.request.body.drop()
        if not exchange.answered:
            self._transport.abort()
        elif not self._lost and not self._transport.is_closing():
            self._go_on(exchange)
        self._leave()

    def _go_on(self, exchange: Exchange) -> None:
        """After its answer: the next one, what is left to say, or a rest."""
        if not exchange.keep_alive:
            self._exchanges.clear()
            self._transport.close()
        elif self._exchanges:
            self._begin(self._exchanges[0])
            self.resume()
        elif self._last_words or self._closing:
            self._transport.write(self._last_words)
            self._transport.close()
        else:
            self.resume()
            self._rest()

    def _rest(self) -> None:
        """Nothing is being answered: the client may take its time between two requests, and not in the middle of one."""
        if self._transport.is_closing():
            return
        if self._reader.at_rest:
            self._due, self._pressed = self._loop.time() + _KEEP_ALIVE_SECONDS, False
        elif not self._pressed:
            self._press()

    def _press(self) -> None:
        self._due, self._pressed = self._loop.time() + self._terms.client_seconds, True

    def _leave(self) -> None:
        if self._lost and not self._exchanges:
            self._terms.connections.discard(self)
