"""What the server says of itself beyond the required protocol: configuration, repository, statistics; and methods as HTTP has them."""

from __future__ import annotations

import asyncio
import json
import subprocess

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from onnx import TensorProto
from tests.serving.conftest import Serve
from tests.serving.models import DarkModel
from tests.serving.process import ServerProcess
from tests.serving.waiting import until
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.serving

TENSOR = np.full((1, 3, 16, 16), 0.5, np.float32)


def infer(server: ServerProcess, path: str = "/v2/models/pavement/infer", **changes: object) -> int:
    tensor = {"name": "image", "datatype": "FP32", "shape": list(TENSOR.shape), "data": TENSOR.ravel().tolist()}
    return server.ask("POST", path, json.dumps({"inputs": [{**tensor, **changes}]}).encode()).status


def test_the_configuration_says_what_the_model_takes(server: ServerProcess):
    for path in ("/v2/models/pavement/config", "/v2/models/pavement/versions/1.2.3/config"):
        config = server.ask("GET", path).json
        assert (config["name"], config["platform"], config["backend"]) == (
            "pavement",
            "onnxruntime_onnx",
            "onnxruntime",
        )
        assert config["input"] == [
            {"name": "image", "data_type": "TYPE_FP32", "format": "FORMAT_NCHW", "dims": [3, -1, -1]}
        ]
        assert config["output"] == [{"name": "mask", "data_type": "TYPE_FP32", "dims": [1, -1, -1]}]
        assert config["max_batch_size"] > 1
        assert config["parameters"]["crackseg.name"] == {"string_value": "dark"}


@pytest.mark.parametrize("ask", [{"method": "GET"}, {"method": "POST"}, {"method": "POST", "body": b'{"ready": true}'}])
def test_the_index_has_the_model_and_its_state(server: ServerProcess, ask):
    index = server.ask(path="/v2/repository/index", **ask).json
    assert index == [{"name": "pavement", "version": "1.2.3", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}'])
def test_a_wrong_question_about_the_index_is_refused(server: ServerProcess, body: bytes):
    assert server.ask("POST", "/v2/repository/index", body).status == 400


def test_a_model_that_is_being_loaded_is_in_the_index_and_not_among_the_ready(serve: Serve, tmp_path):
    server = serve(MODEL_PATH=str(DarkModel(slow_nodes=1000).save(tmp_path / "slow.onnx")))
    (entry,) = server.ask("GET", "/v2/repository/index").json
    assert (entry["name"], entry["state"]) == ("pavement", "LOADING")
    assert server.ask("GET", "/v2/repository/index?ready=true").json == []
    assert server.ask("GET", "/v2/models/pavement/stats").status == 503


def test_no_model_is_loaded_or_unloaded_by_a_client(server: ServerProcess):
    for verb in ("load", "unload"):
        answer = server.ask("POST", f"/v2/repository/models/pavement/{verb}", b"")
        assert (answer.status, "rollout" in answer.json["error"]) == (501, True)


def test_statistics_count_requests_runs_and_their_time(serve: Serve):
    server = serve().wait_ready()

    def stats():
        (stats,) = server.ask("GET", "/v2/models/pavement/stats").json["model_stats"]
        return stats

    assert (stats()["inference_count"], stats()["last_inference"]) == (0, 0)
    assert [infer(server) for _ in range(3)] == [200] * 3
    assert infer(server, datatype="INT8") == 400
    # A request has had its place, and that is told, a bit after it was answered.
    until(lambda: stats()["inference_stats"]["queue"]["count"] == 3, "the last of them to be counted")
    found = stats()
    assert (found["inference_count"], found["execution_count"]) == (3, 3)
    assert found["last_inference"] > 1_700_000_000_000
    times = found["inference_stats"]
    assert times["fail"]["count"] == 1
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert times[part]["count"] == 3
    assert times["success"]["ns"] >= times["compute_infer"]["ns"] > 0
    (batch,) = found["batch_stats"]
    assert (batch["batch_size"], batch["compute_infer"]["count"]) == (1, 3)
    assert server.ask("GET", "/v2/models/stats").json["model_stats"] == [found]


def test_models_are_listed_and_an_unknown_one_is_named_so(server: ServerProcess):
    assert server.ask("GET", "/v2/models").json == {"models": ["pavement"]}
    for path in ("", "/ready", "/config", "/stats", "/versions/9", "/versions/9/ready"):
        answer = server.ask("GET", f"/v2/models/{'road' if 'version' not in path else 'pavement'}{path}")
        assert answer.status == 404
        assert answer.json["error"].startswith("Request for unknown model"), path


def test_a_model_that_takes_bytes_takes_whole_numbers(serve: Serve, tmp_path):
    model = DarkModel(dtype=TensorProto.UINT8, scale=255.0).save(tmp_path / "bytes.onnx")
    server = serve(MODEL_PATH=str(model)).wait_ready()
    assert server.ask("GET", "/v2/models/pavement").json["inputs"][0]["datatype"] == "UINT8"
    assert infer(server, datatype="UINT8", data=[128] * TENSOR.size) == 200
    assert infer(server, datatype="UINT8", data=[256] * TENSOR.size) == 400


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health", "GET, HEAD, OPTIONS"),
        ("/v1/segment", "POST, OPTIONS"),
        ("/v2/repository/index", "GET, POST, HEAD, OPTIONS"),
        ("/v2/models/pavement/infer", "POST, OPTIONS"),
    ],
)
def test_a_path_tells_its_methods_and_refuses_others(server: ServerProcess, path: str, methods: str):
    options = server.ask("OPTIONS", path)
    assert (options.status, options.headers["allow"], options.body) == (204, methods, b"")
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(methods.split(", ")):
        answer = server.ask(method, path, b"")
        assert (answer.status, answer.headers["allow"]) == (405, methods), method


