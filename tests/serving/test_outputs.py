"""A model with several outputs over the Open Inference Protocol: all of them, or those that a request names, on every wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from onnx import TensorProto, helper, numpy_helper
from tests.serving.pictures import cracked, encoded, mask_of, overlap
from tests.serving.process import ServerProcess
from tests.serving.waiting import until
from tritonclient.utils import InferenceServerException

from crackseg_local.controlplane import free_port

pytestmark = pytest.mark.serving

TENSOR = np.random.default_rng(3).random((3, 3, 16, 24), np.float32)
LOGITS = (0.4 - TENSOR.mean(1, keepdims=True)) * 40
EXPECTED = {
    "mask": 1 / (1 + np.exp(-LOGITS)),
    "dark": LOGITS[:, 0] > 0,
    "brightest": TENSOR.max((1, 2, 3)),
}


def several(path: Path, batch: int | str = "N") -> Path:
    """The dark model with outputs beside its mask: truths [N, H, W], a figure for each picture [N], and one for all of them [1]."""
    full = [batch, 3, "H", "W"]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["level", "brightness"], ["darkness"]),
        helper.make_node("Mul", ["darkness", "steepness"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["mask"]),
        helper.make_node("Squeeze", ["logits", "axis"], ["flat"]),
        helper.make_node("Greater", ["flat", "zero"], ["dark"]),
        helper.make_node("ReduceMax", ["image"], ["brightest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Identity", ["about"], ["all"]),
    ]
    outputs = [
        ("brightest", TensorProto.FLOAT, [batch]),
        ("mask", TensorProto.FLOAT, [batch, 1, "H", "W"]),
        ("dark", TensorProto.BOOL, [batch, "H", "W"]),
        ("all", TensorProto.FLOAT, [7]),
    ]
    constants: dict[str, Any] = {"level": np.float32(0.4), "steepness": np.float32(40), "zero": np.float32(0)}
    constants |= {"axis": np.array([1], np.int64), "about": np.arange(7, dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, full)],
        [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module", params=["N", 2], ids=["any number of items in a run", "two items in a run"])
def served(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, int]]:
    folder = tmp_path_factory.mktemp("several")
    port = free_port()
    model = several(folder / "model.onnx", request.param)
    server = ServerProcess(folder, MODEL_PATH=str(model), MODEL_NAME="pavement", GRPC_PORT=str(port))
    try:
        server.wait_ready()
        until(lambda: any(line["message"] == "listening for gRPC" for line in server.lines), "gRPC's port")
        yield server, port
    finally:
        server.kill()


@pytest.fixture(params=["http", "grpc"])
def client(request, served: tuple[ServerProcess, int]) -> Iterator[tuple[Any, Any]]:
    """The published client of each wire."""
    module, port = (triton_http, served[0].port) if request.param == "http" else (triton_grpc, served[1])
    made = module.InferenceServerClient(f"127.0.0.1:{port}")
    yield module, made
    made.close()


def given(module: Any, array: np.ndarray = TENSOR) -> Any:
    tensor = module.InferInput("image", array.shape, "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


def same(found: np.ndarray | None, name: str) -> None:
    assert found is not None
    assert (found.shape, found.dtype) == (EXPECTED[name].shape, EXPECTED[name].dtype)
    np.testing.assert_allclose(found, EXPECTED[name], atol=1e-5)


def test_all_outputs_come_where_none_is_named(client):
    module, asking = client
    result = asking.infer("pavement", [given(module)])
    for name in EXPECTED:
        same(result.as_numpy(name), name)


@pytest.mark.parametrize("names", [("mask",), ("dark",), ("brightest", "mask"), ("mask", "brightest", "dark")])
def test_those_that_are_named_come_in_their_order_and_no_others(client, names: tuple[str, ...]):
    module, asking = client
    result = asking.infer("pavement", [given(module)], outputs=[module.InferRequestedOutput(name) for name in names])
    response = result.get_response()
    outputs = response["outputs"] if module is triton_http else response.outputs
    assert [output["name"] if module is triton_http else output.name for output in outputs] == list(names)
    for name in names:
        same(result.as_numpy(name), name)


def test_an_output_that_is_not_there_or_not_of_each_item_is_refused(client):
    module, asking = client
    for names in (["nothing"], ["all"], ["mask", "mask"]):
        outputs = [module.InferRequestedOutput(name) for name in names]
        with pytest.raises(InferenceServerException, match="this model has the output"):
            asking.infer("pavement", [given(module)], outputs=outputs)


def test_metadata_and_configuration_name_them_all(served: tuple[ServerProcess, int]):
    server, _ = served
    found = server.ask("GET", "/v2/models/pavement").json["outputs"]
    assert [(output["name"], output["datatype"], output["shape"]) for output in found] == [
        ("mask", "FP32", [-1, 1, -1, -1]),
        ("brightest", "FP32", [-1]),
        ("dark", "BOOL", [-1, -1, -1]),
    ]
    configured = server.ask("GET", "/v2/models/pavement/config").json["output"]
    assert [output["data_type"] for output in configured] == ["TYPE_FP32", "TYPE_FP32", "TYPE_BOOL"]


def test_numbers_and_bytes_may_be_asked_for_side_by_side(served: tuple[ServerProcess, int]):
    server, _ = served
    tensor = {"name": "image", "datatype": "FP32", "shape": list(TENSOR.shape), "data": TENSOR.ravel().tolist()}
    outputs = [{"name": "dark"}, {"name": "mask", "parameters": {"binary_data": True}}, {"name": "brightest"}]
    body = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    answer = server.ask("POST", "/v2/models/pavement/infer", body)
    length = int(answer.headers["inference-header-content-length"])
    dark, mask, brightest = json.loads(answer.body[:length])["outputs"]
    assert dark["data"] == EXPECTED["dark"].ravel().tolist()
    assert brightest["data"] == pytest.approx(EXPECTED["brightest"].tolist())
    assert mask["parameters"] == {"binary_data_size": len(answer.body) - length}
    same(np.frombuffer(answer.body[length:], np.float32).reshape(mask["shape"]), "mask")


def test_photographs_see_the_mask_alone(served: tuple[ServerProcess, int]):
    picture, truth = cracked()
    answer = served[0].segment(encoded(picture), "?output=mask")
    assert overlap(mask_of(answer.body), truth) > 0.9
