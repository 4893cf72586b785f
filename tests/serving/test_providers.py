"""Which provider serves a model: the faster one of those that give the same; and graphs of 8 bits on all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.serving.conftest import Serve
from tests.serving.models import DarkModel, slowed
from tests.serving.pictures import mask_of, overlap

from crackseg_serving.engine import Engine
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import loading
from crackseg_serving.runtime.session import Graph, Session, open_sessions
from crackseg_serving.runtime.warmup import fastest
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving

SAMPLES = Path(__file__).parents[2] / "deploy/samples"
SIDE = 256
openvino = pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="the package onnxruntime-openvino is not installed (it replaces onnxruntime)",
)


def opened(model: onnx.ModelProto, path: Path) -> Session:
    onnx.save(model, path)
    return open_sessions(Graph(path), 1)[0]


@pytest.fixture
def quick() -> onnx.ModelProto:
    return DarkModel().build()


def test_the_faster_of_two_is_taken_whichever_comes_first(quick, tmp_path):
    fast, slow = opened(quick, tmp_path / "fast.onnx"), opened(slowed(quick), tmp_path / "slow.onnx")

    assert fastest([slow, fast], SIDE) is fast
    assert fastest([fast, slow], SIDE) is fast


def test_what_the_main_thread_does_meanwhile_is_not_counted(quick, tmp_path):
    slow, fast = opened(slowed(quick), tmp_path / "slow.onnx"), opened(quick, tmp_path / "fast.onnx")
    with ThreadPoolExecutor(1) as beside:
        chosen = beside.submit(fastest, [slow, fast], SIDE)
        while not chosen.done():
            sum(range(1000))

    assert chosen.result() is fast


def test_a_faster_one_that_gives_other_figures_is_not_taken(quick, tmp_path):
    first = opened(slowed(quick), tmp_path / "slow.onnx")
    other = opened(DarkModel(scale=0.5).build(), tmp_path / "other.onnx")

    assert fastest([first, other], SIDE) is first


def test_a_faster_one_that_cannot_be_run_is_not_taken(quick, tmp_path):
    first = opened(quick, tmp_path / "quick.onnx")
    small = opened(DarkModel(height=64, width=64).build(), tmp_path / "small.onnx")

    assert fastest([first, small], SIDE) is first


def test_a_model_of_8_bits_is_served_and_says_what_it_is(serve: Serve):
    photograph = (SAMPLES / "photographs/branching.jpg").read_bytes()
    both = [serve(MODEL_PATH=str(SAMPLES / f"{name}.onnx")) for name in ("pavement-2.0.0", "pavement-2.0.0-int8")]
    plain, small = (one.wait_ready().segment(photograph, "?output=mask") for one in both)
    told = both[1].ask("GET", "/model/info").json

    assert overlap(mask_of(plain.body), mask_of(small.body)) > 0.97
    assert told["version"] == "2.0.0-int8"
    assert told["metadata"]["crackseg.precision"] == "INT8"


@openvino
@pytest.mark.parametrize("name", ["pavement-2.0.0", "pavement-2.0.0-int8"])
def test_openvino_gives_what_onnx_runtime_gives(name: str):
    alone, other = open_sessions(Graph(SAMPLES / f"{name}.onnx"), 2)
    picture = np.random.default_rng(0).normal(0, 1, (1, 3, 128, 160)).astype(np.float32)
    expected = alone.run(picture)

    assert (alone.provider, other.provider) == ("CPUExecutionProvider", "OpenVINOExecutionProvider")
    assert np.abs(other.run(picture) - expected).mean() < 0.02
    assert np.abs(other.run_wide(picture) - expected).mean() < 0.02


@openvino
def test_the_provider_that_was_found_serves(dark_model: Path):
    engine = Engine(from_environment({"MODEL_PATH": str(dark_model), "TILE_SIZE": "64"}), Metrics())
    engine.use(loading.load(engine.settings))

    assert engine.model.provider in {"CPUExecutionProvider", "OpenVINOExecutionProvider"}
