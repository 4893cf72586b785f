"""Turn the bytes of a picture into pixels, upright and in RGB.

Called by the engine in a worker thread. The header is read first (`headers`): its size decides whether any pixel is
decoded at all. OpenCV decodes, JPEG libjpeg-turbo, TIFF libvips; nothing but an `ImageError` comes out of here for bad input.
"""

from __future__ import annotations

from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.errors import TooManyPixels
from crackseg_serving.imaging.headers import ImageFacts, damaged, read_facts
from crackseg_serving.imaging.jpeg import read_jpeg
from crackseg_serving.imaging.vips import read_rows
from crackseg_serving.values import value

Image = NDArray[np.uint8]
Value = TypeVar("Value", np.uint8, np.float32)


@value
class DecodeLimits:
    """How large a picture may be; 50 megapixels are 150 MB of pixels."""

    max_pixels: int = 50_000_000
    max_side: int = 65_535

    def check(self, facts: ImageFacts) -> None:
        """Raise TooManyPixels for a picture that is larger."""
        if facts.width * facts.height > self.max_pixels or max(facts.width, facts.height) > self.max_side:
            raise TooManyPixels(facts.width, facts.height, self.max_pixels, self.max_side)


@value
class DecodedImage:
    """A picture ready for the model."""

    pixels: Image  # [H, W, 3], RGB, C-contiguous, upright
    facts: ImageFacts


_DEFAULT_LIMITS = DecodeLimits()
_HALF = cv2.IMREAD_REDUCED_COLOR_2 & ~cv2.IMREAD_COLOR_BGR


def decode(
    data: bytes | bytearray | memoryview,
    limits: DecodeLimits = _DEFAULT_LIMITS,
    *,
    facts: ImageFacts | None = None,
    halved: bool = False,
) -> DecodedImage:
    """Decode JPEG, PNG, TIFF, WebP or BMP to RGB with 8 bits.

    16-bit samples are scaled, grey becomes three equal channels, CMYK is converted, alpha is dropped, the EXIF
    orientation is applied. `facts` are those of `data`, where they have been read already. `halved` gives a JPEG of even
    sides at half its size, which is cheaper than all of it. Raises NotAnImage, UnsupportedImage, TruncatedImage or TooManyPixels.
    """
    facts = facts or read_facts(data)
    limits.check(facts)
    pixels = turn(_pixels(data, facts, halved=halved), facts.orientation)
    sides = facts.upright
    if pixels.shape != ((sides[0] // 2, sides[1] // 2, 3) if halved else (*sides, 3)):
        raise damaged(facts)
    return DecodedImage(pixels, facts)


def _pixels(data: bytes | bytearray | memoryview, facts: ImageFacts, *, halved: bool) -> Image:
    """As the file has them, not turned."""
    if facts.format == "TIFF":
        return np.concatenate(list(read_rows(bytes(data), facts)))
    if facts.format == "JPEG" and (decoded := read_jpeg(data, facts, halved=halved)) is not None:
        return decoded
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | (_HALF if halved else 0)
    try:
        pixels: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise damaged(facts) from error
    if pixels is None:
        raise damaged(facts)
    return pixels


#: The orientation that undoes another, where it is not the same.
BACKWARDS: Final = {6: 8, 8: 6}


def turn(pixels: NDArray[Value], orientation: int) -> NDArray[Value]:
    """Turn and mirror an array `[H, W, ...]` upright, as EXIF says: 2 to 4 keep the sides, 5 to 8 swap them."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)
