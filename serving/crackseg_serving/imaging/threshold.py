"""From probabilities to a mask without specks.

Called by the engine after the tiles are stitched; every answer (mask, overlay, figures) is made from this one mask.
docs/measurement.md says how the size of a speck was chosen.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.polygons import find_contours

#: Pixels: a connected part whose bounding box is shorter than this on both sides is a speck, not a crack. It is a length and
#: not an area because a hairline of 1 x 12 pixels is a crack, and a grain of 5 x 5 is not.
SPECK_PIXELS: Final = 10
_STRIP: Final = 1 << 18  # pixels looked at in one go: outlines of noise take memory


def threshold(
    probabilities: NDArray[np.uint8], percent: int = 50, speck_pixels: int = SPECK_PIXELS
) -> NDArray[np.uint8]:
    """The mask, 0 or 255, of the pixels whose probability `[H, W]` (0..255) reaches `percent` (1..100).

    Connected parts that are shorter than `speck_pixels` in both directions are left out; in a picture smaller than that,
    what reaches across it stays. Raises ValueError where percent is out of range.
    """
    if not 1 <= percent <= 100:
        raise ValueError(f"the threshold is a percentage from 1 to 100, not {percent}")
    mask = _reached(probabilities, percent)
    _remove_specks(mask, min(speck_pixels, *mask.shape))
    return mask


class RowThreshold:
    """`threshold` for a map whose rows come from the top, of which it never holds more than some."""

    def __init__(self, shape: tuple[int, int], percent: int = 50) -> None:
        """For a map of this `shape`."""
        self._percent, self._side = percent, min(SPECK_PIXELS, *shape)
        self._kept = np.empty((0, shape[1]), np.uint8)
        self._begun = False

    def add(self, probabilities: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The next rows of the mask that are final, given the next rows `[h, W]` of the map."""
        step = _rows_at_once(probabilities.shape[1], self._side)
        parts = [
            self._cleaned(_reached(probabilities[top : top + step], self._percent), self._side)
            for top in range(0, len(probabilities), step)
        ]
        return np.concatenate(parts)

    def finish(self) -> NDArray[np.uint8]:
        """The last rows of the mask."""
        return self._cleaned(self._kept[:0], 0)

    def _cleaned(self, rows: NDArray[np.uint8], held_back: int) -> NDArray[np.uint8]:
        """What begins in the rows held back lies whole below their first one, or goes on above it and is no speck."""
        strip = np.concatenate([self._kept, rows])
        done = max(len(strip) - held_back, 0)
        _blacken(strip, self._side, first=0 if self._begun else -1, last=len(strip) - (1 if held_back else 0))
        self._kept = strip[done:].copy()
        self._begun = self._begun or done > 0
        return strip[:done]


def _rows_at_once(width: int, side: int) -> int:
    return max(_STRIP // width, 4 * side)


def _reached(probabilities: NDArray[np.uint8], percent: int) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = cv2.threshold(probabilities, round(2.55 * percent) - 1, 255, cv2.THRESH_BINARY)[1]
    return mask


def _remove_specks(mask: NDArray[np.uint8], side: int) -> None:
    """Blacken the parts of a mask that are shorter than `side` in both directions; strip by strip, in place.

    Strips overlap by `side` rows, so that every speck lies whole in one; what touches a strip's cut may go on beyond it.
    """
    height, width = mask.shape
    rows = _rows_at_once(width, side)
    for start in range(0, height, rows):
        top, bottom = max(start - side, 0), min(start + rows + side, height)
        strip = mask[top:bottom]
        first, last = 0 if top else -1, bottom - top - 1 if bottom < height else height
        _blacken(strip, side, first, last)


def _blacken(strip: NDArray[np.uint8], side: int, first: int, last: int) -> None:
    """Blacken the specks of a strip that lie between the rows `first` and `last`, touching neither."""
    contours, parents = find_contours(strip, cv2.CHAIN_APPROX_SIMPLE)
    specks = []
    for contour, parent in zip(contours, parents.tolist(), strict=True):
        _, y, w, h = cv2.boundingRect(contour)
        if parent < 0 and w < side and h < side and y > first and y + h - 1 < last:
            specks.append(contour)
    if specks:
        cv2.drawContours(strip, specks, -1, 0, cv2.FILLED)
