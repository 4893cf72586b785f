"""From probabilities to a mask.

Called by the engine after the tiles are stitched.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def threshold(probabilities: NDArray[np.uint8], percent: int = 50, minimum_area_pixels: int = 0) -> NDArray[np.uint8]:
    """The mask, 0 or 255, of the pixels whose probability `[H, W]` (0..255) reaches `percent` (1..100).

    Connected parts smaller than `minimum_area_pixels` are left out. Raises ValueError where percent is out of range.
    """
    if not 1 <= percent <= 100:
        raise ValueError(f"the threshold is a percentage from 1 to 100, not {percent}")
    mask: NDArray[np.uint8] = cv2.threshold(probabilities, round(2.55 * percent) - 1, 255, cv2.THRESH_BINARY)[1]
    if minimum_area_pixels > 1:
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        small = statistics[:, cv2.CC_STAT_AREA] < minimum_area_pixels
        mask[small[labels]] = 0
    return mask
