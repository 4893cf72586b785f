"""The engine without HTTP: a session that hangs, big images beside small ones, runs on all cores, what Auto means."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded
from tests.serving.waiting import until

from crackseg_serving import engine as engine_module
from crackseg_serving.admission import Ticket
from crackseg_serving.batching import Array
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.operations import health, ready
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import loading
from crackseg_serving.segmentation import Output, segment
from crackseg_serving.settings import from_environment

DEADLINE = 120.0
ROUNDS = 100_000  # of a loop: seconds, where a run takes milliseconds

ASKED: Any = None  # neither answer depends on what was asked

pytestmark = pytest.mark.serving


def load(model: Path, processors: int = 2, **settings: str) -> Engine:
    own = {"MODEL_PATH": str(model), "MODEL_NAME": "dark", "TILE_SIZE": "64", "TILE_OVERLAP": "0"}
    made = from_environment({**own, **settings})
    made = dataclasses.replace(made, processors=processors, workers=2 * processors)
    engine = Engine(made, Metrics())
    engine.use(loading.load(engine.settings))
    engine.serve()
    return engine


def figure(engine: Engine, name: str, **labels: str) -> float:
    return engine.metrics.registry.get_sample_value(name, labels) or 0.0


def hanging_model(path: Path) -> Path:
    """A model of 64 x 64 pixels that goes round a loop, as if for ever, when it sees nothing but black."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["on_out"]),
            helper.make_node("Cos", ["before"], ["after"]),
        ],
        "again",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Less", ["brightest", "little"], ["black"]),
        helper.make_node("Where", ["black", "many", "none"], ["rounds"]),
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Loop", ["rounds", "", "grey"], ["turned"], body=body),
        helper.make_node("Sigmoid", ["turned"], ["mask"]),
    ]
    constants = {"little": np.float32(1e-6), "many": np.int64(ROUNDS), "none": np.int64(0)}
    graph = helper.make_graph(
        nodes,
        "hangs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def ticket() -> Ticket:
    return Ticket(time.monotonic() + DEADLINE)


def ask(engine: Engine, data: bytes, of: Ticket) -> Future[bytes]:
    return engine.start(lambda: segment(engine, data, Output.MASK, None, of), of)


def run(engine: Engine, items: Array, of: Ticket) -> Future[Array]:
    return engine.start(lambda: engine.run_tensors(items, of, ["mask"])[0], of)


def test_a_session_that_hangs_is_neither_alive_nor_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_module, "_HUNG_SECONDS", 0.3)
    monkeypatch.setattr(engine_module, "_HUNG_TIMES", 3)
    engine = load(hanging_model(tmp_path / "hangs.onnx"))
    grey, black = np.full((1, 3, 64, 64), 0.5, np.float32), np.zeros((1, 3, 64, 64), np.float32)
    assert run(engine, grey, ticket()).result(DEADLINE).shape == (1, 1, 64, 64)
    assert (engine.alive, engine.state.ready, asyncio.run(health(engine, ASKED)).status) == (True, True, 200)

    def hangs() -> bool:
        """Whether a run is noticed to hang; where it has not even begun in its time, the next one will."""
        with pytest.raises(Refused) as refused:
            run(engine, black, Ticket(time.monotonic() + 0.2)).result(DEADLINE)
        assert refused.value.cause == Cause.TIMED_OUT
        return not engine.alive

    until(hangs, "the hanging run to be noticed")
    assert engine.state.reason == "Hung"
    assert "has not ended" in engine.state.message
    assert (asyncio.run(health(engine, ASKED)).status, asyncio.run(ready(engine, ASKED)).status) == (503, 503)
    until(lambda: engine.alive, "the run to end after all")
    assert engine.state.ready


def test_a_small_image_is_answered_while_more_big_ones_than_places_are_worked_on(dark_model: Path):
    engine = load(dark_model, TILE_OVERLAP="32")
    big, small = encoded(cracked(4000, 4000)[0], ".jpg"), encoded(cracked(64, 64)[0])
    tickets = [ticket() for _ in range(2 * engine.settings.workers)]
    giants = [ask(engine, big, one) for one in tickets]
    until(lambda: figure(engine, "crackseg_batch_size_sum") > 8 * len(giants), "the big ones' tiles to be run")
    assert ask(engine, small, ticket()).result(DEADLINE)
    assert not any(giant.done() for giant in giants)
    for one in tickets:
        one.cancel()
    until(lambda: all(giant.done() for giant in giants), "all to be called off")


def test_a_lone_image_runs_on_all_cores_and_many_on_one_each(tmp_path: Path):
    engine = load(DarkModel(slow_nodes=0).save(tmp_path / "dark.onnx"), TILE_SIZE="1024")
    picture = encoded(cracked(1000, 1000)[0])
    ask(engine, picture, ticket()).result(DEADLINE)
    assert figure(engine, "crackseg_run_duration_seconds_count", cores="all") == 1
    together = threading.Event()
    for _ in range(engine.settings.workers):
        engine.start(lambda: together.wait(DEADLINE), ticket())
    asked = [ask(engine, picture, ticket()) for _ in range(12)]
    together.set()
    for future in asked:
        future.result(DEADLINE)
    assert figure(engine, "crackseg_run_duration_seconds_count", cores="one") > 8


def test_a_small_model_runs_on_one_core_though_it_is_alone(tmp_path: Path):
    engine = load(DarkModel(slow_nodes=0).save(tmp_path / "dark.onnx"), TILE_SIZE="256")
    for _ in range(3):
        ask(engine, encoded(cracked(256, 256)[0]), ticket()).result(DEADLINE)
    assert figure(engine, "crackseg_run_duration_seconds_count", cores="one") == 3
    assert figure(engine, "crackseg_run_duration_seconds_count", cores="all") == 0


def test_one_processor_has_nothing_to_spread(dark_model: Path):
    engine = load(dark_model, processors=1)
    ask(engine, encoded(cracked(64, 64)[0]), ticket()).result(DEADLINE)
    assert figure(engine, "crackseg_run_duration_seconds_count", cores="all") == 0


def test_many_tensors_of_one_request_are_shared_among_the_runners(tmp_path: Path):
    model = DarkModel(head="logits").save(tmp_path / "logits.onnx")
    for size, most in (("8", 3), ("Auto", 3), ("2", 2)):
        engine = load(model, BATCH_SIZE=size)
        items = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) / 10 * np.ones((6, 3, 32, 32), np.float32)
        found = run(engine, items, ticket()).result(DEADLINE)
        assert found[:, 0, 0, 0] == pytest.approx((0.4 - items[:, 0, 0, 0]) * 40, abs=1e-3)
        assert figure(engine, "crackseg_batch_size_count") >= 6 / most


def test_a_client_that_leaves_takes_its_tiles_out_of_the_queue(dark_model: Path):
    engine = load(dark_model, TILE_OVERLAP="32")
    big = encoded(cracked(4000, 4000)[0], ".jpg")
    left = ticket()
    future = ask(engine, big, left)
    until(lambda: figure(engine, "crackseg_batch_size_sum") > 8, "its tiles to be run")
    left.cancel()
    with pytest.raises(Refused) as refused:
        future.result(DEADLINE)
    assert refused.value.cause == Cause.CLIENT_GONE
    until(lambda: engine.queue_depth() == 0, "an empty queue")
    assert figure(engine, "crackseg_batch_size_sum") < 124 * 124
