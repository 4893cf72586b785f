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

#: A connected part whose bounding box is shorter than this on both sides is a speck and no crack, in pixels. A length and
#: not an area: a hairline of 1 x 12 pixels is a crack, a grain of 5 x 5 is none.
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
    mask: NDArray[np.uint8] = cv2.threshold(probabilities, round(2.55 * percent) - 1, 255, cv2.THRESH_BINARY)[1]
    _remove_specks(mask, min(speck_pixels, *mask.shape))
    return mask


def _remove_specks(mask: NDArray[np.uint8], side: int) -> None:
    """Blacken the parts of a mask that are shorter than `side` in both directions; strip by strip, in place.

    Strips overlap by `side` rows, so that every speck lies whole in one; what touches a strip's cut may go on beyond it.
    """
    height, width = mask.shape
    rows = max(_STRIP // width, 4 * side)
    for start in range(0, height, rows):
        top, bottom = max(start - side, 0), min(start + rows + side, height)
        strip = mask[top:bottom]
        first, last = 0 if top else -1, bottom - top - 1 if bottom < height else height
        contours, parents = find_contours(strip, cv2.CHAIN_APPROX_SIMPLE)
        specks = []
        for contour, parent in zip(contours, parents.tolist(), strict=True):
            _, y, w, h = cv2.boundingRect(contour)
            if parent < 0 and w < side and h < side and y > first and y + h - 1 < last:
                specks.append(contour)
        if specks:
            cv2.drawContours(strip, specks, -1, 0, cv2.FILLED)
