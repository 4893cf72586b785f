"""The pixels of a large image from top to bottom, strip by strip, so that it is never whole in memory.

Called by `large`. `vips` decodes; an image that cannot be decoded in strips is decoded whole by `decode` and passed on in the same
way. `held_bytes` says how much memory that takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.decode import DecodeLimits, decode
from crackseg_serving.imaging.headers import ImageFacts
from crackseg_serving.imaging.tiles import TilePlan, move_up
from crackseg_serving.imaging.vips import read_rows
from crackseg_serving.values import value

Image = NDArray[np.uint8]

_ROWS: Final = 32  # of a picture that was decoded whole, handed on at a time
_BYTES_WHOLE: Final = 12  # a pixel, decoded whole: four samples of 16 bits, and what becomes of them
_COLOURS: Final = 3


@value
class Strips:
    """An image as it comes from its decoder."""

    height: int
    width: int
    orientation: int  # EXIF's, still to be applied
    rows: Iterator[Image]  # RGB, [h, width, 3], from the top


def held_bytes(facts: ImageFacts) -> int:
    """The bytes that the decoder keeps for the whole image, besides the current strip; 0 is best."""
    return facts.width * facts.height * _BYTES_WHOLE if facts.held is None else facts.held


def open_strips(data: bytes, facts: ImageFacts) -> Strips:
    """The strips of a picture with these `facts`; samples are what `decode` makes of them, to within one of 255.

    The iterator raises TruncatedImage, also after some strips.
    """
    if facts.held is None:
        height, width = facts.upright
        return Strips(height, width, 1, _decoded(data, facts))
    return Strips(facts.height, facts.width, facts.orientation, read_rows(data, facts))


def _decoded(data: bytes, facts: ImageFacts) -> Iterator[Image]:
    pixels = decode(data, DecodeLimits(max_pixels=facts.width * facts.height), facts=facts).pixels
    yield from (pixels[top : top + _ROWS] for top in range(0, len(pixels), _ROWS))


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
