"""A mask with one bit per pixel, for images too large for a byte per pixel: written from the top, turned, and encoded.

Made by `large`; encoded by `render` and `rle`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_STEP: Final = 256  # rows or columns unpacked at a time, a multiple of 8


class BitMask:
    """The mask of an image, empty where nothing has been written."""

    def __init__(self, height: int, width: int) -> None:
        self.shape = (height, width)
        self.bits: Image = np.zeros((height, -(-width // 8)), np.uint8)  # the left pixel is the highest bit, as in PNG
        self._written = 0

    def append(self, rows: Image) -> None:
        """The next rows `[h, width]` (0: none, otherwise crack)."""
        self.bits[self._written : self._written + len(rows)] = np.packbits(rows, axis=1)
        self._written += len(rows)

    def columns(self) -> Iterator[Image]:
        """The mask `[height, some]`, 0 or 1, in parts from the left."""
        width = self.shape[1]
        for left in range(0, width, _STEP):
            part = self.bits[:, left // 8 : (left + _STEP) // 8]
            yield np.unpackbits(part, axis=1, count=min(_STEP, width - left))

    def turned(self, orientation: int) -> BitMask:
        """Upright, as EXIF's orientation says."""
        if orientation == 1:
            return self
        height, width = self.shape
        tall, wide = (height, width) if orientation < 5 else (width, height)
        upright = BitMask(tall, wide)
        mirrored_down, mirrored_right = orientation in {3, 4, 7, 8}, orientation in {2, 3, 6, 7}
        sideways = orientation >= 5
        for top in range(0, tall, _STEP):
            stop = min(top + _STEP, tall)
            first, last = (tall - stop, tall - top) if mirrored_down else (top, stop)
            source = self._slab(first, last, across=sideways)
            part = source.T if sideways else source
            part = part[::-1] if mirrored_down else part
            upright.append(part[:, ::-1] if mirrored_right else part)
        return upright

    def _slab(self, first: int, last: int, *, across: bool) -> Image:
        """Rows, or columns, from `first` to `last`."""
        if not across:
            return np.unpackbits(self.bits[first:last], axis=1, count=self.shape[1])
        skipped = first % 8
        part = np.unpackbits(self.bits[:, first // 8 : -(-last // 8)], axis=1)
        return part[:, skipped : skipped + last - first]
