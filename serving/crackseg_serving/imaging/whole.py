"""A whole image through a model of one size: scaled to that size in one piece, and the result scaled back.

Called by the segmentation if the model's metadata or the settings ask for it; `tiles` is the other way. Many crack models are
trained on images scaled to one size: in tiles at full size they would see cracks of other widths than they know.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.threshold import SPECK_PIXELS, threshold

Image = NDArray[np.uint8]
Size = tuple[int, int]  # height, width


def scale_picture(picture: Image, size: Size) -> Image:
    """`picture` `[H, W, 3]` at `size`, each axis for itself: bilinear, as trainers do."""
    return picture if picture.shape[:2] == size else _resized(picture, size, cv2.INTER_LINEAR)


def to_map(probabilities: NDArray[np.float32]) -> Image:
    """Probabilities `[H, W]`, 0..1, as a map of 0..255."""
    found: Image = cv2.convertScaleAbs(np.ascontiguousarray(probabilities), alpha=255.0)
    return found


def scale_map(probabilities: Image, size: Size) -> Image:
    """A map of probabilities at the picture's `size`: bilinear, so that widths can be measured between two of its pixels."""
    return _resized(probabilities, size, cv2.INTER_LINEAR)


def scaled_mask(probabilities: Image, percent: int, size: Size) -> Image:
    """The mask, 0 or 255, of a map of probabilities at the model's size, for a picture of `size`.

    Thresholded where it was computed and then enlarged pixel by pixel. A speck is as large in the picture as elsewhere.
    """
    (height, width), (tall, wide) = probabilities.shape, size
    speck = max(1, round(SPECK_PIXELS * min(height / tall, width / wide)))
    return _resized(threshold(probabilities, percent, speck), size, cv2.INTER_NEAREST)


def _resized(picture: Image, size: Size, interpolation: int) -> Image:
    resized: Image = cv2.resize(picture, size[::-1], interpolation=interpolation)
    return resized
