"""Files that no server can open: each is refused with one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
from tests.serving.models import DarkModel

from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime import loading
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving

Change = Callable[[onnx.ModelProto, Path], None]


def operator(name: str, domain: str = "") -> Change:
    """Another operator at the graph's end."""

    def change(model: onnx.ModelProto, path: Path) -> None:
        model.graph.node[-1].op_type, model.graph.node[-1].domain = name, domain
        if domain:
            model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
        path.write_bytes(model.SerializeToString())

    return change


def from_the_future(model: onnx.ModelProto, path: Path) -> None:
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())


def from_a_future_opset(model: onnx.ModelProto, path: Path) -> None:
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())


def without_its_weights(model: onnx.ModelProto, path: Path) -> None:
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0, convert_attribute=True)
    (path.parent / "weights").unlink()


def of_type(kind: int) -> Change:
    """All of it in a type that no kernel computes."""

    def change(model: onnx.ModelProto, path: Path) -> None:
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Conv", ["image", "weights"], ["mask"], name="first")],
            "typed",
            [onnx.helper.make_tensor_value_info("image", kind, [1, 3, 8, 8])],
            [onnx.helper.make_tensor_value_info("mask", kind, [1, 1, 8, 8])],
            [onnx.helper.make_tensor("weights", kind, [1, 3, 1, 1], [1.0, 1.0, 1.0])],
        )
        model.graph.CopyFrom(graph)
        path.write_bytes(model.SerializeToString())

    return change


def beginning(head: bytes) -> Change:
    """Another kind of file."""
    return lambda _model, path: path.write_bytes(head.ljust(4096, b"\0")) and None


def nothing(_model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(b"")


def half(model: onnx.ModelProto, path: Path) -> None:
    data = model.SerializeToString()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(operator("Sigmoidish"), ("operator Sigmoidish", "standard operators"), id="an unknown operator"),
        pytest.param(
            operator("Find", "com.example"), ("operator com.example:Find", "not loaded"), id="an operator of its own"
        ),
        pytest.param(from_the_future, ("IR version is 99", "takes up to 1", "ir_version"), id="a newer format"),
        pytest.param(from_a_future_opset, ("opset is 99", "takes up to 2", "opset_version"), id="a newer opset"),
        pytest.param(
            without_its_weights, ("weights are in another file", "external_data=False"), id="without its weights"
        ),
        pytest.param(of_type(onnx.TensorProto.DOUBLE), ("Conv", "'first'", "FP32"), id="a type without a kernel"),
        pytest.param(of_type(onnx.TensorProto.BFLOAT16), ("Conv", "bfloat16", "FP32"), id="bfloat16"),
        pytest.param(beginning(b"\x14\0\0\0ORTM"), ("(.ort), not ONNX", "export"), id="ONNX Runtime's own format"),
        pytest.param(beginning(b"PK\x03\x04"), (".pt", "not ONNX", "export"), id="PyTorch's weights"),
        pytest.param(nothing, ("not ONNX, or truncated", "copied"), id="no byte"),
        pytest.param(half, ("not ONNX, or truncated", "copied"), id="half of it"),
    ],
)
def test_it_is_refused_with_a_sentence_that_says_what_to_do(tmp_path: Path, change: Change, words: Sequence[str]):
    path = tmp_path / "model.onnx"
    change(DarkModel().build(), path)
    with pytest.raises(ModelFailure) as failure:
        loading.load(from_environment({"MODEL_PATH": str(path)}))
    assert failure.value.reason == "ContractMismatch"
    assert all(word in failure.value.message for word in words), failure.value.message
    assert "/onnxruntime_src" not in failure.value.message
