"""A model's graph in a smaller precision: INT8 for processors, FP16 for cards. Called by the `quantize` command; needs onnx.

Tensors to calibrate with come in, a file goes out. Knows nothing of pictures, and does not judge: `agreement` does.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

from crackseg_models.metadata import PREFIX

PRECISIONS = ("INT8", "FP16")
CONVOLUTIONS = {"Conv", "ConvTranspose"}
#: What ONNX Runtime and OpenVINO compute in 8 bits without going back to 32 in between.
OPERATORS = [*sorted(CONVOLUTIONS), "Add", "AveragePool", "Concat", "MaxPool", "Mul", "Relu", "Resize"]
OLDEST_OPSET = 13  # the first with a scale for each channel

Tensor = NDArray[np.generic]


class _Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """The tensors in the shape in which the calibration asks for them."""

    def __init__(self, name: str, tensors: Iterable[Tensor]) -> None:
        self._name = name
        self._tensors: Iterator[Tensor] = iter(tensors)

    def get_next(self) -> dict[str, Tensor] | None:
        """The next one, None at the end."""
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}


def int8(source: Path, out: Path, tensors: Iterable[Tensor]) -> None:
    """Write `source` with 8-bit weights and activations, as QDQ, to `out`; scales from what `tensors` bring about.

    Weights have 7 bits, a scale for each channel: processors without VNNI add pairs of 8-bit products into 16 bits, where
    full ones overflow, and the mask would depend on the node. Raises ValueError for a graph that cannot be quantized.
    """
    model = onnx.load(source)
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    if opset < OLDEST_OPSET:
        raise ValueError(f"{source} is of opset {opset}, and INT8 needs {OLDEST_OPSET}: export it again")
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ValueError(f"{source} is quantized already: give the model that it was made of")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        quant_pre_process(source, plain, skip_symbolic_shape=True)
        prepared = onnx.load(plain)
        for number, node in enumerate(prepared.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        onnx.save(prepared, plain)
        quantize_static(
            plain,
            out,
            _Reader(model.graph.input[0].name, tensors),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept(prepared),
        )


def kept(model: onnx.ModelProto) -> list[str]:
    """The names of the nodes that stay in FP32: all that is not between a first and a last convolution.

    The first one sees the picture's full range of values, the last one decides about the mask, and both are cheap; what a
    graph does before and after them (normalisation, sigmoid) is not what a network has learned.
    """
    nodes = list(model.graph.node)
    behind: dict[str, bool] = {}  # a tensor -> a convolution has gone into it
    ahead: dict[str, bool] = {}  # a tensor -> it goes into a convolution
    after = {}
    for node in nodes:
        after[node.name] = any(behind.get(name, False) for name in node.input)
        behind |= dict.fromkeys(node.output, after[node.name] or node.op_type in CONVOLUTIONS)
    before = {}
    for node in reversed(nodes):
        before[node.name] = any(ahead.get(name, False) for name in node.output)
        leads = before[node.name] or node.op_type in CONVOLUTIONS
        ahead |= {name: leads or ahead.get(name, False) for name in node.input}
    inside = [node.name for node in nodes if after[node.name] and before[node.name]]
    if not any(node.op_type in CONVOLUTIONS and node.name in set(inside) for node in nodes):
        raise ValueError("the graph has no convolution between its first and its last one: there is nothing to gain")
    return [node.name for node in nodes if node.name not in set(inside)]


def fp16(source: Path, out: Path) -> None:
    """Write `source` with weights and activations of 16 bits to `out`; input and output stay as they are."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = OnnxModel(convert_float_to_float16(onnx.load(source), keep_io_types=True))
    model.topological_sort()  # what it has added stands at the end
    onnx.save(model.model, out)


def describe(out: Path, source: Path, version: str, precision: str, agreement: Mapping[str, Any]) -> None:
    """Give `out` the metadata of `source`, its version, and what it is: the precision, of which file, how near to it.

    The source's figures (`crackseg.metrics`) are not carried over: they are not this file's.
    """
    original, model = onnx.load(source), onnx.load(out)
    properties = {entry.key: entry.value for entry in original.metadata_props if entry.key != f"{PREFIX}metrics"}
    properties |= {
        f"{PREFIX}version": version,
        f"{PREFIX}precision": precision,
        f"{PREFIX}source.digest": f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}",
        f"{PREFIX}source.version": properties.get(f"{PREFIX}version", ""),
        f"{PREFIX}agreement": json.dumps(agreement, sort_keys=True),
    }
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    model.doc_string = f"{original.doc_string} ({precision})".strip()
    onnx.checker.check_model(model)
    onnx.save(model, out)
