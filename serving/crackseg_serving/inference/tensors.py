"""Tensors of the Open Inference Protocol: checked against the model's signature, read from bytes or numbers.

Pure. Raises Refused (WRONG_TENSOR, TOO_MANY_PIXELS) with the name of the tensor, what was expected and what was found.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.runtime.signature import Signature, TensorSpec
from crackseg_serving.values import value

Array = NDArray[Any]

#: The protocol's types as numpy's; little-endian, as the wire is. BF16 has no numpy type: its bits travel as they are.
DATATYPES: Final[dict[str, np.dtype[Any]]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "UINT8": "u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "BF16": "<u2",
        "FP32": "<f4",
        "FP64": "<f8",
    }.items()
}


@value
class Expected:
    """An input that a request announced and that the model takes: what its data must be."""

    spec: TensorSpec
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    def from_bytes(self, data: memoryview | bytes) -> Array:
        """The tensor in `data`, row-major and without gaps; a view, nothing is copied."""
        dtype = DATATYPES[self.spec.datatype]
        needed = self.count * dtype.itemsize
        if len(data) != needed:
            raise wrong(f"input {self.spec.name!r} of shape {list(self.shape)} has {needed} bytes, found {len(data)}")
        if dtype.kind == "b":
            # A byte that is neither 0 nor 1 is no bool, and what a kernel makes of it is undefined.
            return np.not_equal(np.frombuffer(data, np.uint8), 0).reshape(self.shape)
        return np.frombuffer(data, dtype).reshape(self.shape)

    def from_numbers(self, numbers: Array) -> Array:
        """The tensor that `numbers` (bool, int64, uint64, float32 or float64, flat) stand for; refused where it cannot hold them."""
        spec = self.spec
        dtype = DATATYPES[spec.datatype]
        if spec.datatype == "BF16":
            raise wrong(f"input {spec.name!r} is BF16, which has no numbers: send it as binary data")
        if numbers.size != self.count:
            raise wrong(
                f"input {spec.name!r} of shape {list(self.shape)} has {self.count} elements, found {numbers.size}"
            )
        if (numbers.dtype.kind == "b") != (dtype.kind == "b"):
            raise wrong(f"`data` of {spec.name!r} must be {'true and false' if dtype.kind == 'b' else 'numbers'}")
        if dtype.kind in "iu" and not _whole_within(numbers, np.iinfo(dtype)):
            limits = np.iinfo(dtype)
            raise wrong(f"`data` of {spec.name!r} must be whole numbers from {limits.min} to {limits.max}")
        with np.errstate(over="ignore"):
            array = numbers.astype(dtype, copy=False)
        if dtype.kind == "f" and not np.isfinite(array).all():
            raise wrong(f"`data` of {spec.name!r} must be finite numbers that {spec.datatype} can hold")
        return array.reshape(self.shape)


def _whole_within(numbers: Array, limits: Any) -> bool:
    if numbers.dtype.kind in "iu":
        return bool(((numbers >= limits.min) & (numbers <= limits.max)).all())
    # The number after the greatest is a power of two, which a float holds exactly; the greatest may not be.
    return bool(((np.rint(numbers) == numbers) & (numbers >= limits.min) & (numbers < float(limits.max + 1))).all())


def expect(
    signature: Signature, names: Sequence[object], datatype: object, shape: object, max_elements: int
) -> Expected:
    """What the data of a request's inputs, called `names`, must be: the model has one input."""
    spec = signature.input
    if list(names) != [spec.name]:
        raise wrong(f"expected one input named {spec.name!r}, found {names!r:.200}")
    if datatype != spec.datatype:
        raise wrong(f"input {spec.name!r} must have datatype {spec.datatype}, found {datatype!r:.50}")
    expected = Expected(spec, _shape(shape, signature))
    if expected.count > max_elements:
        raise Refused(
            Cause.TOO_MANY_PIXELS,
            f"input {spec.name!r} has {expected.count} elements, more than the {max_elements} allowed",
        )
    return expected


def _shape(shape: object, signature: Signature) -> tuple[int, ...]:
    spec = signature.input
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise wrong(f"the shape of {spec.name!r} must be a list of whole numbers above 0, found {shape!r:.200}")
    expected = [signature.batch if axis == 0 else size for axis, size in enumerate(spec.shape)]
    if signature.batch is not None:
        expected[0] = None  # any number is run in as many parts as needed
    planar = signature.input_format.layout == "NCHW"
    expected[1 if planar else 3] = 1 if signature.input_format.channels == "GRAY" else 3
    fits = len(shape) == 4 and all(want in {None, size} for want, size in zip(expected, shape, strict=True))
    tall, wide = signature.multiple
    down, across = (2, 3) if planar else (1, 2)
    if not fits or shape[down] % tall or shape[across] % wide:
        shown = ", ".join("?" if size is None else str(size) for size in expected)
        raise wrong(
            f"input {spec.name!r} must have shape [{shown}]"
            f"{f' with height a multiple of {tall} and width of {wide}' if (tall, wide) != (1, 1) else ''}, found {shape!r:.200}"
        )
    return tuple(shape)


def wanted_outputs(signature: Signature, names: Sequence[object]) -> tuple[TensorSpec, ...]:
    """The outputs of these names; none named: all. Refuses those that the model does not have, and one asked for twice."""
    outputs = {output.name: output for output in signature.outputs}
    if not names:
        return signature.outputs
    if len(set(names)) < len(names) or not outputs.keys() >= set(names):
        raise wrong(f"this model has the output(s) {', '.join(map(repr, outputs))}; asked for {list(names)!r:.200}")
    return tuple(outputs[str(name)] for name in names)


def check_parameters(name: object, parameters: Container[str]) -> None:
    """Refuse what Triton's extensions can ask of a tensor and this server does not do: to leave it out would answer wrongly."""
    if "shared_memory_region" in parameters:
        raise wrong(f"tensor {name!r:.100} is to be in shared memory, which is not served: send and take its bytes")


def wrong(message: str) -> Refused:
    """The refusal of a tensor."""
    return Refused(Cause.WRONG_TENSOR, message)
