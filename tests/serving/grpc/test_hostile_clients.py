"""gRPC clients that leave, ask for what there is not, or are too many: a status that says why, and no error of the server's."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.serving.grpc.test_service import INFER, GrpcServer
from tests.serving.test_load import peak_memory
from tests.serving.waiting import until
from tritonclient.grpc import service_pb2

pytestmark = pytest.mark.serving

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
HEADERS, RESET, SETTINGS = 1, 3, 4  # kinds of frames, as RFC 9113 numbers them
CANCEL = b"\0\0\0\x08"


def request(name: str = "pavement", side: int = 16) -> bytes:
    message = service_pb2.ModelInferRequest(model_name=name)
    given = message.inputs.add()
    given.name, given.datatype = "image", "FP32"
    given.shape.extend([1, 3, side, side])
    message.raw_input_contents.append(np.zeros((3, side, side), np.float32).tobytes())
    return message.SerializeToString()


@pytest.fixture
def served(dark_model: Path, tmp_path: Path) -> Iterator[GrpcServer]:
    server = GrpcServer(tmp_path, dark_model, MAX_QUEUE="8", MAX_WORKERS="2")
    try:
        yield server.wait_listening()
    finally:
        server.close()


def test_streams_that_are_cancelled_leave_no_work_and_no_error(served: GrpcServer):
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        for _ in range(5):
            stream = channel.stream_stream(STREAM)(request(side=256) for _ in range(200))
            next(stream)
            stream.cancel()
        unread = channel.stream_stream(STREAM)(request(side=256) for _ in range(200))
        until(lambda: served.process.metric("crackseg_requests_in_flight") > 1, "the last of them to come")
        unread.cancel()
    # One is the question itself.
    until(lambda: served.process.metric("crackseg_requests_in_flight") == 1, "all of them to end")
    served.call(INFER, request())
    assert served.process.stop() == 0
    assert [line for line in served.process.lines if line["level"] == "error"] == []


def test_calls_that_are_too_many_are_told_so(served: GrpcServer):
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        calls = [channel.unary_unary(INFER).future(request(side=64), timeout=200) for _ in range(600)]
        found = {call.code() for call in calls}
    assert found <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head(path: str) -> bytes:
    """The headers of a call, none of them indexed."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    fields["content-type"] = "application/grpc"
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def test_calls_that_are_taken_back_at_once_leave_no_memory(served: GrpcServer):
    served.call(INFER, request())
    before = peak_memory(served.process)
    called = head("/inference.GRPCInferenceService/ServerLive")
    with socket.create_connection(("127.0.0.1", served.port), timeout=200) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        connection.setblocking(False)
        for first in range(1, 120_000, 200):
            calls = [frame(HEADERS, 4, n, called) + frame(RESET, 0, n, CANCEL) for n in range(first, first + 200, 2)]
            connection.settimeout(200)
            connection.sendall(b"".join(calls))
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.recv(1 << 20)

    def answered() -> bool:
        with contextlib.suppress(grpc.RpcError):  # those calls are still being looked at
            served.call(INFER, request())
            return True
        return False

    until(answered, "the next one's answer")
    assert peak_memory(served.process) - before < 150 << 20


@pytest.mark.parametrize(
    ("method", "message", "status", "words"),
    [
        pytest.param("ModelInfer", request("x" * 1_000_000), "NOT_FOUND", "unknown model", id="a name of a megabyte"),
        pytest.param("RepositoryModelLoad", b"", "UNIMPLEMENTED", "a rollout", id="loading a model"),
        pytest.param("RepositoryModelUnload", b"", "UNIMPLEMENTED", "a rollout", id="unloading a model"),
        pytest.param("SystemSharedMemoryRegister", b"", "UNIMPLEMENTED", "shared memory", id="shared memory"),
        pytest.param("TraceSetting", b"", "UNIMPLEMENTED", "LOG_LEVEL", id="settings of traces"),
        pytest.param("LogSettings", b"", "UNIMPLEMENTED", "LOG_LEVEL", id="settings of logs"),
        pytest.param("CudaSharedMemoryStatus", b"", "UNIMPLEMENTED", "shared memory", id="shared memory of a card"),
    ],
)
def test_what_is_not_there_is_refused_with_the_reason(
    served: GrpcServer, method: str, message: bytes, status: str, words: str
):
    with pytest.raises(grpc.RpcError) as caught:
        served.call(f"/inference.GRPCInferenceService/{method}", message)
    assert caught.value.code().name == status  # type: ignore[attr-defined]
    assert words in caught.value.details()  # type: ignore[attr-defined]
