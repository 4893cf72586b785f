"""Bodies larger than what is read at once: cut anywhere, with what follows behind them, refused or left on their way."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import pytest
from tests.serving.conftest import Serve
from tests.serving.http.test_connections import answers, closed, connected, request
from tests.serving.pictures import cracked, encoded
from tests.serving.process import ServerProcess
from tests.serving.waiting import until

from crackseg_serving.http.incoming import Incoming

pytestmark = pytest.mark.serving

MASK = "/v1/segment?output=mask"


def large(height: int = 600, width: int = 800) -> bytes:
    """A picture of more than a megabyte, as BMP: each part of it is needed, and another in its place is seen."""
    return encoded(cracked(height, width)[0], ".bmp")


def rows_of(server: ServerProcess, body: bytes) -> bytes:
    answer = server.segment(body, "?output=mask")
    assert answer.status == 200
    return answer.body


@pytest.mark.parametrize(
    "cuts",
    [(0,), (1,), (70_000,), (-1,), (0, 1, 65_536, 65_537, 131_072, -1), tuple(range(0, 1_000_000, 37_777))],
    ids=[
        "the head alone",
        "a byte with the head",
        "more than is read at once",
        "its last byte alone",
        "at the edges",
        "in many parts",
    ],
)
def test_a_large_body_is_taken_whole_wherever_it_is_cut_and_the_next_request_begins_behind_it(
    server: ServerProcess, cuts: tuple[int, ...]
):
    body = large()
    message = request("large", body, MASK)
    starts = [len(message) - len(body) + cut if cut >= 0 else len(message) + cut for cut in cuts]
    stream = message + request("next")
    with connected(server) as connection:
        for begin, end in zip([0, *starts], [*starts, len(stream)], strict=True):
            connection.sendall(stream[begin:end])
            time.sleep(0.01)  # so that the parts come as such
        got = answers(connection, 2)
    assert [(status, identity) for status, identity, _ in got] == [(200, "large"), (200, "next")]
    assert got[0][2] == rows_of(server, body)


def test_large_bodies_in_a_row_are_not_mixed_up(server: ServerProcess):
    bodies = [large(), encoded(255 - cracked(600, 800)[0], ".bmp"), large(500, 700)]
    with connected(server) as connection:
        connection.sendall(b"".join(request(str(number), body, MASK) for number, body in enumerate(bodies)))
        got = answers(connection, 3)
    assert [status for status, _, _ in got] == [200, 200, 200]
    assert [mask for _, _, mask in got] == [rows_of(server, body) for body in bodies]


def test_the_rest_of_a_refused_body_is_no_request(server: ServerProcess):
    body = large()
    message = request("refused", body, "/nowhere")
    with connected(server) as connection:
        connection.sendall(message[:100_000])
        assert answers(connection, 1)[0][:2] == (404, "refused")
        connection.sendall(message[100_000:] + request("next", body, MASK))
        assert answers(connection, 1)[0][:2] == (200, "next")


def test_a_large_body_may_be_compressed_and_waited_for(server: ServerProcess):
    body = large()
    small = zlib.compress(body, 0)
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\nContent-Encoding: deflate\r\n" % MASK.encode()
    with connected(server) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(small))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(small)
        (answer,) = answers(connection, 1)
    assert answer[0] == 200
    assert answer[2] == rows_of(server, body)


def test_who_leaves_in_the_middle_of_a_large_body_leaves_nothing_behind(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    message = request("left", large(), MASK)
    with connected(server) as connection:
        connection.sendall(message[: len(message) // 2])
    gone = b'crackseg_requests_rejected_total{reason="client-gone"} 1.0'
    until(lambda: gone in server.ask("GET", "/metrics").body, "it to be called off")
    until(lambda: server.metric("crackseg_requests_in_flight") == 1, "nothing but the question itself")


def test_a_large_body_that_stops_half_way_is_refused(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    message = request("slow", large(), MASK)
    with connected(server) as connection:
        connection.sendall(message[:5000])
        assert answers(connection, 1)[0][:2] == (408, "slow")
        assert closed(connection)


class _Nobody:
    """Brings a body, and does as it is told."""

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def ask(self) -> None:
        pass


def test_what_came_of_a_body_is_let_go_when_its_request_is_answered():
    """Its connection may stay for minutes, and what refers to it may wait for the garbage collector."""
    tracemalloc.start()
    try:
        body = Incoming(_Nobody())
        body.announced = 20 << 20
        body.make_room(1 << 30)
        body.fill(4 << 20, wanted=True)
        assert tracemalloc.get_traced_memory()[0] > 20 << 20
        body.drop()
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
        body.fill(16 << 20, wanted=False)
        assert body.missing == 0
    finally:
        tracemalloc.stop()
