"""A model on cards, from the settings to an answer. No card is here: a session of the processor stands in for one of a card's,
and tells what ONNX Runtime was told."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pynvml
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.serving.models import DarkModel, slowed
from tests.serving.pictures import cracked, encoded, mask_of
from tests.serving.waiting import until

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, ModelFailure, Refused
from crackseg_serving.inference.tensors import expect
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import card as card_module
from crackseg_serving.runtime import loading, providers, session, warmup
from crackseg_serving.runtime.lanes import Device
from crackseg_serving.runtime.providers import CPU, CUDA, TENSORRT, cards
from crackseg_serving.runtime.session import Graph
from crackseg_serving.segmentation import Output, segment
from crackseg_serving.settings import Settings, from_environment

pytestmark = pytest.mark.serving

DEADLINE = 120.0


@dataclass
class Machine:
    """What the stand-in is like, and what was asked of it."""

    used: tuple[str, ...] = (CUDA, TENSORRT)  # providers that a session really uses
    records: bool = True
    seconds: float = 0.0  # of its own clock, that a run of one takes; of two, four times that
    clock: float = 0.0
    dead: str = ""  # what every run says from now on
    once: str = ""  # what the next run through buffers says
    broken: str = ""  # what ONNX Runtime says when a session is to be opened
    told: list[dict[str, dict[str, str]]] = field(default_factory=list)  # for each session, by provider
    runs: list[int] = field(default_factory=list)  # of how many items each run through buffers was

    def load(self, graph: Graph, options: Any, wanted: Any) -> Any:
        told = {name: dict(options) for name, options in wanted}
        first = next(iter(told))
        if first == CPU:
            return session.load_session(graph, options, wanted)
        recording = told.get(CUDA, {}).get("enable_cuda_graph") == "1"
        if recording and not self.records:
            raise RuntimeError("This session cannot use the graph capture feature")
        if self.broken:
            raise RuntimeError(self.broken)
        if first == TENSORRT:
            Path(told[TENSORRT]["trt_engine_cache_path"], "model.engine").write_text("engine")
        self.told.append(told)
        return Card(self, session.load_session(graph, options, [(CPU, {})]), first if first in self.used else CPU)


class Card:
    """A session that says it is a card's."""

    def __init__(self, machine: Machine, own: Any, provider: str) -> None:
        self._machine, self._own, self._provider = machine, own, provider

    def get_providers(self) -> list[str]:
        return [self._provider]

    def run(self, *asked: Any) -> Any:
        self._complain()
        return self._own.run(*asked)

    def _complain(self) -> None:
        once, self._machine.once = self._machine.once, ""
        if said := self._machine.dead or once:
            raise RuntimeError(said)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self._complain()
        count = binding.get_outputs()[0].shape()[0]
        self._machine.runs.append(count)
        self._machine.clock += count * count * self._machine.seconds
        self._own.run_with_iobinding(binding, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(card_module, "load_session", made.load)
    monkeypatch.setattr(card_module, "_KIND", "cpu")
    return made


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Settings]:
    def settings(model: DarkModel | None = None, **own: str) -> Settings:
        path = (model or DarkModel()).save(tmp_path / "model.onnx")
        always = {
            "MODEL_PATH": str(path),
            "TILE_SIZE": "64",
            "TILE_OVERLAP": "0",
            "ENGINE_CACHE": str(tmp_path / "kept"),
        }
        return from_environment({**always, "INFERENCE_DEVICE": "CUDA", **own})

    return settings


def served(settings: Settings) -> Engine:
    engine = Engine(settings, Metrics())
    engine.use(loading.load(settings))
    engine.serve()
    return engine


def mask(engine: Engine, photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ticket = Ticket(time.monotonic() + DEADLINE)
    answer = engine.start(lambda: segment(engine, encoded(photograph), Output.MASK, None, ticket), ticket)
    return mask_of(answer.result(DEADLINE))


def lanes() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("lane-")}


