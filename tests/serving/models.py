"""Small ONNX models for the tests, made node by node: each calls dark pixels crack.

The probability of a pixel is sigmoid((0.4 - brightness) * 40) with brightness in 0..1: a line drawn in black on grey is
found exactly, so answers can be checked against the drawing.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dim = int | str
TABLE_BYTES = 1 << 16
TURNS = 60  # sines of every pixel: many times what the small model costs


@dataclass(frozen=True)
class DarkModel:
    """What the graph is like; the defaults are those of the project's own models."""

    channels: int = 3
    layout: str = "NCHW"
    height: Dim = "H"
    width: Dim = "W"
    batch: Dim = "N"
    dtype: int = TensorProto.FLOAT
    scale: float = 1.0  # what white is: 1 or 255
    head: str = "sigmoid"  # sigmoid | logits | softmax (background, crack) | flat ([N, H, W])
    metadata: dict[str, str] = field(default_factory=dict)
    slow_nodes: int = 0  # multiplications of constants that loading folds: each takes a while
    tables: int = 0  # of TABLE_BYTES, weights that the graph looks into, and finds nought

    def save(self, path: Path) -> Path:
        """Write the model to `path`."""
        onnx.save(self.build(), path)
        return path

    def build(self) -> onnx.ModelProto:
        """The model."""
        axis = 1 if self.layout == "NCHW" else 3
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["brightness"], axes=[axis], keepdims=1),
            helper.make_node("Sub", ["level", "brightness"], ["darkness"]),
            helper.make_node("Mul", ["darkness", "steepness"], ["steep" if self.tables else "logits"]),
            *self._heavy(),
            *self._slow(),
            *self._head(axis),
        ]
        constants: dict[str, Any] = {"level": np.float32(0.4 * self.scale), "steepness": np.float32(40 / self.scale)}
        if self.head == "flat":
            constants["axis"] = np.array([axis], np.int64)
        constants |= {f"table{n}": np.zeros(TABLE_BYTES // 4, np.float32) for n in range(self.tables)}
        graph = helper.make_graph(
            nodes,
            "darkness",
            [helper.make_tensor_value_info("image", self.dtype, self._shape(self.channels))],
            [helper.make_tensor_value_info("mask", TensorProto.FLOAT, self._output_shape())],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, self.metadata)
        return model

    def _head(self, axis: int) -> Sequence[onnx.NodeProto]:
        last = "folded" if self.slow_nodes else "logits"
        match self.head:
            case "logits":
                return [helper.make_node("Identity", [last], ["mask"])]
            case "softmax":
                return [
                    helper.make_node("Neg", [last], ["opposite"]),
                    helper.make_node("Concat", ["opposite", last], ["both"], axis=axis),
                    helper.make_node("Softmax", ["both"], ["mask"], axis=axis),
                ]
            case "flat":
                return [
                    helper.make_node("Sigmoid", [last], ["deep"]),
                    helper.make_node("Squeeze", ["deep", "axis"], ["mask"]),
                ]
            case _:
                return [helper.make_node("Sigmoid", [last], ["mask"])]

    def _heavy(self) -> list[onnx.NodeProto]:
        if not self.tables:
            return []
        looked = [helper.make_node("Gather", [f"table{n}", "place"], [f"nought{n}"]) for n in range(self.tables)]
        return [
            helper.make_node("ReduceMean", ["brightness"], ["mean"], keepdims=0),
            helper.make_node("Cast", ["mean"], ["place"], to=TensorProto.INT64),
            *looked,
            helper.make_node("Sum", ["steep", *(node.output[0] for node in looked)], ["logits"]),
        ]

    def _slow(self) -> list[onnx.NodeProto]:
        if not self.slow_nodes:
            return []
        size = numpy_helper.from_array(np.array([1500, 1500], np.int64))
        fill = numpy_helper.from_array(np.array([1e-3], np.float32))
        return [
            helper.make_node("Constant", [], ["size"], value=size),
            helper.make_node("ConstantOfShape", ["size"], ["m0"], value=fill),
            *(helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(self.slow_nodes)),
            helper.make_node("ReduceMean", [f"m{self.slow_nodes}"], ["speck"], keepdims=0),
            helper.make_node("Add", ["logits", "speck"], ["folded"]),
        ]

    def _shape(self, channels: int) -> list[Dim]:
        if self.layout == "NCHW":
            return [self.batch, channels, self.height, self.width]
        return [self.batch, self.height, self.width, channels]

    def _output_shape(self) -> list[Dim]:
        if self.head == "flat":
            return [self.batch, self.height, self.width]
        return self._shape(2 if self.head == "softmax" else 1)


def slowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same answers, after work that changes nothing."""
    slow = copy.deepcopy(model)
    last = slow.graph.node[-1]
    assert list(last.output) == ["mask"]
    last.output[:] = ["done"]
    names = ["done", *(f"turn{number}" for number in range(TURNS))]
    for before, after in itertools.pairwise(names):
        slow.graph.node.append(helper.make_node("Sin", [before], [after]))
    slow.graph.node.append(helper.make_node("Clip", [names[-1], "none", "none"], ["nothing"]))
    slow.graph.initializer.append(numpy_helper.from_array(np.asarray(np.float32(0)), "none"))
    slow.graph.node.append(helper.make_node("Add", ["done", "nothing"], ["mask"]))
    return slow
