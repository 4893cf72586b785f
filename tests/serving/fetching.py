"""One run of the init container's command, and web servers for it to ask."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving.process import DEADLINE, environment

from crackseg_serving.contract import Report

Handler = Callable[[http.server.BaseHTTPRequestHandler], None]
PATIENCE = {"MODEL_FETCH_ATTEMPTS": "2", "MODEL_READ_TIMEOUT_SECONDS": "2"}


class Fetched:
    """One run of the command, and what it left."""

    def __init__(self, folder: Path, uri: str, **settings: str) -> None:
        self.target = folder / "models" / "model.onnx"
        log = folder / "termination-log"
        log.unlink(missing_ok=True)
        env = environment(MODEL_URI=uri, MODEL_PATH=str(self.target), TERMINATION_LOG=str(log), **PATIENCE, **settings)
        run = subprocess.run(
            [sys.executable, "-m", "crackseg_serving.sources"],
            env=env,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        self.code, self.output = run.returncode, run.stdout + run.stderr
        self.report = Report.parse(log.read_text()) if log.exists() else None

    def failed(self, reason: str) -> str:
        """The sentence of a failure with this reason; nothing may have been left at the target."""
        assert self.report is not None, self.output
        assert (self.code, self.report.reason) == (1, reason), self.output
        assert self.report.message in self.output
        assert not self.target.exists()
        assert not self.target.parent.exists() or not list(self.target.parent.iterdir())
        return self.report.message


@contextmanager
def web(handle: Handler) -> Iterator[str]:
    """A web server on loopback whose GET is `handle`; gives its address."""

    class Requests(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *_line: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(status)
    request.send_header("Content-Length", headers.pop("length", str(len(body))))
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
