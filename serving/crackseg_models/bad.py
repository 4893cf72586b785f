"""Bad versions of a model, made on demand: what a rollout must survive. Called by the `bad` command; needs onnx, no torch.

Each is bad in exactly one way. None is committed, and none harms the machine that makes it; `memory` and `slow-load`
are meant for containers with limits.
"""

import itertools
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from crackseg_models.metadata import Metadata

OPSET, IR = 17, 8
SIDE, FOLDS = 3072, 8000  # slow-load: so many products of square matrices of this side, each 58 GFLOP
MEMORY = 2 << 30  # bytes that `memory` allocates and fills at every run
TURNS = 60  # matrix products of 512 x 512 that `slow` adds to every run, each 0.27 GFLOP


def _tensor(name: str, value: object, kind: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, kind), name)


def _model(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], *, channels: int = 3, kind: int = TensorProto.FLOAT
) -> bytes:
    """A model with the sample's contract around these nodes, which lead from `image` to `mask`."""
    image = helper.make_tensor_value_info("image", kind, ["batch", channels, "height", "width"])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 1, "height", "width"])
    graph = helper.make_graph(nodes, "bad", [image], [mask], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    for key, value in Metadata("pavement", "3.0.0", "none: made to be bad").properties().items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def _answer(source: str) -> list[onnx.NodeProto]:
    """A mask from the darkness of `source` [N, C, H, W]."""
    return [
        helper.make_node("ReduceMean", [source], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["grey"], ["dark"]),
        helper.make_node("Sigmoid", ["dark"], ["mask"]),
    ]


def truncated(good: bytes) -> bytes:
    """A download that broke off."""
    return good[: len(good) * 2 // 3]


def wrong_channels(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """Wants five channels."""
    return _model(_answer("image"), [], channels=5)


def wrong_type(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """Wants 64-bit integers."""
    cast = helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT)
    return _model([cast, *_answer("real")], [], kind=TensorProto.INT64)


def not_onnx(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """A web page in place of a model."""
    return b"<!doctype html><title>Sign in</title><p>Please sign in to download this file.\n"


def pointer(good: bytes) -> bytes:
    """What Git leaves where the large file was not fetched."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {len(good)}\n".encode()


def slow_load(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """Never ends loading: thousands of constant matrix products, folded one after the other before the first run.

    Each leaves one number behind, so memory stays flat; each is spelt differently, so none is recognised as done.
    """
    letters = itertools.islice(itertools.permutations(string.ascii_lowercase, 3), FOLDS)
    constants = [_tensor("side", [SIDE, SIDE], np.int64)]
    nodes = [helper.make_node("ConstantOfShape", ["side"], ["m"], value=_tensor("", [1 / SIDE], np.float32))]
    for index, (i, j, k) in enumerate(letters):
        trace = f"{i}{j},{j}{k},{k}{i}->"
        nodes.append(helper.make_node("Einsum", ["m", "m", "m"], [f"trace{index}"], equation=trace))
    nodes.append(helper.make_node("Min", [f"trace{index}" for index in range(FOLDS)], ["least"]))
    nodes.append(helper.make_node("Add", ["image", "least"], ["shifted"]))
    return _model([*nodes, *_answer("shifted")], constants)


def memory(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """Fills two gigabytes at every run, whatever the input; its shape is only known then, so that loading is quick."""
    constants = [
        _tensor("first", [0], np.int64), _tensor("single", [1], np.int64), _tensor("count", [MEMORY // 4], np.int64),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["pictures"]),
        helper.make_node("Min", ["pictures", "single"], ["at_most_one"]),
        helper.make_node("Mul", ["at_most_one", "count"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["much"], value=_tensor("", [0], np.float32)),
        helper.make_node("ReduceMax", ["much"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["image", "nothing"], ["shifted"]),
    ]
    return _model([*nodes, *_answer("shifted")], constants)


def slow(good: bytes) -> bytes:  # noqa: ARG001 - one signature for all
    """Right answers, seconds late: matrix products before every one."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("MatMul", ["state", "turn"], ["state_out"]),
        ],
        "turns",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [512, 512]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [512, 512]),
        ],
    )
    constants = [
        _tensor("turns", TURNS, np.int64), _tensor("go", True, np.bool_), _tensor("nothing", 0, np.float32),
        _tensor("side", [512, 512], np.int64),
    ]  # fmt: skip
    nodes = [
        helper.make_node("ConstantOfShape", ["side"], ["turn"], value=_tensor("", [1 / 512], np.float32)),
        helper.make_node("ReduceMean", ["image"], ["level"], keepdims=0),
        helper.make_node("Mul", ["level", "turn"], ["begin"]),
        helper.make_node("Loop", ["turns", "go", "begin"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        helper.make_node("Add", ["image", "none"], ["shifted"]),
    ]
    return _model([*nodes, *_answer("shifted")], constants)


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": truncated,
    "wrong-channels": wrong_channels,
    "wrong-type": wrong_type,
    "not-onnx": not_onnx,
    "pointer": pointer,
    "slow-load": slow_load,
    "memory": memory,
    "slow": slow,
}


def write(good: Path, out: Path) -> list[Path]:
    """Write every kind as `out/KIND.onnx`; `good` is the model that is cut short. FileNotFoundError without it."""
    data = good.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{kind}.onnx" for kind in KINDS]
    for path, make in zip(paths, KINDS.values(), strict=True):
        path.write_bytes(make(data))
    return paths
