"""One connection and its client: several requests at once, slow ones, half ones, and those who stop reading."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded, mask_of, overlap
from tests.serving.process import DEADLINE, ServerProcess
from tests.serving.waiting import until

pytestmark = pytest.mark.serving

CUT_OFF = (ConnectionResetError, BrokenPipeError)
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        yield connection


def answers(connection: socket.socket, count: int) -> list[tuple[int, str, bytes]]:
    """Status, request id and body of the next answers."""
    found, stream = [], connection.makefile("rb")
    for _ in range(count):
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        found.append((status, headers["x-request-id"], stream.read(int(headers.get("content-length", 0)))))
    return found


def closed(connection: socket.socket) -> bool:
    """Whether the server has ended the connection; waits for it."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def request(identity: str, body: bytes = b"", path: str = "/health") -> bytes:
    method = b"POST" if body else b"GET"
    head = b"%s %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n" % (method, path.encode(), identity.encode())
    return head + (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n" + body


def test_a_connection_is_kept_for_the_next_request(server: ServerProcess):
    with connected(server) as connection:
        for number in range(3):
            connection.sendall(request(str(number)))
            assert answers(connection, 1)[0][:2] == (200, str(number))


def test_pipelined_requests_are_answered_in_their_order(server: ServerProcess):
    slow = request("slow", encoded(cracked(1200, 1600)[0]), "/v1/segment?output=mask")
    with connected(server) as connection:
        connection.sendall(slow + request("quick") + request("third", b"no image", "/v1/segment") + request("last"))
        got = answers(connection, 4)
    assert [(status, identity) for status, identity, _ in got] == [
        (200, "slow"),
        (200, "quick"),
        (415, "third"),
        (200, "last"),
    ]
    assert got[0][2].startswith(b"\x89PNG")


def test_what_is_no_request_does_not_overtake_the_answers_before_it(server: ServerProcess):
    slow = request("slow", encoded(cracked(1200, 1600)[0]), "/v1/segment?output=mask")
    with connected(server) as connection:
        connection.sendall(slow + b"no request\r\n\r\n" + request("never"))
        stream = connection.makefile("rb").read()
    first, _, rest = stream.partition(b"IEND\xaeB`\x82")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert rest.count(b"HTTP/1.1") == 2  # the line, and the sentence


def test_a_body_that_ends_in_its_middle_is_told_of_once(server: ServerProcess):
    with connected(server) as connection:
        connection.sendall(CHUNKED + b"3\r\nabc\r\nno number\r\n")
        found = connection.makefile("rb").read()
    assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert found.count(b"connection: close") == 1
    until(lambda: server.metric("crackseg_requests_in_flight") == 1, "the request that never came to an end")


def test_lines_of_one_name_are_one_list(server: ServerProcess):
    with connected(server) as connection:
        head = b"GET /health HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip\r\n"
        connection.sendall(head.replace(b"/health", b"/openapi.json") + b"\r\n")
        assert b"content-encoding: gzip" in connection.recv(1000).lower()


@pytest.mark.parametrize("target", ["/health", "/health?a=b", "http://x/health", "http://x:80/health?a=b"])
def test_a_target_may_have_every_form_that_a_server_must_take(server: ServerProcess, target: str):
    with connected(server) as connection:
        connection.sendall(request("a", path=target))
        assert answers(connection, 1)[0][:2] == (200, "a")


def test_who_speaks_http_1_0_gets_lines_without_chunks_and_then_the_end(server: ServerProcess):
    form = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="%d.png"\r\n\r\n%b\r\n'
        % (number, encoded(cracked(64, 64)[0]))
        for number in range(3)
    )
    head = "POST /v1/segment?output=rle HTTP/1.0\r\nAccept: application/x-ndjson\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with connected(server) as connection:
        connection.sendall(
            head.encode() + b"Content-Length: %d\r\n\r\n" % len(form + b"--x--\r\n") + form + b"--x--\r\n"
        )
        got, _, lines = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"connection: close" in got
    assert b"chunked" not in got
    assert [b'"result"' in line for line in lines.splitlines()] == [True] * 3


