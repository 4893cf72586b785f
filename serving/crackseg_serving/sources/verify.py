"""Is this file a whole ONNX model? Told from its outermost bytes, without a protobuf library and without reading it all.

Its outermost fields must follow each other exactly to the end of the file, and one of them is the graph. So a file cut short
betrays itself, as does a page that says "please log in".
Field numbers: onnx.proto, message ModelProto.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from crackseg_serving.failures import ModelFailure
from crackseg_serving.onnxfile import HEAD, other_format, outermost

_GRAPH, _IR_VERSION = 7, 1
_KNOWN_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_POINTER = b"version https://git-lfs.github.com/spec/"


def check_onnx(path: Path, shown: str) -> None:
    """Raise ModelFailure (PointerFile or ContractMismatch) where the file cannot be a whole ONNX model."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
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
    if kind := other_format(head):
        raise ModelFailure(
            "ContractMismatch", f"{shown} is {kind}, not ONNX: export the model as ONNX, and give that file"
        )
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise ModelFailure(
            "ContractMismatch", f"{shown} is a web page, not ONNX: use the address of the file itself, with credentials"
        )


def _check_fields(file: BinaryIO, size: int, shown: str) -> None:
    seen: set[int] = set()
    for part in outermost(file, size):
        if part.field not in _KNOWN_FIELDS:
            if _GRAPH in seen or _IR_VERSION in seen:
                raise ModelFailure(
                    "ContractMismatch", f"{shown} is damaged at byte {part.start} of {size}: not ONNX; export it again"
                )
            raise ModelFailure("ContractMismatch", f"{shown} is not ONNX: it does not begin as a model does")
        seen.add(part.field)
        if part.end > size:
            raise ModelFailure(
                "ContractMismatch",
                f"{shown} is truncated: it announces {part.end} bytes or more and has {size}; upload it again",
            )
    if _GRAPH not in seen:
        raise ModelFailure("ContractMismatch", f"{shown} holds no graph: not ONNX, or truncated")
