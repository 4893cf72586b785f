"""A web server that has a photograph, and every fault that one can have: where images by URL come from.

Used by the tests in their own process, and run as a program in a network of its own: `python -m tests.serving.http.upstream
CERTIFICATE KEY` listens on 80 and 443 and says so.
"""

from __future__ import annotations

import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.serving.pictures import cracked, encoded

PHOTOGRAPH = encoded(cracked()[0])


class Upstream(BaseHTTPRequestHandler):
    """GET only."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, str]]] = []  # headers of every request, for whoever wants to know what was sent

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        name = parts.path.strip("/").replace("-", "_") or "nothing"
        answer = getattr(self, f"_{name}", None)
        if answer is None:
            self._send(404, b"no")
        else:
            answer(**{key: values[-1] for key, values in parse_qs(parts.query).items()})

    def _photograph(self, **_: str) -> None:
        self._send(200, PHOTOGRAPH)

    def _mislabelled(self) -> None:
        self._send(200, PHOTOGRAPH, {"Content-Type": "text/html"})

    def _page(self) -> None:
        self._send(200, b"<html>sign in</html>", {"Content-Type": "image/png"})

    def _empty(self) -> None:
        self._send(200, b"")

    def _packed(self) -> None:
        self._send(200, PHOTOGRAPH, {"Content-Encoding": "gzip"})

    def _redirect(self, to: str = "") -> None:
        self._send(302, b"", {"Location": to} if to else {})

    def _circle(self) -> None:
        self._send(301, b"", {"Location": "/circle"})

    def _cookie(self) -> None:
        self._send(302, b"", {"Location": "/photograph", "Set-Cookie": "a=b"})

    def _announced(self) -> None:
        self._send(200, b"", {"Content-Length": str(1 << 40)})

    def _endless(self) -> None:
        """More than anyone takes, its length not announced."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            return

    def _broken(self) -> None:
        """Half of what was announced."""
        self._send(200, PHOTOGRAPH[: len(PHOTOGRAPH) // 2], {"Content-Length": str(len(PHOTOGRAPH))})
        self.close_connection = True

    def _slow(self) -> None:
        """A byte now and then, for as long as anyone waits."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(1000):
                self.wfile.write(b"x")
                time.sleep(0.2)
        except OSError:
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "image/png", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    plain, secure = (ThreadingHTTPServer(("0.0.0.0", port), Upstream) for port in (80, 443))
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    print("listening", flush=True)
    plain.serve_forever()


if __name__ == "__main__":
    main()
