"""Programs that are measured: the server, the bare loop, the load generators; and what a process tree takes, from /proc."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.serving.kinds import GRPC_METHOD, Kind

from crackseg_local.controlplane import free_port

ROOT = Path(__file__).parents[3]
DEADLINE = 120.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Use:
    """What a process tree has taken."""

    cpu: float  # seconds
    pss: float  # MiB: memory, with shared pages shared out
    processes: int


def use_of(pid: int) -> Use:
    """Of a process and all below it."""
    tree, cpu, pss = [pid], 0.0, 0.0
    for one in tree:  # grows on the way
        folder = Path("/proc") / str(one)
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / _TICK
            rollup = (folder / "smaps_rollup").read_text()
            pss += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            for thread in (folder / "task").iterdir():
                tree += [int(child) for child in (thread / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Use(cpu, pss, len(tree))


def python(module: str, *arguments: object, wait: float = DEADLINE) -> dict[str, Any]:
    """Run one of the benchmark's own programs; its line of JSON."""
    command = [sys.executable, "-m", f"tests.bench.serving.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=wait, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment(**settings: str) -> dict[str, str]:
    """This process's, with the server's packages and `settings`."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'serving'}", **settings}


class Served:
    """A server with one model, until it is stopped."""

    def __init__(self, model: Path, side: int, log: Path) -> None:
        self.port, self.grpc_port = free_port(), free_port()
        settings = {
            "APP_HOST": "127.0.0.1",
            "APP_PORT": str(self.port),
            "GRPC_PORT": str(self.grpc_port),
            "MODEL_PATH": str(model),
            "MODEL_NAME": model.stem,
            "TILE_SIZE": str(side),
            "DRAIN_SECONDS": "0",
            "TERMINATION_LOG": str(log.with_suffix(".reason")),
        }
        self._log = log.open("w")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crackseg_serving"], cwd=ROOT, env=environment(**settings), stderr=self._log
        )

    def use(self) -> Use:
        """What it has taken so far."""
        return use_of(self.process.pid)

    def ask(self, kind: Kind) -> bytes:
        """One request; the answer's body. Raises OSError, or ValueError for another status than 200."""
        if kind.grpc:
            import grpc

            with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
                answer: bytes = channel.unary_unary(GRPC_METHOD)(kind.body, timeout=DEADLINE)
            return answer
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("POST", kind.path, kind.body, dict(line.split(": ", 1) for line in kind.headers))
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(f"{kind.name}: {response.status} {body[:300]!r}")
        return body

    def cold_start(self, kind: Kind) -> tuple[float, float]:
        """Seconds from the start of the process to its first good answer, and its CPU seconds by then."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {Path(self._log.name).read_text()[-500:]}")
            try:
                self.ask(kind)
            except (OSError, ValueError):
                if time.monotonic() > self.began + DEADLINE:
                    raise
                time.sleep(0.01)
            else:
                return time.monotonic() - self.began, self.use().cpu

    def speaks_grpc(self) -> bool:
        """Whether something listens on the gRPC port, and a client is installed."""
        try:
            import grpc  # noqa: F401
        except ImportError:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.grpc_port)) == 0

    def load(self, kind: Kind, body: Path, *options: object, wait: float = DEADLINE) -> dict[str, Any]:
        """One load, with the server's CPU milliseconds a request and its memory at the end."""
        module, port = ("grpc_load", self.grpc_port) if kind.grpc else ("load", self.port)
        headers = [part for line in kind.headers for part in ("-H", line)]
        before = self.use().cpu
        found = python(
            module, f"http://127.0.0.1:{port}{'' if kind.grpc else kind.path}", body, *headers, *options, wait=wait
        )
        after = self.use()
        found |= {"cpu": (after.cpu - before) * 1e3 / max(1, found["answered"]), "pss": after.pss}
        return found

    def stop(self) -> None:
        """No process is left behind."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
