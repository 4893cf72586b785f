"""The classification extension over both wires, asked by the published clients: an output's greatest values as text."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tests.serving.grpc.test_service import GrpcServer
from tests.serving.models import DarkModel
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.serving

TENSOR = np.random.default_rng(5).random((2, 3, 16, 24), np.float32)
DARKNESS = 1 / (1 + np.exp(-(0.4 - TENSOR.mean(1)) * 40))


@pytest.fixture(scope="module")
def served(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    server = GrpcServer(tmp_path_factory.mktemp("classes"), dark_model)
    try:
        yield server.wait_listening()
    finally:
        server.close()


def tensor(module: Any) -> Any:
    given = module.InferInput("image", TENSOR.shape, "FP32")
    given.set_data_from_numpy(TENSOR)
    return given


def check(texts: np.ndarray, values: np.ndarray, count: int, names: tuple[str, ...]) -> None:
    """That `texts` [items, count] are the greatest of `values` [items, channels, H, W]."""
    assert texts.shape == (len(values), count)
    for found, item in zip(texts, values, strict=True):
        parts = [text.decode().split(":") for text in found]
        places = [int(place) for _, place, _ in parts]
        np.testing.assert_allclose(
            [float(value) for value, _, _ in parts], np.sort(item.ravel())[::-1][:count], atol=1e-5
        )
        np.testing.assert_allclose([float(value) for value, _, _ in parts], item.ravel()[places], atol=1e-5)
        assert [name for _, _, name in parts] == [names[place // item[0].size] for place in places]


@pytest.mark.parametrize("count", [1, 5])
def test_the_greatest_values_come_over_http(served: GrpcServer, count: int):
    with triton_http.InferenceServerClient(f"127.0.0.1:{served.process.port}") as client:
        for binary in (True, False):
            wanted = triton_http.InferRequestedOutput("mask", binary_data=binary, class_count=count)
            texts = client.infer("pavement", [tensor(triton_http)], outputs=[wanted]).as_numpy("mask")
            as_bytes = texts if binary else np.vectorize(str.encode, otypes=[object])(texts)
            check(as_bytes, DARKNESS[:, None], count, ("crack",))


def test_they_come_over_grpc_and_in_a_stream(served: GrpcServer):
    wanted = triton_grpc.InferRequestedOutput("mask", class_count=4)
    found = served.client.infer("pavement", [tensor(triton_grpc)], outputs=[wanted])
    check(found.as_numpy("mask"), DARKNESS[:, None], 4, ("crack",))
    answers: queue.Queue = queue.Queue()
    served.client.start_stream(lambda result, error: answers.put((result, error)))
    try:
        served.client.async_stream_infer("pavement", [tensor(triton_grpc)], outputs=[wanted])
        check(answers.get(timeout=60)[0].as_numpy("mask"), DARKNESS[:, None], 4, ("crack",))
    finally:
        served.client.stop_stream()


def test_more_than_there_are_are_all(served: GrpcServer):
    wanted = triton_grpc.InferRequestedOutput("mask", class_count=1000)
    found = served.client.infer("pavement", [tensor(triton_grpc)], outputs=[wanted]).as_numpy("mask")
    check(found, DARKNESS[:, None], 16 * 24, ("crack",))


def test_channels_have_their_classes_names(tmp_path: Path):
    server = GrpcServer(tmp_path, DarkModel(head="softmax").save(tmp_path / "softmax.onnx"))
    try:
        server.wait_listening()
        wanted = triton_grpc.InferRequestedOutput("mask", class_count=500)
        found = server.client.infer("pavement", [tensor(triton_grpc)], outputs=[wanted]).as_numpy("mask")
        whole = server.client.infer("pavement", [tensor(triton_grpc)]).as_numpy("mask")
        check(found, whole, 500, ("background", "crack"))
    finally:
        server.close()


@pytest.mark.parametrize("count", [0, -1, 1001, True, "3", 1.5])
def test_a_count_that_makes_no_sense_is_refused(served: GrpcServer, count: object):
    request = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": list(TENSOR.shape), "data": TENSOR.ravel().tolist()}],
        "outputs": [{"name": "mask", "parameters": {"classification": count}}],
    }
    answer = served.process.ask("POST", "/v2/models/pavement/infer", json.dumps(request).encode())
    assert (answer.status, "classification" in answer.json["error"]) == (400, True)
    if isinstance(count, int) and count > 1:
        wanted = triton_grpc.InferRequestedOutput("mask", class_count=count)
        with pytest.raises(InferenceServerException, match="classification"):
            served.client.infer("pavement", [tensor(triton_grpc)], outputs=[wanted])
