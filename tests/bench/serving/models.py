"""The benchmark's own models, made node by node: no framework, weights from a fixed seed.

`unet` is a U-Net of four levels (16 to 256 channels, 1.9 million parameters) and costs what such a model costs; `near-free` is
one convolution of one pixel, so that what a request costs is the server. Both take the whole picture at 256 x 256 pixels, and
call dark pixels crack: masks can be compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 256  #: the whole picture is scaled to this, in pixels
_LEVELS, _BASE = 4, 16
_STEEPNESS, _LEVEL = 40.0, 0.151  # probability = sigmoid(steepness * (level - brightness))


class _Graph:
    """Nodes and weights, added one after another; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, values: NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(values, f"weight{len(self.weights)}"))
        return self.weights[-1].name

    def drawn(self, *shape: int, fan_in: int) -> str:
        return self.weight(self._random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32))

    def convolved(self, x: str, channels: int, made: int) -> str:
        """A 3x3 convolution with its bias (a folded batch norm), and what is above zero of it."""
        weights = self.drawn(made, channels, 3, 3, fan_in=9 * channels)
        bias = self.weight(np.zeros(made, np.float32))
        return self.node("Relu", self.node("Conv", x, weights, bias, pads=[1, 1, 1, 1]))

    def block(self, x: str, channels: int, made: int) -> str:
        return self.convolved(self.convolved(x, channels, made), made, made)

    def model(self, name: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, "H", "W"])],
            [helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1, "H", "W"])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        said = {"name": name, "version": "1", "input.size": str(SIDE), "output.activation": "sigmoid"}
        helper.set_model_props(model, {f"crackseg.{key}": value for key, value in said.items()})
        onnx.checker.check_model(model)
        return model


def unet() -> onnx.ModelProto:
    """Four levels down and up, with skips."""
    graph = _Graph()
    widths = [_BASE << level for level in range(_LEVELS + 1)]
    x, skips = "input", list[str]()
    for level in range(_LEVELS):
        x = graph.block(x, widths[level - 1] if level else 3, widths[level])
        skips.append(x)
        x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.block(x, widths[-2], widths[-1])
    for level in reversed(range(_LEVELS)):
        weights = graph.drawn(widths[level + 1], widths[level], 2, 2, fan_in=widths[level + 1])
        up = graph.node("ConvTranspose", x, weights, strides=[2, 2])
        x = graph.block(graph.node("Concat", up, skips[level], axis=1), 2 * widths[level], widths[level])
    # Random weights know no crack: they whisper, and darkness decides.
    texture = graph.node("Conv", x, graph.weight(np.full((1, _BASE, 1, 1), 1e-4, np.float32)))
    brightness = graph.node("ReduceMean", "input", axes=[1], keepdims=1)
    darkness = graph.node("Sub", graph.weight(np.array([_LEVEL], np.float32)), brightness)
    logits = graph.node("Add", texture, graph.node("Mul", darkness, graph.weight(np.array([_STEEPNESS], np.float32))))
    graph.node("Sigmoid", logits, output="mask")
    return graph.model("unet")


def near_free() -> onnx.ModelProto:
    """One convolution of one pixel: the same inputs and outputs, next to no work."""
    graph = _Graph()
    weights = graph.weight(np.full((1, 3, 1, 1), -_STEEPNESS / 3, np.float32))
    bias = graph.weight(np.array([_STEEPNESS * _LEVEL], np.float32))
    graph.node("Sigmoid", graph.node("Conv", "input", weights, bias), output="mask")
    return graph.model("near-free")


def write_models(folder: Path) -> None:
    """`unet.onnx` and `near-free.onnx` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(unet(), folder / "unet.onnx")
    onnx.save(near_free(), folder / "near-free.onnx")
