"""Tensors on the REST wire: JSON with numbers, or JSON followed by bytes; to arrays, and back.

Pure. JSON is read by simdjson, which hands numbers over as one buffer: a tensor of 200,000 numbers never becomes as many Python
objects (docs/decisions/0009). Raises Refused with the name of the tensor and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import numpy as np
import orjson

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.incoming import Part
from crackseg_serving.inference.classes import DATATYPE, PARAMETER, wanted_classes
from crackseg_serving.inference.classes import as_bytes as texts_as_bytes
from crackseg_serving.inference.tensors import (
    DATATYPES,
    Array,
    Expected,
    check_parameters,
    expect,
    wanted_outputs,
    wrong,
)
from crackseg_serving.runtime.signature import Signature, TensorSpec
from crackseg_serving.values import value

BINARY_HEADER: Final = "inference-header-content-length"
#: What simdjson needs for each number, besides the text and its copy: its tape (16), its index (8) and the buffer (8).
_BYTES_A_NUMBER: Final = 32
_KEPT_WEIGHT: Final = 12 << 20  # bytes: a picture of 256 x 256 has 10 million
_STEP: Final = 1 << 16  # bytes looked at in one go: what is made of them stays in the processor's cache
_TENSORS: Final = 16  # more than any model here has


@value
class InferenceRequest:
    """What a body asks for."""

    id: str | None
    timeout: float | None  # seconds
    items: Array
    outputs: tuple[tuple[TensorSpec, bool], ...]  # what is wanted, and whether as bytes
    classes: tuple[int, ...] = ()  # of each so many of its greatest values instead; 0 or nothing: its tensor


def json_weight(body: Part, headers: Mapping[str, str]) -> int:
    """How many bytes reading the JSON of `body` takes: hostile text has many times more numbers than usual."""
    end = _json_end(body, headers)
    text = np.frombuffer(body, np.uint8, end)
    commas = sum(int(np.count_nonzero(text[at : at + _STEP] == ord(","))) for at in range(0, end, _STEP))
    return end + _BYTES_A_NUMBER * commas


def read_request(
    body: Part, headers: Mapping[str, str], signature: Signature, max_elements: int, weight: int
) -> InferenceRequest:
    """The request in a body of this `weight`, checked against the model's signature."""
    end = _json_end(body, headers)
    if end == 0 and body:
        items = _bare(memoryview(body), signature, max_elements)
        return InferenceRequest(None, None, items, tuple((spec, True) for spec in signature.outputs))
    document = _parse(memoryview(body)[:end], weight)
    identity, parameters = document.get("id"), _parameters(document)
    if not (identity is None or isinstance(identity, str)):
        raise Refused(Cause.BAD_REQUEST, "`id` must be a string")
    outputs, classes = _outputs(document, signature, parameters)
    items = _input(document, memoryview(body)[end:], signature, max_elements)
    return InferenceRequest(identity, _timeout(parameters), items, outputs, classes)


def _json_end(body: Part, headers: Mapping[str, str]) -> int:
    length = headers.get(BINARY_HEADER)
    if length is None:
        return len(body)
    if length.isascii() and length.isdecimal() and len(length) < 20 and int(length) <= len(body):
        return int(length)
    raise wrong(f"Inference-Header-Content-Length is {length!r:.50}, but the body has {len(body)} bytes")


def _parse(text: memoryview, weight: int) -> Any:
    import simdjson

    try:
        document = _parsed(text, _kept() if weight <= _KEPT_WEIGHT else ())
    except (ValueError, RuntimeError) as error:
        raise Refused(Cause.BAD_REQUEST, f"the request is not JSON: {_plain_words(error)}") from None
    if not isinstance(document, simdjson.Object) or document.get("inputs") is None:
        raise Refused(Cause.BAD_REQUEST, "the request must be a JSON object with a list `inputs`")
    return document


def _parsed(text: memoryview, kept: Sequence[Any]) -> Any:
    """The document, read by one of `kept` that no other document is being read with, or by a parser of its own."""
    import simdjson

    for parser in kept:
        with suppress(RuntimeError):
            return parser.parse(text)
    return simdjson.Parser().parse(text)


@cache
def _kept() -> tuple[Any, ...]:
    """Parsers with their memory: most of what a parse costs the kernel are fresh pages."""
    import simdjson

    return simdjson.Parser(), simdjson.Parser()


def _plain_words(error: Exception) -> str:
    return str(error).partition(": ")[2].partition("  ")[0] or str(error)


def _parameters(owner: Any) -> dict[str, Any]:
    """The `parameters` of a request or a tensor, as plain values."""
    import simdjson

    given = owner.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, simdjson.Object):
        raise Refused(Cause.BAD_REQUEST, "`parameters` must be an object")
    return dict(given.as_dict())


def _objects(document: Any, key: str) -> list[Any]:
    """A list of objects, their values still to be read; none where there is none."""
    import simdjson

    given = document.get(key)
    found: list[Any] = list(given) if isinstance(given, simdjson.Array) and len(given) <= _TENSORS else [given]
    if given is not None and not all(isinstance(one, simdjson.Object) for one in found):
        raise Refused(Cause.BAD_REQUEST, f"`{key}` must be a list of at most {_TENSORS} objects")
    return [] if given is None else found


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """Triton's reserved parameter: microseconds."""
    timeout = parameters.get("timeout")
    if timeout is None or timeout == 0:
        return None
    if type(timeout) is not int or timeout < 0:
        raise Refused(
            Cause.BAD_REQUEST, f"parameter timeout is {timeout!r:.50}, but must be microseconds, a whole number"
        )
    return timeout / 1e6


