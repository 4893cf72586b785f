"""The Open Inference Protocol over gRPC, asked by the published client of a real server process."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from onnx import TensorProto
from tests.serving.models import DarkModel, slowed
from tests.serving.process import REPOSITORY, ServerProcess
from tests.serving.waiting import until
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from crackseg_local.controlplane import free_port
from crackseg_serving.rpc import health_pb2

pytestmark = pytest.mark.serving

TENSOR = np.random.default_rng(7).random((2, 3, 32, 48), np.float32)
EXPECTED = 1 / (1 + np.exp(-(0.4 - TENSOR.mean(1, keepdims=True)) * 40))
INFER = "/inference.GRPCInferenceService/ModelInfer"


class GrpcServer:
    """A server process with a gRPC port, and a client of it."""

    def __init__(self, folder: Path, model: Path, **changes: str) -> None:
        self.port = free_port()
        settings = {"MODEL_PATH": str(model), "MODEL_NAME": "pavement", "GRPC_PORT": str(self.port), **changes}
        self.process = ServerProcess(folder, **settings)
        self.client = triton.InferenceServerClient(f"127.0.0.1:{self.port}")

    def wait_listening(self) -> GrpcServer:
        self.process.wait_ready()
        until(lambda: any(line["message"] == "listening for gRPC" for line in self.process.lines), "gRPC's port")
        return self

    def call(self, method: str, message: bytes, **options) -> bytes:
        """One call with the message as it is."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            return channel.unary_unary(method)(message, timeout=60, **options)

    def close(self) -> None:
        self.client.close()
        self.process.kill()


@pytest.fixture(scope="module")
def served(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    server = GrpcServer(tmp_path_factory.mktemp("grpc"), dark_model, MAX_IMAGE_BYTES=str(4 << 20))
    try:
        yield server.wait_listening()
    finally:
        server.close()


def tensor(array: np.ndarray = TENSOR, name: str = "image", datatype: str = "FP32") -> triton.InferInput:
    given = triton.InferInput(name, array.shape, datatype)
    given.set_data_from_numpy(array)
    return given


def code(caught) -> grpc.StatusCode:
    return caught.value.code()


def test_the_published_client_finds_server_and_model(served: GrpcServer):
    client = served.client
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pavement")
    assert client.is_model_ready("pavement", "1.2.3")
    assert client.get_server_metadata(as_json=True)["name"] == "crackseg-serving"
    metadata = client.get_model_metadata("pavement", as_json=True)
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "3", "-1", "-1"]}]
    config = client.get_model_config("pavement", as_json=True)["config"]
    assert (config["backend"], config["input"][0]["data_type"]) == ("onnxruntime", "TYPE_FP32")
    (entry,) = client.get_model_repository_index(as_json=True)["models"]
    assert (entry["name"], entry["state"]) == ("pavement", "READY")


def test_grpc_and_rest_describe_the_model_alike(served: GrpcServer):
    rest = served.process.ask("GET", "/v2/models/pavement").json
    metadata = served.client.get_model_metadata("pavement")
    assert list(metadata.inputs[0].shape) == rest["inputs"][0]["shape"]
    assert (list(metadata.versions), metadata.platform) == (rest["versions"], rest["platform"])


def test_the_published_client_infers(served: GrpcServer):
    outputs = [triton.InferRequestedOutput("mask")]
    result = served.client.infer("pavement", [tensor()], "1.2.3", outputs, request_id="seven", client_timeout=60)
    np.testing.assert_allclose(result.as_numpy("mask"), EXPECTED, atol=1e-5)
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("seven", "pavement", "1.2.3")


def test_the_published_client_infers_asynchronously(served: GrpcServer):
    async def infer() -> np.ndarray | None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            return (await client.infer("pavement", [tensor()])).as_numpy("mask")

    np.testing.assert_allclose(asyncio.run(infer()), EXPECTED, atol=1e-5)


def test_contents_by_type_say_the_same_as_raw_ones(served: GrpcServer):
    request = service_pb2.ModelInferRequest(model_name="pavement", id="typed")
    request.inputs.add(name="image", datatype="FP32", shape=TENSOR.shape).contents.fp32_contents.extend(TENSOR.ravel())
    response = service_pb2.ModelInferResponse.FromString(served.call(INFER, request.SerializeToString()))
    mask = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)
    np.testing.assert_allclose(mask, EXPECTED, atol=1e-5)


def test_bytes_go_in_where_the_model_takes_bytes(dark_model: Path, tmp_path: Path):
    model = DarkModel(dtype=TensorProto.UINT8, scale=255.0).save(tmp_path / "bytes.onnx")
    server = GrpcServer(tmp_path, model)
    try:
        server.wait_listening()
        array = np.full((1, 3, 16, 16), 128, np.uint8)
        raw = server.client.infer("pavement", [tensor(array, datatype="UINT8")]).as_numpy("mask")
        request = service_pb2.ModelInferRequest(model_name="pavement")
        request.inputs.add(name="image", datatype="UINT8", shape=array.shape).contents.uint_contents.extend(
            array.ravel()
        )
        typed = service_pb2.ModelInferResponse.FromString(server.call(INFER, request.SerializeToString()))
        assert typed.raw_output_contents[0] == raw.tobytes()
        request.inputs[0].contents.uint_contents[0] = 256
        with pytest.raises(grpc.RpcError) as caught:
            server.call(INFER, request.SerializeToString())
        assert code(caught) is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        server.close()


