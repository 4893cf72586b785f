"""KServe's own client against our server, REST and gRPC.

Its dependencies take 450 MB, so it is no part of the development environment: `pip install kserve` to run this.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.serving.process import ServerProcess
from tests.serving.waiting import until

from crackseg_local.controlplane import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its own dependencies will drop one day
    kserve = pytest.importorskip("kserve", reason="KServe's client is not installed: pip install kserve")

pytestmark = [pytest.mark.serving, pytest.mark.filterwarnings("ignore")]

TENSOR = np.random.default_rng(5).random((2, 3, 16, 24), np.float32)
EXPECTED = 1 / (1 + np.exp(-(0.4 - TENSOR.mean(1, keepdims=True)) * 40))


@pytest.fixture(scope="module")
def served(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of a server for REST and gRPC."""
    port = free_port()
    folder = tmp_path_factory.mktemp("kserve")
    server = ServerProcess(folder, MODEL_PATH=str(dark_model), MODEL_NAME="pavement", GRPC_PORT=str(port))
    try:
        server.wait_ready()
        until(lambda: any(line["message"] == "listening for gRPC" for line in server.lines), "gRPC's port")
        yield server.port, port
    finally:
        server.kill()


def request(*, binary: bool) -> object:
    tensor = kserve.InferInput("image", list(TENSOR.shape), "FP32")
    tensor.set_data_from_numpy(TENSOR, binary_data=binary)
    return kserve.InferRequest(model_name="pavement", infer_inputs=[tensor], request_id="seven")


@pytest.mark.parametrize("binary", [pytest.param(True, id="as bytes"), pytest.param(False, id="as numbers")])
def test_its_rest_client_is_answered(served: tuple[int, int], binary: object):
    async def ask() -> None:
        url = f"http://127.0.0.1:{served[0]}"
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", timeout=60))
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "pavement")
        found = await client.infer(url, request(binary=bool(binary)), model_name="pavement")
        np.testing.assert_allclose(found.outputs[0].as_numpy(), EXPECTED, atol=1e-5)
        assert (found.id, found.model_name, found.outputs[0].name) == ("seven", "pavement", "mask")
        await client.close()

    asyncio.run(ask())


def test_its_grpc_client_is_answered(served: tuple[int, int]):
    async def ask() -> None:
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{served[1]}", timeout=60)
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("pavement")
        for binary in (True, False):
            found = await client.infer(request(binary=binary))
            np.testing.assert_allclose(found.outputs[0].as_numpy(), EXPECTED, atol=1e-5)
            assert (found.id, found.model_name, found.outputs[0].name) == ("seven", "pavement", "mask")
        await client.close()

    asyncio.run(ask())
