"""A proxy between the operator and the API server that fails as it is told: the faults of a network and a control plane.

It speaks plain HTTP to the operator and TLS to the API server, and passes credentials on. One thread a connection.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self, cast
from urllib.parse import parse_qs, urlsplit

WRITES = ("POST", "PUT", "PATCH", "DELETE")
GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"},
}
#: An answer made up by the proxy: status code and headers.
Failure = tuple[int, dict[str, str]]


class Proxy:
    """Listens on loopback. `before` and `after` see every write of a child or a status, numbered from 1."""

    def __init__(self, url: str, kubeconfig: Path, folder: Path) -> None:
        self.target = urlsplit(url)
        config = json.loads(kubeconfig.read_text())
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None
        self.fail: Callable[[str, str], Failure | None] = lambda *_: None
        self.writes = 0
        self.watches: dict[str, int] = {}  # how often each kind's watch was opened
        self._lock = threading.Lock()
        self._cut: set[str] = set()
        self._gone: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.proxy = self  # type: ignore[attr-defined]
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        self.kubeconfig = folder / "proxy-kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def cut(self, plural: str) -> None:
        """End the watch of a kind at its next event, which is lost, and let none be opened until `expire`."""
        self._cut.add(plural)

    def expire(self, plural: str) -> None:
        """Let watches be opened again; the next one is told that its version is too old (410)."""
        self._gone.add(plural)
        self._cut.discard(plural)

    def is_cut(self, plural: str) -> bool:
        return plural in self._cut

    def takes_gone(self, plural: str) -> bool:
        """Whether this watch is the one to be told 410."""
        with self._lock:
            gone = plural in self._gone
            self._gone.discard(plural)
            return gone

    def count_write(self) -> int:
        with self._lock:
            self.writes += 1
            return self.writes

    def count_watch(self, plural: str) -> None:
        with self._lock:
            self.watches[plural] = self.watches.get(plural, 0) + 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: ClassVar = ("Content-Type", "Retry-After")

    @property
    def proxy(self) -> Proxy:
        return cast("Proxy", self.server.proxy)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError, http.client.HTTPException):
            self.close_connection = True  # the operator or the API server went away

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        counted = self.command in WRITES and "/leases" not in self.path and "/events" not in self.path
        number = self.proxy.count_write() if counted else 0
        if number:
            self.proxy.before(number)
        if failure := self.proxy.fail(self.command, self.path):
            self._answer(failure[0], json.dumps({"kind": "Status", "code": failure[0]}).encode(), failure[1])
        elif "watch" in parse_qs(urlsplit(self.path).query):
            self._watch(urlsplit(self.path).path.rpartition("/")[2], body)
        else:
            with self._forward(body) as answer:
                raw = answer.read()
            if number:
                self.proxy.after(number)
            self._answer(answer.status, raw, {k: v for k, v in answer.getheaders() if k in self.kept})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - names of the base class

    def _answer(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    @contextmanager
    def _forward(self, body: bytes | None) -> Iterator[http.client.HTTPResponse]:
        target = self.proxy.target
        connection = http.client.HTTPSConnection(target.hostname or "", target.port, context=self.proxy.tls, timeout=90)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        try:
            connection.request(self.command, self.path, body, headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def _watch(self, plural: str, body: bytes | None) -> None:
        self.close_connection = True
        if self.proxy.is_cut(plural):
            return
        if self.proxy.takes_gone(plural):
            self._answer(200, json.dumps(GONE).encode() + b"\n", {"Content-Type": "application/json"})
            return
        self.proxy.count_watch(plural)
        with self._forward(body) as answer:
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            while (chunk := answer.read1(65536)) and not self.proxy.is_cut(plural):
                self.wfile.write(chunk)
                self.wfile.flush()