def test_a_stream_answers_in_order_and_goes_on_after_a_failure(served: GrpcServer):
    answers: queue.Queue = queue.Queue()
    served.client.start_stream(lambda result, error: answers.put((result, error)))
    try:
        for number in range(12):
            name = "road" if number == 5 else "pavement"
            served.client.async_stream_infer(name, [tensor()], request_id=str(number), enable_empty_final_response=True)
        for number in range(12):
            result, error = answers.get(timeout=60)
            if number == 5:
                assert "unknown model" in str(error)
                continue
            assert result.get_response().id == str(number)
            assert result.get_response().parameters["triton_final_response"].bool_param
            np.testing.assert_allclose(result.as_numpy("mask"), EXPECTED, atol=1e-5)
    finally:
        served.client.stop_stream()


def test_a_stream_that_waits_for_each_answer_gets_it(served: GrpcServer):
    answers: queue.Queue = queue.Queue()
    served.client.start_stream(lambda result, error: answers.put((result, error)))
    try:
        for number in range(3):
            served.client.async_stream_infer("pavement", [tensor()], request_id=str(number))
            result, error = answers.get(timeout=60)
            assert (error, result.get_response().id) == (None, str(number))
    finally:
        served.client.stop_stream()


@pytest.mark.parametrize(
    ("model", "given", "status", "word"),
    [
        pytest.param("road", tensor(), "NOT_FOUND", "unknown model", id="another model"),
        pytest.param("pavement", tensor(name="picture"), "INVALID_ARGUMENT", "image", id="another input"),
        pytest.param("pavement", tensor(TENSOR[:, :2]), "INVALID_ARGUMENT", "shape", id="two channels"),
        pytest.param(
            "pavement", tensor(TENSOR.astype(np.int8), datatype="INT8"), "INVALID_ARGUMENT", "FP32", id="another type"
        ),
    ],
)
def test_a_wrong_request_has_its_status_and_says_what_to_do(served: GrpcServer, model, given, status, word):
    with pytest.raises(InferenceServerException) as caught:
        served.client.infer(model, [given])
    assert caught.value.status() == f"StatusCode.{status}"
    assert word in caught.value.message()


def test_too_large_a_message_and_nonsense_are_refused_and_the_server_goes_on(served: GrpcServer):
    with pytest.raises(grpc.RpcError) as caught:
        served.call(INFER, b"\0" * (5 << 20))
    assert code(caught) is grpc.StatusCode.RESOURCE_EXHAUSTED
    for nonsense in (b"\xff" * 20, b"\x3a\xff\xff\xff\xff\x0f", b"\x0a\x05abc", b"\x00\x01", b"\x3b"):
        with pytest.raises(grpc.RpcError) as caught:
            served.call(INFER, nonsense)
        assert code(caught) is grpc.StatusCode.INVALID_ARGUMENT, nonsense
    with pytest.raises(grpc.RpcError) as caught:
        served.call("/inference.GRPCInferenceService/RepositoryModelLoad", b"")
    assert code(caught) is grpc.StatusCode.UNIMPLEMENTED
    assert served.client.is_server_live()


def test_every_answer_carries_the_version_and_the_requests_id(served: GrpcServer):
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        _, call = ask.with_call(b"", metadata=(("x-request-id", "mine"),), timeout=60)
    told = dict(call.trailing_metadata())
    assert (told["x-request-id"], told["x-model-version"]) == ("mine", "1.2.3")


def test_a_deadline_ends_a_call_and_the_server_does_not_compute_for_nobody(served: GrpcServer):
    big = tensor(np.zeros((1, 3, 512, 512), np.float32))
    with pytest.raises(InferenceServerException) as caught:
        served.client.infer("pavement", [big], client_timeout=0.001)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    with pytest.raises(InferenceServerException) as caught:
        served.client.infer("pavement", [big], timeout=1)  # microseconds, Triton's parameter: the server's own word
    assert "within its" in caught.value.message()
    until(lambda: served.process.metric("crackseg_requests_in_flight") <= 1, "nothing in flight but the question")


def test_kubernetes_health_service(served: GrpcServer):
    check = "/grpc.health.v1.Health/Check"
    assert served.call(check, b"") == b"\x08\x01"  # SERVING
    assert served.call(check, b"\x0a\x1einference.GRPCInferenceService") == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as caught:
        served.call(check, b"\x0a\x01x")
    assert code(caught) is grpc.StatusCode.NOT_FOUND


def watch(channel: grpc.Channel, service: str = ""):
    request = health_pb2.HealthCheckRequest(service=service)
    method = "/grpc.health.v1.Health/Watch"
    return channel.unary_stream(method, response_deserializer=health_pb2.HealthCheckResponse.FromString)(
        request.SerializeToString(), timeout=60
    )