def test_a_photograph_has_the_mask_that_the_processor_gives(machine: Machine, asked):
    photograph, _ = cracked(200, 260)
    expected = mask(served(asked(INFERENCE_DEVICE="CPU")), photograph)
    engine = served(asked(BATCH_SIZE="8"))

    np.testing.assert_array_equal(mask(engine, photograph), expected)
    assert engine.model.provider == CUDA
    assert len(machine.told) == 2  # lanes
    assert all(told[CUDA]["enable_cuda_graph"] == "1" for told in machine.told)


def test_runs_have_the_sizes_that_were_prepared_and_no_others(machine: Machine, asked):
    engine = served(asked(BATCH_SIZE="6", BATCH_DELAY_MILLISECONDS="50"))
    prepared = set(machine.runs)
    machine.runs.clear()
    for side in (64, 128, 190):
        mask(engine, cracked(side, side)[0])

    assert prepared == {1, 2, 4, 6}
    assert machine.runs
    assert set(machine.runs) <= prepared


def test_how_many_images_make_a_run_is_measured_and_the_rest_is_given_back(machine: Machine, asked, monkeypatch):
    monkeypatch.setattr(warmup, "_clock", lambda _session: lambda: machine.clock)
    machine.seconds = 0.02  # two at once lose
    loaded = loading.load(asked(BATCH_SIZE="Auto"))
    tried = set(machine.runs)
    machine.runs.clear()
    for count in (2, 1):
        assert len(loaded.session.run(np.zeros((count, 3, 64, 64), np.float32))) == count

    assert loaded.warmth.batch_size == 1
    assert tried == {1, 2}
    assert machine.runs == [1]  # two are run as any session would


def test_a_graph_of_fixed_batch_is_prepared_for_that_alone(machine: Machine, asked):
    engine = served(asked(DarkModel(batch=4), BATCH_SIZE="8"))
    mask(engine, cracked(64, 64)[0])

    assert set(machine.runs) == {4}


def test_a_model_that_cannot_be_recorded_is_served_all_the_same(machine: Machine, asked, caplog):
    machine.records = False
    photograph, _ = cracked(64, 64)
    engine = served(asked())

    assert mask(engine, photograph).any()
    assert all(told[CUDA]["enable_cuda_graph"] == "0" for told in machine.told)
    assert "runs are not recorded" in caplog.text


@pytest.mark.parametrize("device", ["CUDA", "TensorRT"])
def test_a_card_that_is_asked_for_and_not_used_ends_the_start(machine: Machine, asked, device: str):
    machine.used = ()
    with pytest.raises(ModelFailure, match=f"{device} was asked for and is not used") as failed:
        served(asked(INFERENCE_DEVICE=device))

    assert failed.value.reason == "ProviderFallback"


@pytest.mark.parametrize("device", ["CUDA", "TensorRT"])
def test_a_library_that_is_missing_is_no_fault_of_the_model(machine: Machine, asked, device: str):
    machine.broken = "Please install TensorRT libraries as mentioned in the GPU requirements page"
    with pytest.raises(ModelFailure, match="not used; ONNX Runtime says: Please install TensorRT") as failed:
        served(asked(INFERENCE_DEVICE=device))

    assert failed.value.reason == "ProviderFallback"


@pytest.mark.parametrize("device", ["CUDA", "TensorRT"])
def test_a_file_that_is_no_model_is_the_models_fault(machine: Machine, asked, device: str):
    settings = asked(INFERENCE_DEVICE=device)
    settings.model_path.write_bytes(b"no model")
    with pytest.raises(ModelFailure, match="is not ONNX") as failed:
        served(settings)

    assert failed.value.reason == "ContractMismatch"


def test_a_card_without_room_is_said_to_be_one(machine: Machine, asked):
    machine.broken = "Failed to allocate memory for requested buffer of size 1024"
    with pytest.raises(ModelFailure, match="memory of card 0") as failed:
        served(asked())

    assert failed.value.reason == "OutOfMemory"


