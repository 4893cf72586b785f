"""Measure the cracks of a mask: length, width, direction, area, branches.

Called by the engine after `threshold`. Pure: arrays in, records out. docs/measurement.md says what each figure means and
how exact it is; tests/serving/imaging holds it to that.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.figures import Figures, figures_of
from crackseg_serving.imaging.measurements import BoundingBox, Crack, Measurements, severity_of
from crackseg_serving.imaging.polygons import find_contours, polygon_of
from crackseg_serving.imaging.window import Window, open_window

#: A noisy mask has thousands of specks: the longest cracks are listed one by one, the totals count all.
MAXIMUM_LISTED_CRACKS: Final = 1000


def measure(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.uint8] | None = None,
    *,
    threshold_percent: int = 50,
    millimetres_per_pixel: float | None = None,
) -> Measurements:
    """Measure every crack of a mask `[H, W]` (0: none, otherwise crack).

    `probabilities` `[H, W]` (0..255) are those that the mask was thresholded from at `threshold_percent`: with them
    widths are measured below a pixel. Millimetres and severity come only with `millimetres_per_pixel`.
    Raises ValueError where the shapes differ or the scale is not a positive number.
    """
    if mask.ndim != 2 or (probabilities is not None and probabilities.shape != mask.shape):
        raise ValueError("mask and probabilities must be two-dimensional and of one shape")
    if millimetres_per_pixel is not None and not (math.isfinite(millimetres_per_pixel) and millimetres_per_pixel > 0):
        raise ValueError(f"millimetres per pixel must be a positive number, not {millimetres_per_pixel}")
    height, width = mask.shape
    window = open_window(mask, probabilities, threshold_percent)
    if window is None:
        return Measurements(width, height, millimetres_per_pixel, 0, 0.0, 0, ())
    figures = figures_of(window)
    cracks = _cracks(window, figures, millimetres_per_pixel)
    length, area = float(figures.lengths.sum()), int(window.pixels.size)
    return Measurements(width, height, millimetres_per_pixel, window.count - 1, length, area, cracks)


def _cracks(window: Window, figures: Figures, scale: float | None) -> tuple[Crack, ...]:
    """The longest cracks as records."""
    counted = np.bincount(window.labels.reshape(-1)[window.pixels], minlength=window.count)
    order = np.argsort(-figures.lengths[1:], kind="stable")[:MAXIMUM_LISTED_CRACKS] + 1
    contours, parents = find_contours(window.frame)
    outer = {int(window.labels[c[0, 0, 1], c[0, 0, 0]]): k for k, c in enumerate(contours) if parents[k] < 0}
    holes: dict[int, list[NDArray[np.int32]]] = {}
    for contour, parent in zip(contours, parents.tolist(), strict=True):
        if parent >= 0:
            holes.setdefault(parent, []).append(contour)
    records = []
    for label in order.tolist():
        contour = contours[outer[label]]
        x, y, w, h = cv2.boundingRect(contour)
        direction = float(figures.directions[label])
        mean = float(figures.mean_widths[label])
        records.append(
            Crack(
                length_pixels=float(figures.lengths[label]),
                mean_width_pixels=mean,
                maximum_width_pixels=float(figures.maximum_widths[label]),
                orientation_degrees=None if math.isnan(direction) else direction,
                area_pixels=int(counted[label]),
                branch_count=int(figures.branches[label]),
                bounding_box=BoundingBox(x + window.left, y + window.top, w, h),
                polygon=polygon_of(contour, holes.get(outer[label], ()), (window.left, window.top)),
                severity=None if scale is None else severity_of(mean * scale),
            )
        )
    return tuple(records)
