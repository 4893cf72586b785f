"""Models that other teams make: normalised inputs, several outputs, classes in another order; served right or refused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.serving.pictures import cracked, encoded, mask_of, overlap

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import ModelFailure
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import loading
from crackseg_serving.segmentation import Output, segment
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Nodes = Sequence[onnx.NodeProto]


@dataclass(frozen=True)
class Made:
    """A model that undoes its team's normalisation, calls dark pixels crack, and ends as its team's models end."""

    head: Callable[[], Nodes]
    outputs: Sequence[tuple[str, int, Sequence[int | str]]]
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    shape: Sequence[int | str] = ("N", 3, "H", "W")
    dtype: int = TensorProto.FLOAT
    metadata: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        """Write the model to `path`."""
        flat = (1, 3, 1, 1)
        constants = {
            "mean": np.asarray(self.mean, np.float32).reshape(flat),
            "std": np.asarray(self.std, np.float32).reshape(flat),
            "level": np.float32(0.4),
            "steepness": np.float32(40),
            "none": np.float32(0),
            "more": np.float32(1.04),
            "little": np.float32(0.02),
            "hundred": np.float32(100),
            "fourfold": np.float32([1, 1, 4, 4]),
        }
        nodes = [
            helper.make_node("Cast", ["image"], ["given"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["given", "std"], ["scaled"]),
            helper.make_node("Add", ["scaled", "mean"], ["pixels"]),
            helper.make_node("ReduceMean", ["pixels"], ["brightness"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["level", "brightness"], ["darkness"]),
            helper.make_node("Mul", ["darkness", "steepness"], ["logits"]),
            *self.head(),
        ]
        graph = helper.make_graph(
            nodes,
            "made",
            [helper.make_tensor_value_info("image", self.dtype, list(self.shape))],
            [helper.make_tensor_value_info(name, dtype, list(shape)) for name, dtype, shape in self.outputs],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, self.metadata)
        onnx.save(model, path)
        return path


def one(name: str) -> Nodes:
    return [helper.make_node("Sigmoid", ["logits"], [name])]


def two() -> Nodes:
    """Auxiliary scores of the wrong sign, and the mask."""
    return [
        helper.make_node("Neg", ["logits"], ["opposite"]),
        helper.make_node("Sigmoid", ["opposite"], ["aux"]),
        *one("scores"),
    ]


def classes(order: Sequence[str], last: str = "Identity") -> Callable[[], Nodes]:
    """A channel a class: crack has the logits, road the opposite, anything else nought."""
    inputs = {"crack": "logits", "road": "opposite"}

    def head() -> Nodes:
        return [
            helper.make_node("Neg", ["logits"], ["opposite"]),
            helper.make_node("Mul", ["logits", "none"], ["nought"]),
            helper.make_node("Concat", [inputs.get(name, "nought") for name in order], ["all"], axis=1),
            helper.make_node(last, ["all"], ["mask"], **({"axis": 1} if last == "Softmax" else {})),
        ]

    return head


def half() -> Nodes:
    return [*one("deep"), helper.make_node("Cast", ["deep"], ["mask"], to=TensorProto.FLOAT16)]


def numbers(order: Sequence[str], to: int = TensorProto.INT64, keepdims: int = 0) -> Callable[[], Nodes]:
    """The number of each pixel's class, as PaddleSeg's exports end."""

    def head() -> Nodes:
        return [
            *classes(order)()[:-1],
            helper.make_node("ArgMax", ["all"], ["class"], axis=1, keepdims=keepdims),
            helper.make_node("Cast", ["class"], ["mask"], to=to),
        ]

    return head


def truths() -> Nodes:
    return [helper.make_node("Greater", ["logits", "none"], ["mask"])]


def times(factor: str) -> Callable[[], Nodes]:
    """Probabilities, and `factor` times as much."""
    return lambda: [*one("deep"), helper.make_node("Mul", ["deep", factor], ["mask"])]


def beyond() -> Nodes:
    """From -0.02 to 1.02: bicubic enlargement leaves it so."""
    return [
        *one("deep"),
        helper.make_node("Mul", ["deep", "more"], ["higher"]),
        helper.make_node("Sub", ["higher", "little"], ["mask"]),
    ]


def joined() -> Nodes:
    """Halved twice, enlarged again and added to what was before: sizes must be multiples of four."""
    return [
        helper.make_node("AveragePool", ["logits"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["half"], ["quarter"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["quarter", "", "fourfold"], ["enlarged"], mode="linear"),
        helper.make_node("Mul", ["enlarged", "none"], ["nothing"]),
        helper.make_node("Add", ["logits", "nothing"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["mask"]),
    ]


def pooled() -> Nodes:
    return [
        helper.make_node("Sigmoid", ["logits"], ["deep"]),
        helper.make_node("AveragePool", ["deep"], ["mask"], kernel_shape=[2, 2], strides=[2, 2]),
    ]


FULL = ("N", 1, "H", "W")
FLAT = ("N", "H", "W")
MASK = [("mask", TensorProto.FLOAT, FULL)]
PAIR = [("aux", TensorProto.FLOAT, FULL), ("scores", TensorProto.FLOAT, FULL)]
IMAGENET = {
    "crackseg.input.mean": ",".join(map(str, MEAN)),
    "crackseg.input.std": ",".join(map(str, STD)),
}


def channels(count: int) -> list[tuple[str, int, Sequence[int | str]]]:
    return [("mask", TensorProto.FLOAT, ("N", count, "H", "W"))]


def load(model: Path) -> Engine:
    settings = from_environment({"MODEL_PATH": str(model), "TILE_SIZE": "256", "TILE_OVERLAP": "32"})
    engine = Engine(dataclasses.replace(settings, processors=2), Metrics())
    engine.use(loading.load(engine.settings))
    return engine


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            Made(lambda: one("mask"), MASK, MEAN, STD, metadata=IMAGENET), id="the mean and deviation of ImageNet"
        ),
        pytest.param(
            Made(two, PAIR, metadata={"crackseg.output.name": "scores"}), id="two outputs, one named in the metadata"
        ),
        pytest.param(
            Made(classes(["crack", "road"]), channels(2), metadata={"crackseg.classes": "crack,road"}),
            id="crack before road, logits",
        ),
        pytest.param(Made(classes(["road", "crack"], "Softmax"), channels(2)), id="two classes without names, softmax"),
        pytest.param(
            Made(
                classes(["crack", "road", "sky"], "Softmax"),
                channels(3),
                metadata={"crackseg.classes": "Cracks,road,sky"},
            ),
            id="three classes by name, softmax",
        ),
        pytest.param(
            Made(
                classes(["road", "crack"], "Sigmoid"),
                channels(2),
                metadata={"crackseg.classes": "road,crack", "crackseg.output.activation": "sigmoid"},
            ),
            id="classes that exclude nothing: a sigmoid each",
        ),
        pytest.param(Made(half, [("mask", TensorProto.FLOAT16, FULL)]), id="half precision out"),
        pytest.param(
            Made(half, [("mask", TensorProto.FLOAT16, FULL)], dtype=TensorProto.FLOAT16), id="half precision in and out"
        ),
        pytest.param(Made(pooled, [("mask", TensorProto.FLOAT, ("N", 1, "h", "w"))]), id="a mask of half the size"),
        pytest.param(Made(lambda: one("mask"), MASK, shape=("N", "C", "H", "W")), id="an open number of channels"),
        pytest.param(Made(lambda: one("mask"), MASK, shape=(2, 3, 128, 192)), id="everything fixed, two at a time"),
        pytest.param(
            Made(
                numbers(["road", "sky", "crack"]),
                [("mask", TensorProto.INT64, FLAT)],
                metadata={"crackseg.classes": "road,sky,crack"},
            ),
            id="the classes' numbers",
        ),
        pytest.param(
            Made(
                numbers(["crack", "road"], TensorProto.UINT8, keepdims=1),
                [("mask", TensorProto.UINT8, FULL)],
                metadata={"crackseg.classes": "crack,road"},
            ),
            id="the classes' numbers as bytes, crack is nought",
        ),
        pytest.param(
            Made(
                numbers(["road", "sky", "crack"], TensorProto.FLOAT, keepdims=1),
                MASK,
                metadata={"crackseg.classes": "road,sky,crack", "crackseg.output.activation": "argmax"},
            ),
            id="the classes' numbers as floats, which the metadata say",
        ),
        pytest.param(Made(truths, [("mask", TensorProto.BOOL, FULL)]), id="truths"),
        pytest.param(Made(beyond, MASK), id="probabilities a little beyond 0 and 1"),
        pytest.param(Made(joined, MASK), id="sizes in multiples that nobody says"),
    ],
)
def test_it_is_served_right(tmp_path: Path, model: Made):
    engine = load(model.save(tmp_path / "model.onnx"))
    picture, truth = cracked(300, 410)
    ticket = Ticket(time.monotonic() + 60)
    data = encoded(picture)
    answer = engine.start(lambda: segment(engine, data, Output.MASK, None, ticket), ticket).result(60)
    assert overlap(mask_of(answer), truth) > 0.85


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(
            Made(two, PAIR),
            ("of several", "YOLO", "'aux'", "'scores'", "crackseg.output.name"),
            id="two outputs, and no word which",
        ),
        pytest.param(
            Made(two, PAIR, metadata={"crackseg.output.name": "masks"}),
            ("'masks'", "'aux'"),
            id="an output that is not there",
        ),
        pytest.param(
            Made(numbers(["road", "crack"]), [("mask", TensorProto.INT64, FLAT)]),
            ("crackseg.classes", "INT64", "'background,crack'"),
            id="classes' numbers without names",
        ),
        pytest.param(
            Made(
                numbers(["road", "sky", "crack"]),
                [("mask", TensorProto.INT64, FLAT)],
                metadata={"crackseg.classes": "road,crack"},
            ),
            ("0 to 1", "2 names", "0 to 2"),
            id="more numbers than names",
        ),
        pytest.param(
            Made(
                numbers(["road", "crack"]),
                [("mask", TensorProto.INT64, FLAT)],
                metadata={"crackseg.classes": "road,crack", "crackseg.output.activation": "softmax"},
            ),
            ("argmax", "softmax", "INT64"),
            id="classes' numbers that are said to be probabilities",
        ),
        pytest.param(Made(times("hundred"), MASK), ("crackseg.output.activation", "percent", "0 to 100"), id="percent"),
        pytest.param(
            Made(classes(["crack"]), MASK, metadata={"crackseg.output.activation": "sigmoid"}),
            ("crackseg.output.activation=sigmoid", "probabilities"),
            id="logits that are said to be probabilities",
        ),
        pytest.param(
            Made(classes(["crack", "road", "sky"]), channels(3)),
            ("crackseg.classes", "3 channels"),
            id="three classes without names",
        ),
        pytest.param(
            Made(classes(["crack", "road", "sky"]), channels(3), metadata={"crackseg.classes": "crack,crack wide,sky"}),
            ("exactly one", "crack wide"),
            id="two classes called crack",
        ),
        pytest.param(
            Made(lambda: one("mask"), MASK, metadata={"crackseg.input.mean": "0.5,0.5"}),
            ("crackseg.input.mean", "three"),
            id="two means",
        ),
        pytest.param(
            Made(lambda: one("mask"), MASK, metadata={"crackseg.input.channels": "GRAY"}),
            ("GRAY", "3"),
            id="grey, says who takes colours",
        ),
    ],
)
def test_it_is_refused_with_the_reason(tmp_path: Path, model: Made, words: Sequence[str]):
    with pytest.raises(ModelFailure) as failure:
        load(model.save(tmp_path / "model.onnx"))
    assert failure.value.reason == "ContractMismatch"
    assert all(word in failure.value.message for word in words), failure.value.message


@pytest.mark.parametrize(
    ("model", "multiple"),
    [
        pytest.param(Made(joined, MASK), 4, id="one that joins what it halved twice"),
        pytest.param(Made(lambda: one("mask"), MASK), 1, id="one that takes any size"),
        pytest.param(Made(pooled, [("mask", TensorProto.FLOAT, ("N", 1, "h", "w"))]), 2, id="a mask of half the size"),
        pytest.param(Made(joined, MASK, metadata={"crackseg.input.multiple": "32"}), 32, id="one that says it"),
    ],
)
def test_what_sizes_must_be_multiples_of_is_found(tmp_path: Path, model: Made, multiple: int):
    engine = load(model.save(tmp_path / "model.onnx"))
    assert engine.model.signature.multiple == (multiple, multiple)
    picture, truth = cracked(85, 127)  # smaller than a tile
    ticket, data = Ticket(time.monotonic() + 60), encoded(picture)
    answer = engine.start(lambda: segment(engine, data, Output.MASK, None, ticket), ticket).result(60)
    assert overlap(mask_of(answer), truth) > 0.8


def test_a_graph_of_one_size_is_tried_at_no_other(tmp_path: Path):
    model = Made(joined, MASK, shape=("N", 3, 256, 256))
    assert load(model.save(tmp_path / "model.onnx")).model.signature.multiple == (256, 256)


def test_a_model_without_a_version_has_the_number_that_the_protocols_tools_expect(tmp_path: Path):
    assert load(Made(lambda: one("mask"), MASK).save(tmp_path / "model.onnx")).model.version == "1"
