"""The load that judges rollouts: it has to count every failure, or its zero means nothing."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest
from typing_extensions import override

from crackseg_demo.load import Target, constant_load


class Answers(http.server.BaseHTTPRequestHandler):
    """Every third request fails: by status, or by a connection that is closed without a word."""

    protocol_version = "HTTP/1.1"
    count: ClassVar[Iterator[int]]
    failing: ClassVar[str]
    ports: ClassVar[set[int]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Answers.ports.add(self.client_address[1])
        number = next(Answers.count)
        if Answers.failing == "silence" and number % 3 == 2:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(503 if Answers.failing == "status" and number % 3 == 2 else 200)
        self.send_header("X-Model-Version", "1.0.0" if number < 6 else "2.0.0")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    @override
    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Target]:
    Answers.count, Answers.failing, Answers.ports = itertools.count(), "", set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield Target(f"http://127.0.0.1:{listening.server_port}", "any.localhost")
        listening.shutdown()
        thread.join()


def test_answers_are_counted_by_the_version_that_gave_them(server: Target):
    with constant_load(server, b"photograph", per_second=100) as tally:
        tally.wait_for("2.0.0", 12)
    assert tally.failed == 0
    assert tally.answered["1.0.0"] == 6
    assert tally.requests == tally.answered["1.0.0"] + tally.answered["2.0.0"]
    assert 4 < len(Answers.ports) < tally.requests, "some connections are kept and some are new"


@pytest.mark.parametrize(("failing", "says"), [("status", "HTTP 503"), ("silence", "ServerDisconnected")])
def test_every_failure_is_counted_and_none_is_tried_again(server: Target, failing: str, says: str):
    Answers.failing = failing
    with constant_load(server, b"photograph", per_second=100) as tally:
        tally.wait_for("1.0.0", 4)
        tally.wait_for("1.0.0", 5)
    assert tally.failed >= 1
    assert says in tally.failures[0]
    assert tally.requests == next(Answers.count)


def test_nobody_listening_is_a_failure_of_each_request():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = Target(f"http://127.0.0.1:{free.getsockname()[1]}", "any.localhost")
        with constant_load(target, b"photograph", per_second=100) as tally:
            tally.wait_for("1.0.0", 1)
    assert tally.failed >= 1
    assert not tally.answered