def test_a_client_that_does_not_finish_its_head_is_cut_off(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    for start in (b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n"):
        with connected(server) as connection:
            connection.sendall(start)
            assert closed(connection), start
    assert server.ask("GET", "/health").status == 200


def test_a_client_whose_head_trickles_is_cut_off_though_something_comes_all_the_time(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    began = time.monotonic()
    with connected(server) as connection, pytest.raises(CUT_OFF):  # noqa: PT012 - the end may come at any of them
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        while time.monotonic() < began + DEADLINE:
            connection.sendall(b"X-A: b\r\n")
            time.sleep(0.05)  # how a slow client behaves
    assert time.monotonic() < began + DEADLINE / 2


def test_a_client_whose_second_head_trickles_is_cut_off_too(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    with connected(server) as connection:
        connection.sendall(HEALTH)
        answers(connection, 1)
        connection.sendall(b"GET /he")
        assert closed(connection)


def test_a_body_that_trickles_is_refused_and_gives_its_place_back(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    with connected(server) as connection:
        connection.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\nContent-Length: 100000\r\n\r\n")
        connection.setblocking(False)
        give_up = time.monotonic() + DEADLINE
        while time.monotonic() < give_up:
            try:
                connection.send(b"x")
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except BlockingIOError:
                time.sleep(0.05)  # how a slow client behaves
        connection.setblocking(True)
        connection.settimeout(DEADLINE)
        assert answers(connection, 1)[0][:2] == (408, "a")
        assert closed(connection)
    assert server.segment(encoded(cracked()[0])).status == 200


def test_a_body_that_is_slow_but_comes_is_taken(serve: Serve):
    """More than the time that a client may be silent, at a rate that is high enough."""
    server = serve(CLIENT_SECONDS="3").wait_ready()
    body = encoded(cracked()[0])
    body += b"\0" * (800_000 - len(body))
    with connected(server) as connection:
        connection.sendall(
            b"POST /v1/segment?output=mask HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        for start in range(0, len(body), 20_000):
            connection.sendall(body[start : start + 20_000])
            time.sleep(0.1)  # how a slow client behaves
        assert answers(connection, 1)[0][:2] == (200, "a")


def test_who_goes_on_sending_after_a_refusal_is_cut_off(serve: Serve):
    server = serve(CLIENT_SECONDS="1", MAX_IMAGE_BYTES="2000").wait_ready()
    began = time.monotonic()
    with connected(server) as connection:
        connection.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\nContent-Length: 90000000\r\n\r\n"
        )
        assert answers(connection, 1)[0][0] == 413
        with pytest.raises(CUT_OFF):  # noqa: PT012 - the end may come at any of them
            while time.monotonic() < began + DEADLINE:
                connection.sendall(b"x" * 100)
                time.sleep(0.05)  # how a slow client behaves
    assert time.monotonic() < began + DEADLINE / 2


def test_bodies_that_are_slow_keep_nobody_else_out(serve: Serve):
    server = serve(MAX_QUEUE="2", MAX_WORKERS="1").wait_ready()
    with ExitStack() as opened:
        for _ in range(20):
            connection = opened.enter_context(connected(server))
            connection.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
        until(lambda: server.metric("crackseg_requests_in_flight") == 21, "all of them to be inside")
        assert server.segment(encoded(cracked()[0])).status == 200


def test_as_many_clients_may_be_connected_as_the_container_has_files_for(serve: Serve):
    """Containers often begin with a small number of open files, and may have many more."""
    server = serve(within=["sh", "-c", 'ulimit -S -n 100; exec "$@"', "sh"]).wait_ready()
    with ExitStack() as opened:
        for number in range(300):
            connection = opened.enter_context(connected(server))
            connection.sendall(request(str(number)))
            assert answers(connection, 1)[0][:2] == (200, str(number))


def test_who_is_refused_before_the_body_and_sends_it_all_the_same_keeps_the_connection(serve: Serve):
    server = serve(CLIENT_SECONDS="3").wait_ready()
    with connected(server) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert answers(connection, 1)[0][0] == 404
        connection.sendall(b"x" * 100_000)
        time.sleep(4)  # how a client behaves that has nothing to ask
        connection.sendall(request("next"))
        assert answers(connection, 1)[0][:2] == (200, "next")


def test_what_follows_a_large_body_that_nobody_wanted_is_answered(serve: Serve):
    """More of it is there than is read ahead when the refusal comes, for the server is busy with others meanwhile."""
    server = serve().wait_ready()
    body = bytes(3_000_000)
    with connected(server) as connection:
        for number in range(20):  # the kernel takes more and more of it at once
            server.process.send_signal(signal.SIGSTOP)
            large = request("large", body, "/nowhere")
            connection.settimeout(0.1)
            sent = 0
            with suppress(TimeoutError):
                while sent < len(large):
                    sent += connection.send(large[sent : sent + 65536])
            server.process.send_signal(signal.SIGCONT)
            connection.settimeout(DEADLINE)
            connection.sendall(large[sent:] + request(f"after {number}"))
            assert [found[:2] for found in answers(connection, 2)] == [(404, "large"), (200, f"after {number}")]


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


@pytest.mark.parametrize("pieces", [1, 3], ids=["in one piece", "in three pieces"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
def test_who_would_rather_speak_http_2_is_answered_all_the_same(server: ServerProcess, pieces: int, chunked: bool):  # noqa: FBT001 - a table
    """As Java's client asks with its first request, and curl with --http2: the body comes with it."""
    body = encoded(cracked()[0])
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    head = b"POST /v1/segment?output=mask HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n" + UPGRADE + framing + b"\r\n"
    message = head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
    question = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: b\r\n" + UPGRADE + b"\r\n"
    message += question + request("c")
    with connected(server) as connection:
        for start in range(0, len(message), -(-len(message) // pieces)):
            connection.sendall(message[start : start + -(-len(message) // pieces)])
            time.sleep(0.05)  # how a slow client behaves
        got = answers(connection, 3)
    assert [(status, identity) for status, identity, _ in got] == [(200, "a"), (200, "b"), (200, "c")]
    assert overlap(mask_of(got[0][2]), cracked()[1]) > 0.9


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        pytest.param("1.1", ["pavement.example.org:8080"], 200, id="a name and a port"),
        pytest.param("1.1", ["[::1]:8080"], 200, id="an address"),
        pytest.param("1.1", [""], 200, id="empty"),
        pytest.param("1.0", [], 200, id="none, before there were any"),
        pytest.param("1.1", [], 400, id="none"),
        pytest.param("1.1", ["a", "b"], 400, id="two"),
        pytest.param("1.1", ["a", "a"], 400, id="one twice"),
        pytest.param("1.1", ["a b"], 400, id="two words"),
        pytest.param("1.1", ["a/b"], 400, id="a path"),
    ],
)
def test_it_must_be_clear_whom_a_request_is_meant_for(
    server: ServerProcess, version: str, hosts: Sequence[str], status: int
):
    lines = [f"GET /health HTTP/{version}", *(f"Host: {host}" for host in hosts), "", ""]
    with connected(server) as connection:
        connection.sendall("\r\n".join(lines).encode())
        found, _, body = answers(connection, 1)[0]
        assert found == status
        if status == 400:
            assert b"Host" in body
            assert closed(connection)


CHUNKED = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"GET /health HTTP/1.1\r\nX: ", b"a", id="a header without an end"),
        pytest.param(b"GET /health HTTP/1.1\r\n", b"X: a\r\n", id="headers without an end"),
        pytest.param(CHUNKED + b"5;", b"a", id="a note on a chunk without an end"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\n", b"X: a\r\n", id="trailers without an end"),
    ],
)
def test_what_has_no_end_is_not_collected(server: ServerProcess, start: bytes, piece: bytes):
    sent, most = 0, 64 << 20
    with connected(server) as connection, pytest.raises(CUT_OFF):  # noqa: PT012 - the end may come at any of them
        connection.sendall(start)
        while sent < most:
            connection.sendall(piece * 50_000)
            sent += 50_000 * len(piece)
        assert closed(connection)
        raise ConnectionResetError
    assert sent < most


def test_a_head_that_is_too_long_is_told_of(server: ServerProcess):
    with connected(server) as connection:
        connection.sendall(request("a"))
        answers(connection, 1)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        connection.sendall(b"X: " + b"a" * 60_000 + b"\r\n")
        connection.sendall(b"Y: " + b"b" * 70_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
        assert closed(connection)


def test_long_headers_and_many_small_chunks_are_taken(server: ServerProcess):
    body = encoded(cracked(64, 64)[0])
    chunks = b"".join(b"1;note\r\n%c\r\n" % byte for byte in body) + b"0\r\nX: y\r\n\r\n"
    with connected(server) as connection:
        head = CHUNKED[:-2] + b"X-Request-Id: a\r\nX: " + b"a" * 50_000 + b"\r\n\r\n"
        connection.sendall(head + chunks + request("b"))
        got = answers(connection, 2)
    assert [(status, identity) for status, identity, _ in got] == [(200, "a"), (200, "b")]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"\x16\x03\x01 hello", id="TLS"),
        pytest.param(b"GET /health HTTP/2.0\r\nHost: x", id="another version"),
        pytest.param(b"GET  HTTP/1.1\r\nHost: x", id="no target"),
        pytest.param(b"GET /health HTTP/1.1\nHost: x\n", id="lines without carriage returns"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2", id="two sizes"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", id="a size, and chunks"
        ),
    ],
)
def test_what_is_no_http_is_refused(server: ServerProcess, start: bytes):
    with connected(server) as connection:
        connection.sendall(start + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert closed(connection)


def test_a_request_has_the_time_that_its_client_gives_it(server: ServerProcess):
    big = encoded(cracked(3000, 4000)[0])
    late = server.segment(big, "?output=mask", **{"X-Request-Timeout": "0.01"})
    assert (late.status, late.json["title"]) in {(503, "Timed out"), (408, "Request timeout")}
    assert server.segment(encoded(cracked()[0]), **{"X-Request-Timeout": "60"}).status == 200
    for nonsense in ("soon", "-1", "nan", "0"):
        assert server.segment(big, **{"X-Request-Timeout": nonsense}).status == 400