def test_head_has_what_get_has_but_its_body(server: ServerProcess):
    for path in ("/v2", "/v2/models/pavement", "/openapi.json"):
        head, get = server.ask("HEAD", path), server.ask("GET", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(get.body))


def test_curl_gets_what_the_handbook_says(server: ServerProcess, tmp_path):
    body = tmp_path / "tensor.json"
    tensor = {"name": "image", "datatype": "FP32", "shape": list(TENSOR.shape), "data": TENSOR.ravel().tolist()}
    body.write_text(json.dumps({"inputs": [tensor]}))
    url = f"http://127.0.0.1:{server.port}"
    program = ["curl", "--silent", "--show-error", "--fail", "--compressed", "--data-binary", f"@{body}"]
    done = subprocess.run([*program, f"{url}/v2/models/pavement/infer"], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, 1, 16, 16]
    # With Expect: 100-continue, as curl asks for large bodies.
    done = subprocess.run(
        [*program, "-H", "Expect: 100-continue", f"{url}/v2/models/pavement/infer"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["model_name"] == "pavement"


def test_the_published_client_uses_what_it_can(server: ServerProcess):
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4)
    try:
        assert client.get_model_config("pavement")["backend"] == "onnxruntime"
        assert client.get_model_repository_index() == [
            {"name": "pavement", "version": "1.2.3", "state": "READY", "reason": ""}
        ]
        given = triton.InferInput("image", TENSOR.shape, "FP32")
        given.set_data_from_numpy(TENSOR)
        for coding in (None, "gzip", "deflate"):
            options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            asked = [client.async_infer("pavement", [given], request_id=str(n), **options) for n in range(4)]
            results = [one.get_result() for one in asked]
            assert [result.get_response()["id"] for result in results] == ["0", "1", "2", "3"]
            np.testing.assert_allclose(
                results[0].as_numpy("mask"), np.full((1, 1, 16, 16), 1 / (1 + np.exp(4))), atol=1e-5
            )
        assert client.get_inference_statistics("pavement")["model_stats"][0]["inference_stats"]["success"]["count"] > 0
        with pytest.raises(InferenceServerException, match="unknown model"):
            client.infer("road", [given])
    finally:
        client.close()


def test_what_the_published_clients_examples_ask_is_answered(server: ServerProcess):
    """Health and metadata as its examples ask for them, with a query that means nothing to us; shared memory is refused."""
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    query = {"test_1": 1, "test_2": 2}
    try:
        assert client.is_server_live(query_params=query)
        assert client.is_server_ready(headers={"test": "1"})
        assert client.is_model_ready("pavement", "1.2.3", query_params=query)
        assert client.get_server_metadata(query_params=query)["name"] == "crackseg-serving"
        assert client.get_model_metadata("pavement", query_params=query)["name"] == "pavement"
        assert not client.is_model_ready("wrong_model_name")
        for ask in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
            with pytest.raises(InferenceServerException, match="Request for unknown model"):
                ask("wrong_model_name")
        for ask in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="one model for its whole life"):
                ask("pavement")
        for ask in (client.get_system_shared_memory_status, client.unregister_cuda_shared_memory):
            with pytest.raises(InferenceServerException, match="shared memory is not served"):
                ask()
        for ask in (client.get_trace_settings, client.update_trace_settings, client.get_log_settings):
            with pytest.raises(InferenceServerException, match="not for clients to set: LOG_LEVEL"):
                ask()
        with pytest.raises(InferenceServerException, match="not for clients to set"):
            client.get_trace_settings("pavement")
        given, wanted = triton.InferInput("image", TENSOR.shape, "FP32"), triton.InferRequestedOutput("mask")
        given.set_shared_memory("region", TENSOR.nbytes)
        with pytest.raises(InferenceServerException, match="shared memory, which is not served"):
            client.infer("pavement", [given])
        given.set_data_from_numpy(TENSOR)
        wanted.set_shared_memory("region", 1 << 20)
        with pytest.raises(InferenceServerException, match="shared memory, which is not served"):
            client.infer("pavement", [given], outputs=[wanted])
    finally:
        client.close()


def test_the_published_asynchronous_client_is_answered(server: ServerProcess):
    async def infer() -> np.ndarray | None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            given = triton_aio.InferInput("image", TENSOR.shape, "FP32")
            given.set_data_from_numpy(TENSOR)
            assert await client.is_server_ready()
            return (await client.infer("pavement", [given])).as_numpy("mask")

    mask = asyncio.run(infer())
    assert mask is not None
    assert mask.shape == (1, 1, 16, 16)
