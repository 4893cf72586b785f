"""The Open Inference Protocol: JSON and binary tensors, right and wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.serving.process import Answer, ServerProcess

pytestmark = pytest.mark.serving

TENSOR = np.random.default_rng(7).random((2, 3, 32, 48), np.float32)
EXPECTED = 1 / (1 + np.exp(-(0.4 - TENSOR.mean(1, keepdims=True)) * 40))


def document(**changes: Any) -> dict[str, Any]:
    """A good request with JSON data."""
    tensor = {"name": "image", "datatype": "FP32", "shape": list(TENSOR.shape), "data": TENSOR.ravel().tolist()}
    return {"id": "seven", "inputs": [{**tensor, **changes}]}


def infer(server: ServerProcess, request: object, path: str = "/v2/models/pavement/infer") -> Answer:
    return server.ask("POST", path, json.dumps(request).encode(), {"Content-Type": "application/json"})


def infer_binary(server: ServerProcess, request: dict[str, Any], data: bytes) -> Answer:
    head = json.dumps(request).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return server.ask("POST", "/v2/models/pavement/infer", head + data, headers)


def test_server_and_model_describe_themselves(server: ServerProcess):
    assert "binary_tensor_data" in server.ask("GET", "/v2").json["extensions"]
    for path in ("/v2/models/pavement", "/v2/models/pavement/versions/1.2.3"):
        model = server.ask("GET", path).json
        assert model["versions"] == ["1.2.3"]
        assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}]
        assert model["outputs"][0]["name"] == "mask"


@pytest.mark.parametrize(
    "path",
    ["/v2/health/live", "/v2/health/ready", "/v2/models/pavement/ready", "/v2/models/pavement/versions/1.2.3/ready"],
)
def test_health_by_the_protocol(server: ServerProcess, path: str):
    assert server.ask("GET", path).status == 200


def test_json_tensors_flat_and_nested(server: ServerProcess):
    for data in (TENSOR.ravel().tolist(), TENSOR.tolist()):
        answer = infer(server, document(data=data)).json
        assert (answer["model_name"], answer["model_version"], answer["id"]) == ("pavement", "1.2.3", "seven")
        (output,) = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("mask", "FP32", [2, 1, 32, 48])
        np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), EXPECTED, atol=1e-5)


def test_binary_tensors_in_and_out(server: ServerProcess):
    request = document(parameters={"binary_data_size": TENSOR.nbytes})
    del request["inputs"][0]["data"]
    request["outputs"] = [{"name": "mask", "parameters": {"binary_data": True}}]
    answer = infer_binary(server, request, TENSOR.tobytes())
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.body) - length
    np.testing.assert_allclose(
        np.frombuffer(answer.body[length:], np.float32).reshape(output["shape"]), EXPECTED, atol=1e-5
    )


def test_binary_in_and_json_out(server: ServerProcess):
    request = document(parameters={"binary_data_size": TENSOR.nbytes})
    del request["inputs"][0]["data"]
    assert "data" in infer_binary(server, request, TENSOR.tobytes()).json["outputs"][0]


def test_more_items_than_a_batch_come_back_in_order(server: ServerProcess):
    many = np.concatenate([np.full((1, 3, 16, 16), n / 40, np.float32) for n in range(20)])
    request = document(shape=list(many.shape), data=many.ravel().tolist())
    output = infer(server, request).json["outputs"][0]
    means = np.reshape(output["data"], output["shape"]).mean((1, 2, 3))
    np.testing.assert_allclose(means, 1 / (1 + np.exp(-(0.4 - np.arange(20) / 40) * 40)), atol=1e-5)


@pytest.mark.parametrize(
    ("request_body", "status", "word"),
    [
        pytest.param(document(name="picture"), 400, "image", id="another input name"),
        pytest.param(document(datatype="INT8"), 400, "FP32", id="another type"),
        pytest.param(document(shape=[2, 4, 32, 48]), 400, "shape", id="four channels"),
        pytest.param(document(shape=[3, 32, 48]), 400, "shape", id="rank three"),
        pytest.param(document(shape=[2, 3, 32, -1]), 400, "shape", id="a negative size"),
        pytest.param(document(shape="big"), 400, "shape", id="a shape that is none"),
        pytest.param(document(data=[1.0, 2.0]), 400, "elements", id="too few figures"),
        pytest.param(document(data=["a"] * TENSOR.size), 400, "numbers", id="letters for figures"),
        pytest.param(document(data=[[1.0], [1.0, 2.0]]), 400, "elements", id="ragged lists of another size"),
        pytest.param(document(data=None), 400, "data", id="no figures"),
        pytest.param(document(shape=[1, 3, 40_000, 40_000]), 413, "allowed", id="too many elements"),
        pytest.param(
            document(shape=[1 << 32, 3, 1 << 31, 16]), 413, "allowed", id="so many elements that a product overflows"
        ),
        pytest.param(
            document(shape=[1 << 62, 3, 16, 16], parameters={"binary_data_size": 0}),
            413,
            "allowed",
            id="a product of nought",
        ),
        pytest.param({"inputs": []}, 400, "image", id="no input"),
        pytest.param({"inputs": "image"}, 400, "inputs", id="inputs that are no list"),
        pytest.param([1, 2], 400, "inputs", id="a list for an object"),
        pytest.param({**document(), "outputs": [{"name": "depth"}]}, 400, "mask", id="an output that there is not"),
    ],
)
def test_a_wrong_tensor_is_refused_in_the_protocols_words_too(
    server: ServerProcess, request_body: object, status: int, word: str
):
    answer = infer(server, request_body)
    assert answer.status == status, answer.body
    assert word in answer.json["detail"]
    assert answer.json["error"] == answer.json["detail"]


def test_bytes_that_do_not_fit_their_shape_are_refused(server: ServerProcess):
    request = document(parameters={"binary_data_size": TENSOR.nbytes})
    assert infer_binary(server, request, TENSOR.tobytes()[:-4]).status == 400
    headers = {"Inference-Header-Content-Length": "99999999"}
    assert server.ask("POST", "/v2/models/pavement/infer", b"{}", headers).status == 400
    assert server.ask("POST", "/v2/models/pavement/infer", b"{no json").status == 400


def test_another_model_or_version_is_not_found(server: ServerProcess):
    assert infer(server, document(), "/v2/models/road/infer").status == 404
    assert infer(server, document(), "/v2/models/pavement/versions/9/infer").status == 404
    assert infer(server, document(), "/v2/models/pavement/versions/1.2.3/infer").status == 200


def test_the_published_client_understands_us(server: ServerProcess):
    client_package = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    client = client_package.InferenceServerClient(f"127.0.0.1:{server.port}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("pavement")
        assert client.get_model_metadata("pavement")["platform"] == "onnx_onnxv1"
        for binary in (True, False):
            tensor = client_package.InferInput("image", TENSOR.shape, "FP32")
            tensor.set_data_from_numpy(TENSOR, binary_data=binary)
            wanted = client_package.InferRequestedOutput("mask", binary_data=binary)
            result = client.infer("pavement", [tensor], outputs=[wanted])
            np.testing.assert_allclose(result.as_numpy("mask"), EXPECTED, atol=1e-5)
    finally:
        client.close()
