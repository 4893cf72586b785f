"""How much of each pixel a crack covers, from the probabilities on both sides of its edge.

Called by `measure`. A mask knows whole pixels only; where a soft edge crosses the threshold tells more: a line 2.5
pixels wide then measures 2.5 and not 2 or 3.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.thinning import Indices, neighbour_codes, ring_steps


def cover(
    frame: NDArray[np.uint8],
    pixels: Indices,
    labels: NDArray[np.int32],
    outside: NDArray[np.uint8],
    probabilities: NDArray[np.uint8],
    threshold_percent: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """How much of each pixel of the frame is crack (255 is all), and the area of each crack by its label.

    A pixel at the edge counts 0.5 + (p - threshold) / (the range of p in its 3x3 neighbourhood), within 0..1: exact
    for drawn lines with smooth edges, and without bias for wider soft edges, whatever the threshold. Pixels that are 1 in
    `outside` do not exist.
    """
    flat, crack_of = frame.reshape(-1), labels.reshape(-1)
    inner, outer, owner = _edges(flat, pixels, crack_of, ring_steps(frame.shape[1]))
    inside = outside.reshape(-1)[outer] == 0
    outer, owner = outer[inside], owner[inside]
    box = np.ones((3, 3), np.uint8)
    highest, lowest = cv2.dilate(probabilities, box).reshape(-1), cv2.erode(probabilities, box).reshape(-1)
    edge = np.concatenate([inner, outer])
    contrast = np.maximum(highest[edge].astype(np.float64) - lowest[edge], 1.0)
    parts = np.clip(0.5 + (probabilities.reshape(-1)[edge] - 2.55 * threshold_percent) / contrast, 0.0, 1.0)
    covered = frame * np.uint8(255)
    covered.reshape(-1)[edge] = np.rint(255 * parts)
    count = int(crack_of.max()) + 1
    areas = np.bincount(crack_of[pixels], minlength=count) - np.bincount(crack_of[inner], minlength=count)
    areas = areas + np.bincount(np.concatenate([crack_of[inner], owner]), parts, count)
    return covered, np.maximum(areas, 0.5)


def _edges(
    flat: NDArray[np.uint8], pixels: Indices, crack_of: NDArray[np.int32], steps: Indices
) -> tuple[Indices, Indices, NDArray[np.int32]]:
    """The pixels just inside and just outside of the cracks, and the crack that each of the latter lies beside."""
    inner = pixels[neighbour_codes(flat, pixels, steps) != 255]
    outer = (steps[:, None] + inner).reshape(-1)
    beside = np.tile(inner, 8)
    empty = flat.take(outer) == 0
    outer, beside = outer[empty], beside[empty]
    order = np.arange(outer.size, dtype=np.int32)
    last = np.empty(flat.size, np.int32)
    last[outer] = order
    once = last[outer] == order  # a pixel beside several counts once
    return inner, outer[once], crack_of[beside[once]]
