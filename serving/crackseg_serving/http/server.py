"""The HTTP server around the application: its ports, its connections, and their end.

When to stop is not its affair: `life` says not ready first, then drains, then ends it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from crackseg_serving.http.connection import Application, Connection, Terms

_BACKLOG = 1024  # connections that may wait to be taken
_MOMENT = 0.02  # seconds


class Server:
    """Everything that listens, and every connection that came of it."""

    def __init__(self, application: Application, client_seconds: int, most: int) -> None:
        """A client has `client_seconds` to send a head; bodies of at most `most` bytes get memory of their own."""
        self._terms = Terms(application, client_seconds, most, set())
        self._listening: list[asyncio.Server] = []
        self._looking: asyncio.Task[None] | None = None

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Take what comes from now on."""
        loop = asyncio.get_running_loop()
        self._looking = loop.create_task(self._look())
        for one in listeners:
            self._listening.append(
                await loop.create_server(lambda: Connection(self._terms), sock=one, backlog=_BACKLOG)
            )

    async def stop(self, grace_seconds: float) -> None:
        """Listen no more; what is being answered has so long to end."""
        for listening in self._listening:
            listening.close()
        for connection in list(self._terms.connections):
            connection.shut()
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace_seconds
        while self._terms.connections and loop.time() < ends:  # noqa: ASYNC110 - an event for each connection would cost more
            await asyncio.sleep(_MOMENT)
        for connection in list(self._terms.connections):
            connection.abort()
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        """One look at all connections now and then costs less than a clock for each request."""
        loop, pause = asyncio.get_running_loop(), min(1.0, self._terms.client_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for connection in list(self._terms.connections):
                connection.look(now)


def listen(host: str, port: int, client_seconds: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises OSError, which names host and port.

    Its connections end when nothing is heard of a client for `client_seconds`: it vanished, or its link did.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _notice_who_vanishes(listener, client_seconds)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    return listener


def _notice_who_vanishes(listener: socket.socket, seconds: int) -> None:
    """Connections have what their listener has. Linux asks a silent client after half of the time, and twice more.

    What has been sent and is not confirmed, or not taken by who stops reading, ends a connection after the same time.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", -(-seconds // 2)),
        ("TCP_KEEPINTVL", -(-seconds // 4)),
        ("TCP_USER_TIMEOUT", 1000 * seconds),
    ):
        if hasattr(socket, option):  # as it is on Linux
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
