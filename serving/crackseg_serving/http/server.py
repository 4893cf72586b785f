"""The HTTP server around the application: uvicorn with httptools and uvloop, and a life of its own.

uvicorn owns sockets and HTTP; when to stop is ours: on SIGTERM not ready first, then drain, then the end.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator

import uvicorn
from typing_extensions import override

from crackseg_serving.http.app import App
from crackseg_serving.http.connection import connection

#: Longer than proxies keep idle connections (Traefik 90 s): who closes first must not be the one being asked.
_KEEP_ALIVE_SECONDS = 120


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers."""

    def __init__(self, app: App, grace_seconds: int, client_seconds: int, most: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection(client_seconds, most),  # type: ignore[arg-type]  # called as the class would be
                loop="none",
                lifespan="off",
                interface="asgi3",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                backlog=1024,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=grace_seconds,
            )
        )

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


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
        listener.listen(1024)
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
