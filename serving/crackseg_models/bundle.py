"""The `bundle` command's steps: one file that holds a model, other precisions of it, and photographs to check them by.

Called by the command line, with files that `quantize` made. What a server does with such a file is docs/server.md's.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from crackseg_models.agreement import Agreement, Picture, Served, compare
from crackseg_models.metadata import PREFIX
from crackseg_serving.failures import ModelFailure
from crackseg_serving.imaging import LEAST_AGREEMENT
from crackseg_serving.runtime.variants import MOST_PHOTOGRAPH_BYTES, PHOTOGRAPHS, VARIANTS, take_apart

COUNT = 8  # photographs
SIDE = 256  # pixels of each
QUALITY = 92  # of a JPEG
LEAST_CRACK = 300  # pixels in a piece that is to prove something
_STEP = 32  # pixels from one place where a piece may begin to the next


def bundle(
    model: Path, variants: Sequence[Path], check: Mapping[str, Sequence[Picture]], out: Path, folder: Path
) -> None:
    """Write `model` with `variants` and pieces of the photographs of `check` to `out`; `folder` takes the pieces meanwhile.

    Raises ValueError, and leaves no file, where a variant is not one of this model, or less than 0.98 of its masks agree.
    """
    refuse_bundle(model)
    source = Served(model)
    pieces = write_pieces(source, check, folder)
    written = onnx.load(model)
    properties = {PHOTOGRAPHS: ",".join(_text(piece.image.read_bytes()) for piece in pieces)}
    for path in variants:
        key, agreement = _judged(path, model, compare(source, Served(path), pieces))
        properties |= {key: _text(_bare(path)), f"{key}.agreement": json.dumps(agreement, sort_keys=True)}
    for key, value in properties.items():
        written.metadata_props.add(key=key, value=value)
    part = out.with_suffix(".part")
    try:
        onnx.save(written, part)
        take_apart(part, decoded=True)  # as the server will
        part.replace(out)
    except ModelFailure as failure:
        raise ValueError(failure.message) from None
    finally:
        part.unlink(missing_ok=True)


def refuse_bundle(model: Path) -> None:
    """Raise ValueError for a file that brings something along already."""
    if take_apart(model, decoded=False).model is not None:
        raise ValueError(f"{model} is a bundle already: give the model that it was made of")


def _judged(path: Path, model: Path, here: Agreement) -> tuple[str, dict[str, Any]]:
    """Where the variant at `path` goes, and how near it is to the model: as it says itself, and on the photographs `here`."""
    own = {entry.key.removeprefix(PREFIX): entry.value for entry in onnx.load(path).metadata_props}
    precision = own.get("precision", "none")
    if precision not in VARIANTS:
        raise ValueError(f"{path} is of precision {precision}, expected {' or '.join(VARIANTS)}: make it with quantize")
    if own.get("source.digest") != f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}":
        raise ValueError(
            f"{path} was not made of {model}, but of version {own.get('source.version', '?')}, another file"
        )
    try:
        agreement: dict[str, Any] = {**json.loads(own.get("agreement", "{}")), "check": here.rounded()}
        low = [name for name, figures in agreement.items() if figures["agreement"] < LEAST_AGREEMENT]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path}: {PREFIX}agreement is not what quantize writes: make it again") from None
    if low:
        raise ValueError(
            f"{path} is not put in: on {', '.join(low)} less than {LEAST_AGREEMENT} of the mask agrees with {model}"
        )
    return VARIANTS[precision], agreement


def _bare(path: Path) -> bytes:
    """A variant without its metadata: those of the model hold for it."""
    graph = onnx.load(path)
    del graph.metadata_props[:]
    return bytes(graph.SerializeToString())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def write_pieces(source: Served, check: Mapping[str, Sequence[Picture]], folder: Path) -> list[Picture]:
    """Pieces of photographs, each with what its photograph has most of crack; of every set, from faint to wide."""
    found: list[Picture] = []
    for name, pictures in check.items():
        cut = [_piece(source, picture) for picture in pictures]
        cracked = sorted((each for each in cut if each[0] >= LEAST_CRACK), key=lambda each: each[0])
        share = min(-(-COUNT // len(check)), len(cracked))
        for place in np.linspace(0, len(cracked) - 1, share).round().astype(int):
            path = folder / f"{name}-{place}.jpg"
            path.write_bytes(_jpeg(cracked[place][1]))
            found.append(Picture(path))
    if not found:
        raise ValueError("the model finds no crack in any of the photographs: give some that have cracks")
    return found[:COUNT] if len(found) > COUNT else found


def _piece(source: Served, picture: Picture) -> tuple[int, NDArray[np.uint8]]:
    """The piece of a photograph that has most crack by the model, and how many pixels of it."""
    mask, pixels = source.mask(picture), cv2.imread(str(picture.image), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape[:2] != mask.shape:
        raise ValueError(f"{picture.image} is not a picture that OpenCV can read")
    tops, lefts = (range(0, max(side - SIDE, 0) + 1, _STEP) for side in mask.shape)
    best = max(
        (np.s_[top : top + SIDE, left : left + SIDE] for top in tops for left in lefts),
        key=lambda place: np.count_nonzero(mask[place]),
    )
    return int(np.count_nonzero(mask[best])), np.asarray(pixels[best], np.uint8)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done or len(data) > MOST_PHOTOGRAPH_BYTES:
        raise ValueError(f"a piece of a photograph cannot be written as a JPEG of {MOST_PHOTOGRAPH_BYTES} bytes")
    return bytes(data)