def test_a_card_that_computes_no_more_is_neither_alive_nor_ready(machine: Machine, asked):
    engine = served(asked())
    machine.dead = "CUDA failure 700: an illegal memory access was encountered"
    with pytest.raises(Refused) as refused:
        mask(engine, cracked(64, 64)[0])

    assert refused.value.cause == Cause.INFERENCE_FAILED
    assert (engine.alive, engine.state.reason) == (False, "CardFailed")
    assert "CUDA failure 700" in engine.state.message


def test_a_run_that_fails_once_does_not_end_the_process(machine: Machine, asked):
    engine = served(asked())
    machine.once = "an input that the graph does not take"
    with pytest.raises(Refused):
        mask(engine, cracked(64, 64)[0])

    assert engine.alive
    assert engine.state.ready
    assert mask(engine, cracked(64, 64)[0]).any()


def test_auto_goes_on_with_the_processor_where_the_card_is_not_used(machine: Machine, asked, monkeypatch, caplog):
    monkeypatch.setattr(providers, "cards", lambda: [0])
    machine.used = ()
    engine = served(asked(INFERENCE_DEVICE="Auto"))

    assert mask(engine, cracked(64, 64)[0]).any()
    assert engine.model.provider == CPU
    assert "it is not used" in caplog.text


def test_the_library_may_not_go_on_with_the_processor_by_itself(asked):
    # What its own fallback would do can only be seen where a provider fails: on a card.
    opened = session.load_session(Graph(asked().model_path), onnxruntime.SessionOptions(), [(CPU, {})])

    assert opened._enable_fallback is False


def test_auto_takes_the_card(machine: Machine, asked, monkeypatch):
    monkeypatch.setattr(providers, "cards", lambda: [0])

    assert served(asked(INFERENCE_DEVICE="Auto")).model.provider == CUDA


def test_every_card_has_its_lanes(machine: Machine, asked, monkeypatch):
    monkeypatch.setattr(card_module, "cards", lambda: [0, 1, 2])
    monkeypatch.setattr(card_module, "Device", lambda kind, _number: Device(kind, 0))
    served(asked())

    assert [told[CUDA]["device_id"] for told in machine.told] == ["0", "0", "1", "1", "2", "2"]


def test_tensorrt_builds_for_the_tile_and_the_batches_that_are_served(machine: Machine, asked):
    engine = served(asked(INFERENCE_DEVICE="TensorRT", BATCH_SIZE="6"))
    told = machine.told[0][TENSORRT]

    assert engine.model.provider == TENSORRT
    assert told["trt_profile_min_shapes"] == "image:1x3x64x64"
    assert told["trt_profile_max_shapes"] == told["trt_profile_opt_shapes"] == "image:6x3x64x64"
    assert told["trt_fp16_enable"] == "0"
    assert told["trt_cuda_graph_enable"] == "0"  # it keeps one recording, and there are four sizes
    assert mask(engine, cracked(64, 64)[0]).any()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        pytest.param(DarkModel(layout="NHWC"), "64x64x3", id="channels last"),
        pytest.param(DarkModel(channels=1), "1x64x64", id="grey"),
        pytest.param(DarkModel(height=96, width=128), "3x96x128", id="a size that the graph fixes"),
        pytest.param(DarkModel(metadata={"crackseg.input.size": "80,48"}), "3x80x48", id="the whole picture"),
    ],
)
def test_tensorrt_builds_for_the_shape_of_the_model(machine: Machine, asked, model: DarkModel, shape: str):
    served(asked(model, INFERENCE_DEVICE="TensorRT", BATCH_SIZE="1"))

    assert machine.told[0][TENSORRT]["trt_profile_max_shapes"] == f"image:1x{shape}"
    assert machine.told[0][TENSORRT]["trt_cuda_graph_enable"] == "1"


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(DarkModel(metadata={"crackseg.precision": "FP16"}), id="by its metadata"),
        pytest.param(DarkModel(dtype=TensorProto.FLOAT16), id="by its input"),
    ],
)
def test_tensorrt_may_compute_in_fp16_where_the_file_does(machine: Machine, asked, model: DarkModel):
    served(asked(model, INFERENCE_DEVICE="TensorRT"))

    assert machine.told[0][TENSORRT]["trt_fp16_enable"] == "1"


