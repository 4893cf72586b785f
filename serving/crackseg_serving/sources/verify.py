"""Is this file a whole ONNX model? Told from its outermost bytes, without a protobuf library and without reading it all.

An ONNX file is one protobuf message; its fields (tag, length, content) must follow each other exactly to the end of the
file, and one of them is the graph. So a file cut short betrays itself, as does a page that says "please log in".
Field numbers: onnx.proto, message ModelProto.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from crackseg_serving.failures import ModelFailure

_GRAPH, _IR_VERSION = 7, 1
_KNOWN_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_POINTER = b"version https://git-lfs.github.com/spec/"


def check_onnx(path: Path, shown: str) -> None:
    """Raise ModelFailure (PointerFile or ContractMismatch) where the file cannot be a whole ONNX model."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        _check_head(head, size, shown)
        file.seek(0)
        _check_fields(file, size, shown)


def _check_head(head: bytes, size: int, shown: str) -> None:
    if not head:
        raise ModelFailure("ContractMismatch", f"{shown} is empty: not ONNX")
    if head.startswith(_POINTER):
        raise ModelFailure(
            "PointerFile",
            f"{shown} is a Git LFS pointer of {size} bytes, not the model: run `git lfs pull` before publishing, "
            "or use the address that serves the file itself",
        )
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise ModelFailure(
            "ContractMismatch", f"{shown} is a web page, not ONNX: use the address of the file itself, with credentials"
        )


def _check_fields(file: BinaryIO, size: int, shown: str) -> None:
    seen: set[int] = set()
    while file.tell() < size:
        start = file.tell()
        tag = _varint(file)
        field, kind = (tag >> 3, tag & 7) if tag is not None else (0, -1)
        if field not in _KNOWN_FIELDS or kind not in {_VARINT, _FIXED64, _BYTES, _FIXED32}:
            if _GRAPH in seen or _IR_VERSION in seen:
                raise ModelFailure(
                    "ContractMismatch", f"{shown} is damaged at byte {start} of {size}: not ONNX; export it again"
                )
            raise ModelFailure("ContractMismatch", f"{shown} is not ONNX: it does not begin as a model does")
        seen.add(field)
        _skip(file, kind)
        if file.tell() > size:
            raise ModelFailure(
                "ContractMismatch",
                f"{shown} is truncated: it announces {file.tell()} bytes or more and has {size}; upload it again",
            )
    if _GRAPH not in seen:
        raise ModelFailure("ContractMismatch", f"{shown} holds no graph: not ONNX, or truncated")


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _VARINT:
        _varint(file)
        return
    length = {_FIXED64: 8, _FIXED32: 4}.get(kind)
    if length is None:
        length = _varint(file)
    file.seek(1 << 62 if length is None else length, 1)


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
