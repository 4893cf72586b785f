"""Tensors of the Open Inference Protocol: JSON and binary forms to arrays, and back.

Pure. Raises Refused (WRONG_TENSOR or BAD_REQUEST) with the name of the tensor and what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.runtime.signature import DTYPES, Signature, TensorSpec

BINARY_HEADER = "inference-header-content-length"


def parse_inference(body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], memoryview]:
    """The JSON part of a request, and its binary part (empty where there is none)."""
    length = headers.get(BINARY_HEADER)
    if length is None:
        end = len(body)
    elif length.isdecimal() and int(length) <= len(body):
        end = int(length)
    else:
        raise _wrong(f"Inference-Header-Content-Length is {length!r}, but the body has {len(body)} bytes")
    view = memoryview(body)
    try:
        document = orjson.loads(view[:end])
    except orjson.JSONDecodeError as error:
        raise Refused(Cause.BAD_REQUEST, f"the request is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise Refused(Cause.BAD_REQUEST, "the request must be a JSON object with a list `inputs`")
    return document, view[end:]


def input_tensor(document: dict[str, Any], binary: memoryview, signature: Signature, max_elements: int) -> NDArray[Any]:
    """The model's one input, checked against its signature."""
    spec = signature.input
    inputs = document["inputs"]
    if len(inputs) != 1 or not isinstance(inputs[0], dict) or inputs[0].get("name") != spec.name:
        names = [one.get("name") if isinstance(one, dict) else one for one in inputs]
        raise _wrong(f"expected one input named {spec.name!r}, found {names}")
    tensor = inputs[0]
    if tensor.get("datatype") != spec.datatype:
        raise _wrong(f"input {spec.name!r} must have datatype {spec.datatype}, found {tensor.get('datatype')!r}")
    shape = _shape(tensor.get("shape"), signature)
    count = math.prod(shape)
    if count > max_elements:
        raise Refused(
            Cause.TOO_MANY_PIXELS, f"input {spec.name!r} has {count} elements, more than the {max_elements} allowed"
        )
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        return _from_bytes(binary, size, spec, shape)
    return _from_json(tensor.get("data"), spec, shape, count)


def _shape(shape: object, signature: Signature) -> tuple[int, ...]:
    spec = signature.input
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise _wrong(f"the shape of {spec.name!r} must be a list of whole numbers above 0, found {shape!r}")
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
        raise _wrong(
            f"input {spec.name!r} must have shape [{shown}]"
            f"{f' with height a multiple of {tall} and width of {wide}' if (tall, wide) != (1, 1) else ''}, found {shape}"
        )
    return tuple(shape)


def _from_bytes(binary: memoryview, size: object, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = DTYPES[spec.datatype]
    needed = math.prod(shape) * dtype.itemsize
    if size != needed or len(binary) != needed:
        raise _wrong(
            f"input {spec.name!r} of shape {list(shape)} has {needed} bytes; announced {size}, received {len(binary)}"
        )
    return np.frombuffer(binary, dtype).reshape(shape)


def _from_json(data: object, spec: TensorSpec, shape: tuple[int, ...], count: int) -> NDArray[Any]:
    if not isinstance(data, list):
        raise _wrong(f"input {spec.name!r} needs `data`, or `parameters.binary_data_size` and bytes after the JSON")
    try:
        array = np.asarray(data, np.float64 if spec.datatype == "UINT8" else DTYPES[spec.datatype])
    except (ValueError, TypeError, OverflowError):
        raise _wrong(f"`data` of {spec.name!r} must be numbers, flat or nested as its shape says") from None
    if not np.isfinite(array).all():
        raise _wrong(f"`data` of {spec.name!r} must be finite numbers")
    if array.size != count:
        raise _wrong(f"input {spec.name!r} of shape {list(shape)} has {count} elements, found {array.size}")
    if spec.datatype == "UINT8":
        if not ((array >= 0) & (array <= 255)).all():
            raise _wrong(f"`data` of {spec.name!r} must be whole numbers from 0 to 255")
        array = array.astype(np.uint8)
    return array.reshape(shape)


def wants_binary(document: dict[str, Any], name: str) -> bool:
    """Whether the answer's tensor shall be bytes. Raises Refused where another output is asked for."""
    parameters = document.get("parameters")
    default = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    outputs = document.get("outputs")
    if not outputs:
        return default
    if (
        not isinstance(outputs, list)
        or len(outputs) != 1
        or not isinstance(outputs[0], dict)
        or outputs[0].get("name") != name
    ):
        raise _wrong(f"this model has one output, {name!r}; asked for {outputs!r:.200}")
    own = outputs[0].get("parameters")
    return bool(own["binary_data"]) if isinstance(own, dict) and "binary_data" in own else default


def encode_inference(
    head: dict[str, object], name: str, datatype: str, array: NDArray[Any], *, binary: bool
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON part where bytes follow it."""
    array = np.ascontiguousarray(array, DTYPES[datatype])
    output: dict[str, object] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
    if not binary:
        output["data"] = array.reshape(-1)
        return orjson.dumps({**head, "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY), None
    output["parameters"] = {"binary_data_size": array.nbytes}
    json = orjson.dumps({**head, "outputs": [output]})
    return b"".join((json, array.data.cast("B"))), len(json)


def _wrong(message: str) -> Refused:
    return Refused(Cause.WRONG_TENSOR, message)