def test_tensors_of_another_size_are_refused_where_an_engine_would_have_to_be_built(machine: Machine, asked):
    signature = served(asked(INFERENCE_DEVICE="TensorRT", BATCH_SIZE="2")).model.signature

    assert expect(signature, ["image"], "FP32", [9, 3, 64, 64], 1 << 20).count == 9 * 3 * 64 * 64
    with pytest.raises(Refused, match=r"must have shape \[.*3, 64, 64\]"):
        expect(signature, ["image"], "FP32", [1, 3, 128, 128], 1 << 20)


def test_the_engine_of_the_first_start_is_there_for_the_second(machine: Machine, asked):
    for _ in range(2):
        served(asked(INFERENCE_DEVICE="TensorRT"))
    folders = [told[TENSORRT]["trt_engine_cache_path"] for told in machine.told]
    other = asked(DarkModel(scale=255), INFERENCE_DEVICE="TensorRT")
    served(other)

    assert "building-" in folders[0]
    assert Path(folders[-1]).is_relative_to(other.engine_cache)
    assert "building-" not in folders[-1]
    assert "building-" in machine.told[-1][TENSORRT]["trt_engine_cache_path"]  # another model has its own


def test_memory_of_cards_is_among_the_metrics(machine: Machine, asked, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda card: card)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda card: SimpleNamespace(used=100 + card, total=1000))
    registry = served(asked()).metrics.registry

    for card, state, expected in (("0", "used", 100), ("1", "used", 101), ("1", "total", 1000)):
        assert registry.get_sample_value("crackseg_device_memory_bytes", {"card": card, "state": state}) == expected


def test_without_a_driver_that_answers_metrics_are_read_all_the_same(machine: Machine, asked, caplog):
    engine = served(asked())
    text, _ = engine.metrics.exposition()

    assert b"crackseg_model_info" in text
    assert b"crackseg_device_memory_bytes" not in text
    assert "memory of cards is not among the metrics" in caplog.text


@pytest.mark.parametrize(
    ("nodes", "environment", "found"),
    [
        pytest.param([], {}, [], id="none"),
        pytest.param(["nvidia0", "nvidiactl", "nvidia-uvm"], {}, [0], id="one, and what drives it"),
        pytest.param(["nvidia3", "nvidia5"], {}, [0, 1], id="two of a node, counted from nought"),
        pytest.param(["nvidia0", "nvidia1"], {"CUDA_VISIBLE_DEVICES": "1"}, [0], id="one of two made visible"),
        pytest.param(["nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, [], id="none made visible"),
        pytest.param(["nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1"}, [], id="none made visible, as people write it"),
    ],
)
def test_cards_are_what_the_container_was_given(tmp_path: Path, nodes: list[str], environment: dict, found: list[int]):
    (tmp_path / "dev").mkdir()
    for node in nodes:
        (tmp_path / "dev" / node).touch()

    assert cards(tmp_path, environment) == found


def test_a_faster_fp16_variant_is_chosen_and_the_file_is_closed(machine: Machine, asked, tmp_path: Path):
    settings = asked(PRECISION="Auto", BATCH_SIZE="2")
    quick = settings.model_path.read_bytes()
    model = slowed(onnx.load_from_string(quick))
    photograph = encoded(cracked()[0], ".jpg")
    brought = {"crackseg.variant.fp16": quick, "crackseg.check.photographs": photograph}
    helper.set_model_props(model, {key: base64.b64encode(data).decode() for key, data in brought.items()})
    onnx.save(model, settings.model_path)
    before = lanes()
    engine = served(settings)

    assert (engine.model.provider, engine.model.precision) == (CUDA, "FP16")
    until(lambda: len(lanes() - before) == 2, "only its own lanes are left")
    assert mask(engine, cracked(200, 260)[0]).any()
    assert max(machine.runs) == 2
