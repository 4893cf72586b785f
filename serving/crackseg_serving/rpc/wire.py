"""Inference messages without copies of their tensors: what is large is cut out before protobuf reads, and put in after it wrote.

A message's raw tensors are plain bytes with a length before them. protobuf would copy each twice, to its own memory and to
Python's; here a request's are views of the message as it came, and an answer's are joined to it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.rpc.inference_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # how a field's end is known
_FIXED: Final = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_RAW_IN: Final = ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | _LENGTH
_RAW_OUT: Final = ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | _LENGTH
_RESPONSE: Final = ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3 | _LENGTH


def read_request(message: bytes) -> tuple[ModelInferRequest, list[memoryview]]:
    """A request without its raw tensors, and these as views of `message`. Raises Refused (BAD_REQUEST)."""
    view, rest, raw = memoryview(message), [], []
    position = 0
    try:
        while position < len(view):
            start = position
            key, position = _varint(view, position)
            if key & 7 == _VARINT:
                _, position = _varint(view, position)
            elif key & 7 == _LENGTH:
                size, begin = _varint(view, position)
                position = begin + size
            else:
                position += _FIXED[key & 7]
            if position > len(view):
                raise IndexError  # noqa: TRY301 - as where a varint is cut off
            if key == _RAW_IN:
                raw.append(view[begin:position])
            else:
                rest.append(view[start:position])
        return ModelInferRequest.FromString(b"".join(rest)), raw
    except (IndexError, KeyError, DecodeError):
        raise Refused(Cause.BAD_REQUEST, "the message is no inference.ModelInferRequest") from None


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """The number there, and where it ends. Raises IndexError."""
    number = 0
    for shift in range(0, 70, 7):
        byte = view[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise IndexError


def write_response(response: ModelInferResponse, raw: Sequence[memoryview]) -> list[bytes | memoryview]:
    """A response with its raw tensors, in parts that are to be joined."""
    parts: list[bytes | memoryview] = [response.SerializeToString()]
    for tensor in raw:
        parts += [_number(_RAW_OUT), _number(len(tensor)), tensor]
    return parts


def write_streamed(parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """A response in parts, as one of a stream."""
    return [_number(_RESPONSE), _number(sum(map(len, parts))), *parts]


def _number(number: int) -> bytes:
    """A varint."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
