"""What a model file brings besides its graph: variants in a smaller precision, and photographs to check them with.

Both are in its metadata (`crackseg.variant.int8`, `crackseg.check.photographs`) in base64, so the digest of the file covers
everything that may run. They are removed from the file's bytes before ONNX Runtime sees it, which would keep them for the life of
each session. Called by the loading; written by `crackseg_models bundle`. Opens no session.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import BinaryIO, Final

from crackseg_serving.failures import ModelFailure
from crackseg_serving.onnxfile import LENGTH, outermost
from crackseg_serving.values import value

#: Where each precision of a variant stands.
VARIANTS: Final = {"INT8": "crackseg.variant.int8", "FP16": "crackseg.variant.fp16"}
PHOTOGRAPHS: Final = "crackseg.check.photographs"  # separated by commas
MOST_PHOTOGRAPHS: Final = 32
MOST_PHOTOGRAPH_BYTES: Final = 256 << 10  # each
MOST_VARIANT_BYTES: Final = 1 << 30
_METADATA, _KEY, _VALUE = 14, 1, 2  # ModelProto.metadata_props, StringStringEntryProto.key and .value


@value
class Brought:
    """A model file taken apart."""

    model: bytes | None = None  # the file without what it brings; None where it brings nothing
    variants: dict[str, bytes] = field(default_factory=dict)  # ONNX, by precision
    photographs: tuple[bytes, ...] = ()


def take_apart(path: Path, *, decoded: bool) -> Brought:
    """What the file at `path` brings; only `decoded` looks into it.

    A file that is no ONNX brings nothing: who opens it says what is wrong with it. Raises ModelFailure (ContractMismatch) where
    it is ONNX, and what it brings cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        apart, kept, place = {}, [], 0
        for start, end, key, value in _entries(file, size):
            if key in {*VARIANTS.values(), PHOTOGRAPHS}:
                apart[key] = value
                kept.append((place, start))
                place = end
        if not apart:
            return Brought()
        model = b"".join(_read(file, start, end) for start, end in [*kept, (place, size)])
    if not decoded:
        return Brought(model)
    variants = {
        name: _bytes(key, apart[key], MOST_VARIANT_BYTES, "an ONNX file")
        for name, key in VARIANTS.items()
        if key in apart
    }
    return Brought(model, variants, tuple(_photographs(apart.get(PHOTOGRAPHS, b""))))


def _entries(file: BinaryIO, size: int) -> Iterator[tuple[int, int, str, bytes]]:
    """Where each entry of the metadata begins and ends, its key and its value."""
    for part in outermost(file, size):
        if part.field == _METADATA and part.kind == LENGTH and part.end <= size:
            entry = _read(file, part.content, part.end)
            inside = io.BytesIO(entry)
            texts = {piece.field: entry[piece.content : piece.end] for piece in outermost(inside, len(entry))}
            yield part.start, part.end, texts.get(_KEY, b"").decode("utf-8", "replace"), texts.get(_VALUE, b"")


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _photographs(text: bytes) -> Iterator[bytes]:
    parts = [part for part in text.split(b",") if part.strip()]
    if len(parts) > MOST_PHOTOGRAPHS:
        raise _wrong(PHOTOGRAPHS, f"has {len(parts)} photographs, expected {MOST_PHOTOGRAPHS} at most")
    for part in parts:
        yield _bytes(PHOTOGRAPHS, part, MOST_PHOTOGRAPH_BYTES, "a photograph")


def _bytes(key: str, text: bytes, most: int, what: str) -> bytes:
    if len(text) > 4 * -(-most // 3):
        raise _wrong(key, f"has {what} of {len(text)} letters, expected {most} bytes at most")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _wrong(key, f"is not {what} in base64 ({error})") from None


def _wrong(key: str, what: str) -> ModelFailure:
    return ModelFailure(
        "ContractMismatch", f"the model's metadata: {key} {what}; make the file again with crackseg_models bundle"
    )
