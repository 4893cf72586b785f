"""Draw the answer: the mask as a one-bit PNG, the cracks over the photograph.

Called by the answers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.bitmask import BitMask

Image = NDArray[np.uint8]

#: Roads are grey, markings white or yellow, brick and soil brown: no road has this colour.
CRACK: Final = (255, 56, 120)
#: The tint is weak, so that the crack itself stays to be seen; its outline is full.
TINT_PERCENT: Final = 35
#: One pixel of outline for so many pixels of the picture's shorter side: visible when a large picture is shown small.
OUTLINE_SHARE: Final = 600
_PNG_PART: Final = 1 << 20  # bytes that are compressed in one go


def mask_png(mask: Image | BitMask) -> bytes:
    """A mask `[H, W]` (0: none, otherwise crack) as PNG with one bit a pixel.

    Written here: a third of the time that OpenCV takes, which hands libpng a byte a pixel. https://www.w3.org/TR/png-3/
    """
    height, width = mask.shape
    bits = mask.bits if isinstance(mask, BitMask) else np.packbits(mask, axis=1)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)  # one bit, grey, not interlaced
    pieces = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", head)]
    pieces += [_chunk(b"IDAT", part) for part in _deflated(bits) if part]
    return b"".join([*pieces, _chunk(b"IEND", b"")])


def _deflated(bits: Image) -> Iterator[bytes]:
    """Packed lines as PNG's stream, in parts: the lines with their filter byte (0: no filter) are never there all at once."""
    stream = zlib.compressobj(1)
    step = max(1, _PNG_PART // bits.shape[1])
    for top in range(0, len(bits), step):
        part = bits[top : top + step]
        lines = np.zeros((len(part), 1 + part.shape[1]), np.uint8)
        lines[:, 1:] = part
        yield stream.compress(lines.data)
    yield stream.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def overlay_png(image: Image, mask: Image) -> bytes:
    """`overlay` as PNG."""
    return _encoded(".png", cv2.cvtColor(overlay(image, mask), cv2.COLOR_RGB2BGR), cv2.IMWRITE_PNG_COMPRESSION, 1)


def overlay_jpeg(image: Image, mask: Image) -> bytes:
    """`overlay` as JPEG: a tenth of the bytes, for screens and reports."""
    return _encoded(".jpg", cv2.cvtColor(overlay(image, mask), cv2.COLOR_RGB2BGR), cv2.IMWRITE_JPEG_QUALITY, 90)


def overlay(image: Image, mask: Image) -> Image:
    """The photograph `[H, W, 3]` (RGB) with the cracks of `mask` `[H, W]` tinted and outlined."""
    picture = image.copy()
    crack = mask != 0
    tint = np.array(CRACK, np.uint16) * TINT_PERCENT
    picture[crack] = (image[crack].astype(np.uint16) * (100 - TINT_PERCENT) + tint) // 100
    thickness = max(1, round(min(mask.shape) / OUTLINE_SHARE))
    around = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thickness + 2, thickness + 2)))
    contours, _ = cv2.findContours(around, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, CRACK, thickness, cv2.LINE_AA)
    return picture


def _encoded(suffix: str, picture: Image, *options: int) -> bytes:
    done, encoded = cv2.imencode(suffix, picture, options)
    assert done, "OpenCV encodes every array of 8 bits"
    return encoded.tobytes()
