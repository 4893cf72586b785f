"""Clients that are to vanish: run in a network of their own by `test_vanished_clients`, each says when it is where it should be.

`python -m tests.serving.vanishing WHAT ADDRESS PORT`; it ends with its standard input.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from tests.serving.pictures import cracked, encoded

HEAD = "POST /v1/segment?{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{more}\r\n"
BOUNDARY = "photographs"


def connect(address: str, port: int, room: int | None = None) -> socket.socket:
    """A connection that takes at most `room` bytes that nobody reads."""
    connection = socket.socket()
    if room:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.settimeout(60)
    connection.connect((address, port))
    return connection


def post(
    connection: socket.socket,
    body: bytes,
    query: str,
    *,
    sent: int | None = None,
    kind: str = "image/png",
    more: str = "",
) -> None:
    """A request for a picture, of whose body only so many bytes come."""
    head = HEAD.format(query=query, kind=kind, size=len(body), more=more)
    connection.sendall(head.encode() + body[:sent])


def idle(address: str, port: int) -> Iterator[object]:
    """Has had an answer, and keeps its connection."""
    connection = connect(address, port)
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    yield connection


def sending(address: str, port: int) -> Iterator[object]:
    """In the middle of a body."""
    connection = connect(address, port)
    post(connection, bytes(1_000_000), "output=mask", sent=500_000)
    yield connection


def waiting(address: str, port: int) -> Iterator[object]:
    """Has sent all of a picture that takes long."""
    body = encoded(cracked(6000, 6000)[0], ".jpg")  # before it connects: a server waits for nobody's head for long
    connection = connect(address, port)
    post(connection, body, "output=mask")
    yield connection


def reading(address: str, port: int) -> Iterator[object]:
    """In the middle of an answer of some megabytes."""
    body = Path(sys.argv[4]).read_bytes()
    connection = connect(address, port, room=4096)
    post(connection, body, "output=overlay")
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    yield connection


def lines(address: str, port: int) -> Iterator[object]:
    """Has read the first of many lines."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'.encode()
    quick, slow = encoded(cracked(64, 64)[0]), encoded(cracked(4000, 4000)[0], ".jpg")
    form = b"".join(part + data + b"\r\n" for data in (quick, slow, slow, slow)) + f"--{BOUNDARY}--\r\n".encode()
    connection = connect(address, port)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    post(connection, form, "output=rle", kind=kind, more="Accept: application/x-ndjson\r\n")
    found = b""
    while b'"index"' not in found:
        found += connection.recv(1000)
    yield connection


def channel(address: str, port: int) -> Iterator[object]:
    """Has had an answer by gRPC, and keeps its connection."""
    with grpc.insecure_channel(f"{address}:{port}") as opened:
        opened.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=60)
        yield opened


def stream(address: str, port: int) -> Iterator[object]:
    """Has a stream open, and nothing in it."""

    def requests() -> Iterator[bytes]:
        yield b""
        sys.stdin.read()

    with grpc.insecure_channel(f"{address}:{port}") as opened:
        answers = opened.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(requests())
        next(answers)
        yield answers


CLIENTS: dict[str, Callable[[str, int], Iterator[object]]] = {
    client.__name__: client for client in (idle, sending, waiting, reading, lines, channel, stream)
}

if __name__ == "__main__":
    for _connection in CLIENTS[sys.argv[1]](sys.argv[2], int(sys.argv[3])):
        print("there", flush=True)
        sys.stdin.read()
