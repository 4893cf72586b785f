"""A proxy between the operator and the API server that fails as it is told: the faults of a network and a control plane.

It speaks plain HTTP to the operator and TLS to the API server, and passes credentials on. One thread a connection.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

WRITES = ("POST", "PUT", "PATCH", "DELETE")
GONE = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"}}


class Proxy:
    """Listens on loopback. `before` and `after` see every write: its number from 1, its method and path."""

    def __init__(self, url: str, kubeconfig: Path, folder: Path) -> None:
        self.target = urlsplit(url)
        source = json.loads(kubeconfig.read_text())
        authority = source["clusters"][0]["cluster"]["certificate-authority-data"]
        import base64

        self.tls = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
        self.before: Callable[[int, str, str], None] = lambda *_: None
        self.after: Callable[[int, str, str], None] = lambda *_: None
        self.fail: Callable[[str, str], tuple[int, dict[str, str]] | None] = lambda *_: None
        self.writes = 0
        self._lock = threading.Lock()
        self._cut: set[str] = set()
        self._gone: set[str] = set()
        self._streams: dict[str, list[http.client.HTTPResponse]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        source["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        self.kubeconfig = folder / "proxy-kubeconfig"
        self.kubeconfig.write_text(json.dumps(source))

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def cut(self, plural: str) -> None:
        """End the watches of a kind and let none be opened until `expire`."""
        self._cut.add(plural)
        for stream in self._streams.pop(plural, []):
            stream.close()

    def expire(self, plural: str) -> None:
        """Let watches be opened again; the next one is told that its version is too old (410)."""
        self._gone.add(plural)
        self._cut.discard(plural)

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's self is another
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                write = 0
                if self.command in WRITES and "/leases" not in self.path and "/events" not in self.path:
                    with proxy._lock:
                        proxy.writes += 1
                        write = proxy.writes
                    proxy.before(write, self.command, self.path)
                if failure := proxy.fail(self.command, self.path):
                    self._answer(failure[0], b'{"kind":"Status","code":%d}' % failure[0], failure[1])
                    return
                plural = urlsplit(self.path).path.rpartition("/")[2]
                if "watch" in parse_qs(urlsplit(self.path).query):
                    self._watch(plural, body)
                    return
                if plural in proxy._cut:
                    self.close_connection = True
                    return
                answer = self._forward(body)
                raw = answer.read()
                if write:
                    proxy.after(write, self.command, self.path)
                kept = {name: value for name, value in answer.getheaders() if name in ("Content-Type", "Retry-After")}
                self._answer(answer.status, raw, kept)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815 - names of the base class

            def _answer(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def _forward(self, body: bytes | None) -> http.client.HTTPResponse:
                connection = http.client.HTTPSConnection(
                    proxy.target.hostname or "", proxy.target.port, context=proxy.tls, timeout=120
                )
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body, headers)
                return connection.getresponse()

            def _watch(self, plural: str, body: bytes | None) -> None:
                self.close_connection = True
                if plural in proxy._cut:
                    return
                if plural in proxy._gone and "resourceVersion" in parse_qs(urlsplit(self.path).query):
                    proxy._gone.discard(plural)
                    self._answer(200, json.dumps(GONE).encode() + b"\n", {"Content-Type": "application/json"})
                    return
                answer = self._forward(body)
                proxy._streams.setdefault(plural, []).append(answer)
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                try:
                    while chunk := answer.read1(65536):
                        if plural in proxy._cut:
                            return
                        self.wfile.write(chunk)
                        self.wfile.flush()
                except (OSError, ValueError, AttributeError, http.client.HTTPException):
                    return

        return Handler
