"""The pixels of a large picture from top to bottom, strip by strip, so that it never lies in memory whole.

Called by the segmentation of large pictures. libvips decodes (docs/decisions/0012), and is imported only here and only then. What
cannot be decoded in strips comes whole through `decode` and is handed on in the same way; `held_bytes` says what that takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.decode import DecodeLimits, damaged, decode
from crackseg_serving.imaging.headers import ImageFacts
from crackseg_serving.imaging.tiles import TilePlan, move_up

Image = NDArray[np.uint8]

_ROWS: Final = 32  # taken from the decoder in one go
_LOADERS: Final = {"JPEG": "jpegload_source", "PNG": "pngload_source", "TIFF": "tiffload_source"}
_SAMPLES: Final = {"uchar": np.uint8, "ushort": np.uint16}
_BYTES_WHOLE: Final = 12  # a pixel, decoded whole: four samples of 16 bits, and what becomes of them
_COLOURS: Final = 3


@dataclass(frozen=True, slots=True)
class Strips:
    """A picture as it comes from its decoder."""

    height: int
    width: int
    orientation: int  # what is still to be done to it, as EXIF says
    rows: Iterator[Image]  # RGB, [h, width, 3], from the top


def held_bytes(facts: ImageFacts) -> int:
    """The memory that decoding takes for all of a picture, beside the strip that it is at; 0 is the best."""
    return facts.width * facts.height * _BYTES_WHOLE if facts.held is None else facts.held


def open_strips(data: bytes, facts: ImageFacts) -> Strips:
    """The strips of a picture with these `facts`; samples are what `decode` makes of them, to within one of 255.

    The iterator raises TruncatedImage, also after some strips.
    """
    if facts.held is None:
        height, width = facts.upright
        return Strips(height, width, 1, _decoded(data, facts))
    return Strips(facts.height, facts.width, facts.orientation, _read(data, facts))


def _decoded(data: bytes, facts: ImageFacts) -> Iterator[Image]:
    pixels = decode(data, DecodeLimits(max_pixels=facts.width * facts.height), facts=facts).pixels
    yield from (pixels[top : top + _ROWS] for top in range(0, len(pixels), _ROWS))


def _read(data: bytes, facts: ImageFacts) -> Iterator[Image]:
    vips = _vips()
    try:
        source = vips.Source.new_from_memory(data)  # a buffer would be copied
        picture = getattr(vips.Image, _LOADERS[facts.format])(source, access="sequential", fail_on="error")
        if (picture.width, picture.height) != (facts.width, facts.height) or picture.format not in _SAMPLES:
            raise damaged(facts)
        region = vips.Region.new(picture)
        for top in range(0, facts.height, _ROWS):
            rows = min(_ROWS, facts.height - top)
            samples = np.frombuffer(region.fetch(0, top, facts.width, rows), _SAMPLES[picture.format])
            shape = (rows, facts.width, picture.bands)
            yield _to_rgb(samples.reshape(shape), inks=picture.interpretation == "cmyk")
    except vips.Error:
        raise damaged(facts) from None


@cache
def _vips() -> Any:
    os.environ.setdefault("VIPS_CONCURRENCY", "1")  # a request has one thread for its decoding
    import pyvips

    pyvips.cache_set_max(0)  # it would keep pictures for the next who asks for the same
    return pyvips


def _to_rgb(samples: NDArray[Any], *, inks: bool) -> Image:
    """Samples `[h, w, bands]` of 8 or 16 bits: grey, RGB or inks, with alpha or without."""
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    if inks:
        paper, black = 255 - samples[..., :3].astype(np.uint16), 255 - samples[..., 3:4].astype(np.uint16)
        return (paper * black // 255).astype(np.uint8)
    if samples.shape[2] < _COLOURS:
        grey: Image = cv2.cvtColor(np.ascontiguousarray(samples[..., 0]), cv2.COLOR_GRAY2RGB)
        return grey
    return np.ascontiguousarray(samples[..., :_COLOURS])


def in_tile_rows(strips: Iterator[Image], plan: TilePlan) -> Iterator[Image]:
    """The pixels `[tile_height or fewer, width, 3]` that each row of a plan's tiles needs; each is overwritten by the next."""
    buffer = np.empty((min(plan.tile_height, plan.height), plan.width, _COLOURS), np.uint8)
    rest = buffer[:0]
    have = before = 0
    for top in plan.tops:
        have = move_up(buffer, top - before, have)
        before = top
        while have < len(buffer):
            rest = rest if len(rest) else next(strips)
            taken = rest[: len(buffer) - have]
            buffer[have : have + len(taken)] = taken
            have, rest = have + len(taken), rest[len(taken) :]
        yield buffer