def _outputs(
    document: Any, signature: Signature, parameters: Mapping[str, Any]
) -> tuple[tuple[tuple[TensorSpec, bool], ...], tuple[int, ...]]:
    """The outputs that the answer shall have, whether each as bytes, and how many classes of it."""
    default = parameters.get("binary_data_output") is True
    asked = _objects(document, "outputs")
    wanted = wanted_outputs(signature, [one.get("name") for one in asked])
    if not asked:
        return tuple((spec, default) for spec in wanted), ()
    given = [_parameters(one) for one in asked]
    classes = tuple(wanted_classes(spec, own.get(PARAMETER)) for spec, own in zip(wanted, given, strict=True))
    return tuple((spec, _as_bytes(spec, own, default)) for spec, own in zip(wanted, given, strict=True)), classes


def _as_bytes(spec: TensorSpec, parameters: Mapping[str, Any], default: object) -> bool:
    check_parameters(spec.name, parameters)
    own = parameters.get("binary_data", default)
    if not isinstance(own, bool):
        raise Refused(Cause.BAD_REQUEST, "parameter binary_data must be true or false")
    return own


def _input(document: Any, binary: memoryview, signature: Signature, max_elements: int) -> Array:
    """The model's one input."""
    import simdjson

    inputs = _objects(document, "inputs")
    tensor = inputs[0] if inputs else {}
    shape = tensor.get("shape")
    shape = shape.as_list() if isinstance(shape, simdjson.Array) and len(shape) <= 16 else None
    expected = expect(signature, [one.get("name") for one in inputs], tensor.get("datatype"), shape, max_elements)
    given = _parameters(tensor)
    check_parameters(expected.spec.name, given)
    size = given.get("binary_data_size")
    if size is None:
        return _from_json(tensor.get("data"), expected)
    if type(size) is not int or size != len(binary):
        raise wrong(f"input {expected.spec.name!r} announces {size!r:.50} bytes, received {len(binary)}")
    return expected.from_bytes(binary)


def _from_json(data: Any, expected: Expected) -> Array:
    import simdjson

    name, kind = expected.spec.name, DATATYPES[expected.spec.datatype].kind
    if not isinstance(data, simdjson.Array):
        raise wrong(f"input {name!r} needs `data`, or `parameters.binary_data_size` and bytes after the JSON")
    if kind == "b":
        return expected.from_numbers(_bools(data, name))
    readings: list[tuple[Any, str]] = [("d", "f8")] if kind == "f" else [(kind, f"{kind}8"), ("d", "f8")]
    for of_type, dtype in readings:
        try:
            # Nested lists come out flat, row by row, which is what they mean.
            numbers = np.frombuffer(data.as_buffer(of_type=of_type), dtype)
        except (TypeError, ValueError):
            continue
        return expected.from_numbers(numbers)
    raise wrong(f"`data` of {name!r} must be numbers, flat or nested as its shape says")


def _bools(data: Any, name: str) -> Array:
    flat = np.array(data.as_list(), dtype=object).reshape(-1)
    if not all(type(value) is bool for value in flat):
        raise wrong(f"`data` of {name!r} must be true and false, flat or nested as its shape says")
    return flat.astype(np.bool_)


def _bare(data: memoryview, signature: Signature, max_elements: int) -> Array:
    """A body without any JSON: one item, its open size found from the number of bytes."""
    spec = signature.input
    shape = [1, *spec.shape[1:]]
    open_sizes = [axis for axis, size in enumerate(shape) if size is None]
    if len(open_sizes) > 1:
        raise wrong(f"input {spec.name!r} has more than one open size: say its shape in JSON before its bytes")
    if open_sizes:
        known = DATATYPES[spec.datatype].itemsize
        for size in shape:
            known *= size or 1
        shape[open_sizes[0]] = len(data) // known
    return expect(signature, [spec.name], spec.datatype, shape, max_elements).from_bytes(data)


def write_answer(
    head: dict[str, object], outputs: Sequence[tuple[TensorSpec, bool]], arrays: Sequence[Array]
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON part where bytes follow it. `outputs` says which arrays go as bytes.

    An array of objects has classes, as bytes.
    """
    described, binary = [], []
    for (spec, as_bytes), found in zip(outputs, arrays, strict=True):
        text = found.dtype.kind == "O"  # classes
        array = found if text else np.ascontiguousarray(found, DATATYPES[spec.datatype])
        datatype = DATATYPE if text else spec.datatype
        output: dict[str, object] = {"name": spec.name, "datatype": datatype, "shape": list(array.shape)}
        if as_bytes:
            data = texts_as_bytes(array) if text else array.data.cast("B")
            output["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        elif spec.datatype == "BF16":
            raise wrong(f"output {spec.name!r} is BF16, which has no numbers: ask for binary data")
        else:
            output["data"] = [one.decode() for one in array.reshape(-1)] if text else array.reshape(-1)
        described.append(output)
    json = orjson.dumps({**head, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((json, *binary)), len(json)) if binary else (json, None)