def test_who_watches_the_health_hears_of_each_change_and_of_the_end(tmp_path: Path):
    server = GrpcServer(tmp_path, DarkModel(slow_nodes=2).save(tmp_path / "slow.onnx"))
    try:
        until(lambda: any(line["message"] == "listening for gRPC" for line in server.process.lines), "gRPC's port")
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            watched, other = watch(channel), watch(channel, "road.Service")
            # While the model is being loaded it is not serving; it may be loaded before we ask.
            statuses = [next(watched).status]
            if statuses[-1] != health_pb2.HealthCheckResponse.SERVING:
                statuses.append(next(watched).status)
            assert statuses in ([2, 1], [1])
            assert next(other).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            assert server.process.metric("crackseg_requests_in_flight") == 1  # the question for the metrics
            server.process.process.terminate()
            for one, last in ((watched, [health_pb2.HealthCheckResponse.NOT_SERVING]), (other, [])):
                found = []
                with pytest.raises(grpc.RpcError) as caught:
                    found.extend(answer.status for answer in one)
                assert (found, code(caught)) == (last, grpc.StatusCode.UNAVAILABLE)
        assert server.process.wait() == 0
    finally:
        server.close()


def test_shared_memory_is_refused_and_nothing_is_written_there(served: GrpcServer):
    given, wanted = triton.InferInput("image", TENSOR.shape, "FP32"), triton.InferRequestedOutput("mask")
    given.set_shared_memory("region", TENSOR.nbytes)
    with pytest.raises(InferenceServerException, match="shared memory, which is not served"):
        served.client.infer("pavement", [given])
    wanted.set_shared_memory("region", 1 << 20)
    with pytest.raises(InferenceServerException, match="shared memory, which is not served"):
        served.client.infer("pavement", [tensor()], outputs=[wanted])
    with pytest.raises(InferenceServerException) as caught:
        served.client.get_system_shared_memory_status()
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_statistics_and_metrics_count_calls(served: GrpcServer):
    before = served.client.get_inference_statistics("pavement").model_stats[0]
    served.client.infer("pavement", [tensor()])
    after = served.client.get_inference_statistics().model_stats[0]
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_count == before.inference_count + len(TENSOR)
    name = 'crackseg_request_duration_seconds_count{code="200",endpoint="grpc:ModelInfer"}'
    assert served.process.metric(name) > 0


def test_a_model_that_is_being_loaded_is_unavailable(tmp_path: Path):
    model = DarkModel(slow_nodes=1000).save(tmp_path / "slow.onnx")
    server = GrpcServer(tmp_path, model)
    try:
        until(lambda: any(line["message"] == "listening for gRPC" for line in server.process.lines), "gRPC's port")
        assert server.client.is_server_live()
        assert not server.client.is_server_ready()
        with pytest.raises(InferenceServerException) as caught:
            server.client.infer("pavement", [tensor()])
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
        assert server.call("/grpc.health.v1.Health/Check", b"") == b"\x08\x02"  # NOT_SERVING
        assert server.process.stop() == 0
    finally:
        server.close()


def test_sigterm_finishes_what_is_in_flight(tmp_path: Path):
    onnx.save(slowed(DarkModel().build()), tmp_path / "slow.onnx")
    server = GrpcServer(tmp_path, tmp_path / "slow.onnx", DRAIN_SECONDS="1")
    try:
        server.wait_listening()
        answers: queue.Queue = queue.Queue()
        many = tensor(np.zeros((16, 3, 256, 256), np.float32))
        for _ in range(4):
            server.client.async_infer("pavement", [many], lambda result, error: answers.put(error))  # noqa: ARG005 - called by name
        until(lambda: server.process.metric("crackseg_requests_in_flight") > 1, "calls in flight")
        assert server.process.stop() == 0
        assert [answers.get(timeout=60) for _ in range(4)] == [None] * 4
    finally:
        server.close()


def test_a_port_that_is_taken_ends_the_start_with_a_sentence(served: GrpcServer, dark_model: Path, tmp_path: Path):
    second = ServerProcess(tmp_path, MODEL_PATH=str(dark_model), GRPC_PORT=str(served.port))
    assert second.wait() == 1
    assert any(str(served.port) in line["message"] for line in second.lines)


def test_without_a_port_grpc_is_not_even_imported(server: ServerProcess):
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "cygrpc" not in maps


def test_the_messages_are_those_of_the_interface(tmp_path: Path):
    """Generated anew by `make proto`, they are what is kept."""
    folder = REPOSITORY / "serving" / "crackseg_serving" / "rpc"
    for name in ("inference", "health"):
        program = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I",
            "serving",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
        ]
        subprocess.run([*program, f"serving/crackseg_serving/rpc/{name}.proto"], cwd=REPOSITORY, check=True, timeout=60)
        for ending in ("py", "pyi"):
            made = tmp_path / "crackseg_serving" / "rpc" / f"{name}_pb2.{ending}"
            assert made.read_text() == (folder / made.name).read_text()
