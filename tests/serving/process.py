"""The real server as a process of its own, and a plain HTTP client for it."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DEADLINE = 120.0  # seconds: what comes at all comes in a tenth of it, unless the machine is busy

#: An iterator is sent in chunks, its length not announced.
Body = bytes | Iterator[bytes] | None


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with the server's packages, and `settings`."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "serving"), **settings}


class ServerProcess:
    """`python -m crackseg_serving`, its log, and its end."""

    def __init__(self, folder: Path, *, within: Sequence[str] = (), **settings: str) -> None:
        """`within` is a command that runs the server's as its arguments: in a network of its own, for example."""
        self.termination_log = folder / "termination-log"
        self.lines: list[dict[str, Any]] = []
        self._ports: queue.Queue[int] = queue.Queue()
        env = environment(
            APP_HOST="127.0.0.1",
            APP_PORT="0",
            GRPC_PORT="0",
            DRAIN_SECONDS="0",
            TERMINATION_LOG=str(self.termination_log),
        )
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "crackseg_serving"],
            env={**env, **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._port = 0

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"message": line.rstrip()}
            self.lines.append(entry)
            if entry["message"] == "listening":
                self._ports.put(entry["port"])

    @property
    def port(self) -> int:
        """The port it listens on; waits until it does."""
        self._port = self._port or self._ports.get(timeout=DEADLINE)
        return self._port

    def ask(self, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None) -> Answer:
        return ask(self.port, method, path, body, headers)

    def segment(self, body: Body, query: str = "", **headers: str) -> Answer:
        return self.ask("POST", f"/v1/segment{query}", body, {"Content-Type": "image/png", **headers})

    def wait_ready(self) -> ServerProcess:
        """Poll /ready until it says yes."""
        give_up = time.monotonic() + DEADLINE
        while self.ask("GET", "/ready").status != 200:
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < give_up, self.lines
            time.sleep(0.02)
        return self

    def metric(self, name: str) -> float:
        """One figure of /metrics, named with its labels."""
        text = self.ask("GET", "/metrics").body.decode()
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def kill(self) -> None:
        """Whatever it does: no process is left behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
