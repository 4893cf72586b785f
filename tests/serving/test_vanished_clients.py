"""Clients that vanish without a word, as a phone in a tunnel does: a link between two networks is cut, and nothing of theirs stays.

Needs root, for the networks, and the programs that make them; skips by name without them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.serving.process import ServerProcess, environment
from tests.serving.waiting import until

PROGRAMS = ("unshare", "nsenter", "ip", "curl")
MISSING = [program for program in PROGRAMS if not shutil.which(program)] + (["root"] if os.geteuid() else [])

pytestmark = [
    pytest.mark.serving,
    pytest.mark.skipif(bool(MISSING), reason=f"networks of its own need {', '.join(MISSING)}"),
]

HERE, THERE, GRPC_PORT = "10.99.0.1", "10.99.0.2", 9000
CLIENT_SECONDS = 4


@dataclass(frozen=True)
class Link:
    """A server in one network, its clients in another, and the link between them."""

    server: ServerProcess
    outside: subprocess.Popen[bytes]  # whose network the clients are in

    def within(self, process: int, *command: str) -> list[str]:
        """The command, in the network of a process."""
        return ["nsenter", "--net", f"--target={process}", *command]

    def client(self, what: str, *more: str) -> subprocess.Popen[str]:
        """One of `vanishing`'s clients, when it is where it should be."""
        port = GRPC_PORT if what in {"channel", "stream"} else self.server.port
        command = [sys.executable, "-m", "tests.serving.vanishing", what, HERE, str(port), *more]
        started = subprocess.Popen(
            self.within(self.outside.pid, *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        )
        assert started.stdout is not None
        if (said := started.stdout.readline()) != "there\n":
            started.kill()
            started.communicate()
            pytest.fail(f"the client {what} is not where it should be: {said}")
        return started

    def cut(self) -> None:
        """From now on nothing gets through, in either direction."""
        subprocess.run(self.within(self.outside.pid, "ip", "link", "set", "there", "down"), check=True)

    def figures(self) -> str:
        """What the server says of itself."""
        ask = ["curl", "-s", f"http://{HERE}:{self.server.port}/metrics"]
        return subprocess.run(
            self.within(self.server.process.pid, *ask), check=True, capture_output=True, text=True
        ).stdout

    def _figure(self, name: str) -> int:
        lines = [line.rsplit(" ", 1) for line in self.figures().splitlines()]
        return next((int(float(value)) for found, value in lines if found == name), 0)

    @property
    def in_flight(self) -> int:
        """Requests inside, but for the question itself."""
        return self._figure("crackseg_requests_in_flight") - 1

    @property
    def left(self) -> int:
        """Requests that were called off because their client was gone."""
        return self._figure('crackseg_requests_rejected_total{reason="client-gone"}')

    def _sockets(self) -> dict[str, list[str]]:
        """What the kernel knows of the TCP sockets in the server's network, by the name that a process has for them."""
        tables = [Path(f"/proc/{self.server.process.pid}/net/{table}").read_text() for table in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        return {f"socket:[{row[9]}]": row for row in rows}

    @property
    def connections(self) -> int:
        """How many the server has, and its listeners."""
        found, known = 0, self._sockets()
        for entry in Path(f"/proc/{self.server.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                found += str(entry.readlink()) in known
        return found

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way: all that was sent has been confirmed."""
        return all(row[4].startswith("00000000:") for row in self._sockets().values())


@pytest.fixture(scope="module")
def server(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """In a network of its own, with little patience."""
    running = ServerProcess(
        tmp_path_factory.mktemp("vanished"),
        within=["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"],
        APP_HOST="0.0.0.0",
        GRPC_PORT=str(GRPC_PORT),
        MODEL_PATH=str(dark_model),
        MODEL_NAME="pavement",
        CLIENT_SECONDS=str(CLIENT_SECONDS),
        TILE_SIZE="64",
        TILE_OVERLAP="32",
    )
    try:
        until(lambda: any(line["message"] == "ready" for line in running.lines), "ready")
        yield running
    finally:
        running.kill()


@pytest.fixture
def link(server: ServerProcess) -> Iterator[Link]:
    """Up; its other end is gone with the test."""
    outside = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        found = Link(server, outside)
        own = Path("/proc/self/ns/net").stat().st_ino
        until(lambda: Path(f"/proc/{outside.pid}/ns/net").stat().st_ino != own, "a network")
        at_home, away = server.process.pid, outside.pid
        ends = ["ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(away)]
        for process, command in [
            (at_home, ends),
            (at_home, ["ip", "address", "add", f"{HERE}/24", "dev", "here"]),
            (away, ["ip", "address", "add", f"{THERE}/24", "dev", "there"]),
            (at_home, ["ip", "link", "set", "here", "up"]),
            (away, ["ip", "link", "set", "there", "up"]),
        ]:
            subprocess.run(found.within(process, *command), check=True)
        yield found
        subprocess.run(found.within(at_home, "ip", "link", "delete", "here"), check=True)
    finally:
        outside.kill()
        outside.communicate()


def noise(path: Path) -> Path:
    """A picture whose overlay is as large as it is."""
    picture = np.random.default_rng(1).integers(150, 255, (2000, 2000, 3), np.uint8)
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.mark.parametrize(
    ("what", "quiet"),
    [
        pytest.param("idle", True, id="who keeps a connection and asks for nothing"),
        pytest.param("sending", False, id="in the middle of a body"),
        pytest.param("waiting", True, id="while the work goes on"),
        pytest.param("reading", False, id="in the middle of a large answer"),
        pytest.param("lines", False, id="in the middle of many answers"),
        pytest.param("channel", True, id="who keeps a connection by gRPC and asks for nothing"),
        pytest.param("stream", True, id="who keeps a stream open"),
    ],
)
def test_nothing_stays_of_a_client_that_vanishes(link: Link, tmp_path: Path, what: str, quiet: bool):  # noqa: FBT001 - a table
    before, left = link.connections, link.left
    client = link.client(what, str(noise(tmp_path / "noise.png")))
    try:
        until(lambda: link.connections == before + 1, "its connection, and none of who asked before")
        if quiet:
            until(lambda: link.quiet, "all that was sent to have come")
        link.cut()
        until(lambda: link.connections == before, "its connection to end")
        until(lambda: link.in_flight == 0, "its work to end")
        assert what != "waiting" or link.left > left, "the work was called off"
    finally:
        client.kill()
        client.communicate()
