"""Runs on a card: lanes with sessions, threads and buffers of their own. The processor's memory stands in for a card's."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from crackseg_serving.runtime.lanes import Device, Lanes

pytestmark = pytest.mark.serving

HERE = Device("cpu")
PATIENCE = 120.0  # seconds


@pytest.fixture
def counting(tmp_path: Path) -> Callable[[], onnxruntime.InferenceSession]:
    """Opens a model that adds to its input how many items the run has."""
    nodes = [
        helper.make_node("Shape", ["image"], ["count"], start=0, end=1),
        helper.make_node("Cast", ["count"], ["figure"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["image", "figure"], ["mask"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "counting",
        [value("image", TensorProto.FLOAT, ["N", "L"])],
        [value("mask", TensorProto.FLOAT, ["N", "L"])],
    )
    path = tmp_path / "counting.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return lambda: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


class Watched:
    """A session that tells what it is asked."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.threads = {threading.get_ident()}
        self.during: Callable[[], None] = lambda: None

    def run(self, *asked: Any) -> Any:
        self.threads.add(threading.get_ident())
        self.during()
        return self._session.run(*asked)

    def run_with_iobinding(self, *asked: Any) -> None:
        self.threads.add(threading.get_ident())
        self._session.run_with_iobinding(*asked)

    def io_binding(self) -> Any:
        return self._session.io_binding()

    def get_providers(self) -> list[str]:
        return list(self._session.get_providers())

    def release_captured_graph(self, name: int) -> None:
        self._session.release_captured_graph(name)


def items(count: int, start: float = 0.0) -> NDArray[np.float32]:
    return np.arange(count * 4, dtype=np.float32).reshape(count, 4) + np.float32(start)


def run(lanes: Lanes, batch: NDArray[np.float32]) -> NDArray[np.generic]:
    return lanes.run(["mask"], {"image": batch})[0]


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize(("count", "run_as"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 5)])
def test_a_run_is_filled_up_to_the_next_that_is_prepared(counting, count: int, run_as: int, *, record: bool):
    lanes = Lanes([(HERE, counting)], record=record)
    for prepared in (4, 1, 2):
        lanes.prepare("mask", "image", items(prepared))

    for start in (0.0, 100.0):
        np.testing.assert_array_equal(run(lanes, items(count, start)), items(count, start) + run_as)
    lanes.close()


def test_what_was_prepared_is_forgotten_above_a_size(counting):
    lanes = Lanes([(HERE, counting)], record=True)
    for prepared in (1, 8):
        lanes.prepare("mask", "image", items(prepared))
    lanes.forget(4)

    np.testing.assert_array_equal(run(lanes, items(3)), items(3) + 3)
    lanes.close()


def test_an_answer_stays_as_it_is_when_the_next_run_comes(counting):
    lanes = Lanes([(HERE, counting)], record=True)
    lanes.prepare("mask", "image", items(1))
    first = run(lanes, items(1))
    run(lanes, items(1, 50.0))

    np.testing.assert_array_equal(first, items(1) + 1)
    lanes.close()


def test_items_of_another_shape_are_run_as_they_are(counting):
    lanes = Lanes([(HERE, counting)], record=True)
    lanes.prepare("mask", "image", items(4))
    wide = np.ones((2, 9), np.float32)

    np.testing.assert_array_equal(run(lanes, wide), wide + 2)
    lanes.close()


def test_two_lanes_run_at_once_each_in_its_own_thread(counting):
    watched: list[Watched] = []

    def start() -> Watched:
        watched.append(Watched(counting()))
        return watched[-1]

    lanes = Lanes([(HERE, start), (HERE, start)], record=True)
    lanes.prepare("mask", "image", items(2))
    together = threading.Barrier(2, timeout=PATIENCE)
    for one in watched:
        one.during = lambda: together.wait() and None
    with ThreadPoolExecutor(2) as callers:
        answers = list(callers.map(lambda start: run(lanes, items(5, start)), (0.0, 10.0)))

    np.testing.assert_array_equal(answers, [items(5) + 5, items(5, 10.0) + 5])
    assert [len(one.threads) for one in watched] == [1, 1]
    assert watched[0].threads.isdisjoint(watched[1].threads)
    lanes.close()


def test_a_run_that_fails_is_its_callers_and_the_lane_goes_on(counting):
    lanes = Lanes([(HERE, counting)], record=True)
    with pytest.raises(Exception, match="Invalid rank"):
        run(lanes, np.zeros(3, np.float32))

    np.testing.assert_array_equal(run(lanes, items(1)), items(1) + 1)
    lanes.close()


def lanes_alive() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("lane-")}


def test_a_session_that_cannot_be_opened_leaves_no_thread_behind(counting):
    before = lanes_alive()

    def fail() -> None:
        raise OSError("no card")

    with pytest.raises(OSError, match="no card"):
        Lanes([(HERE, counting), (HERE, fail)], record=True)
    for thread in lanes_alive() - before:
        thread.join(PATIENCE)

    assert lanes_alive() <= before


class Recorder(Watched):
    """Plays what it recorded under a name, whatever buffers it is given the next time: as CUDA does."""

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self._recorded: dict[str, Any] = {}

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        name = options.get_run_config_entry("gpu_graph_id")
        super().run_with_iobinding(self._recorded.setdefault(name, binding), options)


def test_every_size_has_a_recording_of_its_own(counting, caplog):
    lanes = Lanes([(HERE, lambda: Recorder(counting()))], record=True)
    for prepared in (1, 2, 4):
        lanes.prepare("mask", "image", items(prepared, 3.0))

    for count in (1, 2, 4):
        np.testing.assert_array_equal(run(lanes, items(count)), items(count) + count)
    assert "not recorded" not in caplog.text
    lanes.close()


def test_a_size_that_comes_after_others_were_forgotten_has_its_own_too(counting, caplog):
    lanes = Lanes([(HERE, lambda: Recorder(counting()))], record=True)
    for prepared in (1, 2, 4):
        lanes.prepare("mask", "image", items(prepared, 3.0))
    lanes.forget(1)
    lanes.prepare("mask", "image", items(3, 3.0))

    np.testing.assert_array_equal(run(lanes, items(3)), items(3) + 3)
    assert "not recorded" not in caplog.text
    lanes.close()


class Forgetful(Watched):
    """A recording that always plays the same."""

    plays = 1e9

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        super().run_with_iobinding(binding, options)
        if options.get_run_config_entry("gpu_graph_id") != "-1":
            output = binding.get_outputs()[0]
            output.update_inplace(np.full(output.shape(), self.plays, np.float32))


@pytest.mark.parametrize("plays", [1e9, 0.0, math.nan, math.inf])
def test_a_recording_that_gives_other_figures_is_not_used(counting, caplog, plays: float):
    def forgetful() -> Forgetful:
        session = Forgetful(counting())
        session.plays = plays
        return session

    lanes = Lanes([(HERE, forgetful)], record=True)
    lanes.prepare("mask", "image", items(2, 7.0))

    np.testing.assert_array_equal(run(lanes, items(2)), items(2) + 2)
    assert "not recorded" in caplog.text
    lanes.close()
