"""The outermost fields of an ONNX file, read without a protobuf library and without reading the whole file.

An ONNX file is one protobuf message, whose fields (tag, length, content) follow each other to the end of the file. Used by the
sources, to check that a file is complete, and by the runtime, to find variants in its metadata and to say what a file
is that is not a model. Knows neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

VARINT: Final = 0
LENGTH: Final = 2
_LENGTHS: Final = {1: 8, 5: 4}  # kinds of field that have one length


#: What other files begin with, where, and what they are called.
_OTHERS: Final = (
    (b"ORTM", 4, "in ONNX Runtime's own format (.ort)"),
    (b"TFL3", 4, "a model of TensorFlow Lite"),
    (b"PK\x03\x04", 0, "an archive (PyTorch's .pt and .pth, Keras' .keras and MLflow's are such)"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5, as Keras saves weights"),
    (b"\x80\x02", 0, "a pickle, as older PyTorch saves weights"),
    (b'{"', 8, "safetensors: weights without a graph"),
    (b"ftrt", 0, "an engine of TensorRT, made for one card"),
    (b"\x1f\x8b", 0, "compressed (gzip)"),
    (b"ustar", 257, "a tar archive"),
)
HEAD: Final = 512  # bytes that tell


def other_format(head: bytes) -> str:
    """What a file that begins with `head` is instead of ONNX, as far as its first bytes tell; empty where they do not."""
    if head.lstrip().startswith(b"<") and b"<net " in head:
        return "a graph of OpenVINO (.xml)"
    return next((name for magic, at, name in _OTHERS if head[at : at + len(magic)] == magic), "")


class Part(NamedTuple):
    """One field: its number and kind (-1 where the bytes are no field's), and where it begins, has its content and ends."""

    field: int
    kind: int
    start: int
    content: int
    end: int  # beyond the end of the file where that has been cut short


def outermost(file: BinaryIO, size: int) -> Iterator[Part]:
    """The fields of the message that `file` holds in its `size` bytes, one after the other. Ends with the first that is none, or not whole."""
    file.seek(0)
    while (start := file.tell()) < size:
        tag = _varint(file)
        kind = -1 if tag is None else tag & 7
        length: int | None = _LENGTHS.get(kind, 0)
        if kind == VARINT:
            _varint(file)
        elif kind == LENGTH:
            length = _varint(file)
        elif kind not in _LENGTHS:
            yield Part(0, -1, start, start, start)
            return
        content = file.tell()
        end = content + (1 << 62 if length is None else length)
        yield Part((tag or 0) >> 3, kind, start, content, end)
        if end > size:
            return
        file.seek(end)


def _varint(file: BinaryIO) -> int | None:
    """A base-128 number (protobuf's encoding), or None where the file ends or it has more than ten bytes."""
    number = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    return None
