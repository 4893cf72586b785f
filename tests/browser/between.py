"""Somebody between the page and the server: passes everything on, but can refuse photographs as a busy server does, or hold them."""

from __future__ import annotations

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

DEADLINE = 120.0
RETRY_AFTER = 2  # seconds


class Between:
    """A proxy on a port of its own. `busy`: how many photographs are still to be refused; `opened`: whether the others go on."""

    def __init__(self, port: int) -> None:
        self.busy = 0
        self.opened = threading.Event()
        self.opened.set()
        self.inside = self.most = 0
        self.times: list[float] = []  # when photographs came
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.pass_on(self, port)

            def do_POST(self) -> None:
                owner.photograph(self, port)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A browser that cancels closes its connection."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def photographs(self) -> int:
        """How many have come."""
        return len(self.times)

    def photograph(self, request: BaseHTTPRequestHandler, port: int) -> None:
        with self._lock:
            self.times.append(time.monotonic())
            self.inside += 1
            self.most = max(self.most, self.inside)
            refused, self.busy = self.busy > 0, max(0, self.busy - 1)
        try:
            body = request.rfile.read(int(request.headers["Content-Length"]))
            if refused:
                self._refuse(request)
                return
            self.opened.wait(DEADLINE)
            self.pass_on(request, port, body)
        finally:
            with self._lock:
                self.inside -= 1

    def _refuse(self, request: BaseHTTPRequestHandler) -> None:
        problem = b'{"title": "Too many requests", "status": 429, "detail": "the queue is full: come back later"}'
        request.send_response(429)
        request.send_header("Retry-After", str(RETRY_AFTER))
        request.send_header("Content-Type", "application/problem+json")
        request.send_header("Content-Length", str(len(problem)))
        request.end_headers()
        request.wfile.write(problem)

    def pass_on(self, request: BaseHTTPRequestHandler, port: int, body: bytes | None = None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request(
                request.command, request.path, body, {"Content-Type": request.headers.get("Content-Type", "")}
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)
