"""Measure the cracks of a mask: length, width, direction, area, branches.

Called by the engine after `threshold`. Pure: arrays in, records out. docs/measurement.md says what each figure means and
how exact it is; tests/serving/imaging holds it to that.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.figures import Figures, figures_of
from crackseg_serving.imaging.measurements import BoundingBox, Crack, Measurements, Polygon
from crackseg_serving.imaging.polygons import find_contours, rings_of
from crackseg_serving.imaging.scale import Scale
from crackseg_serving.imaging.window import Window, open_window

#: A noisy mask has thousands of specks: the longest cracks are listed one by one, the totals count all.
MAXIMUM_LISTED_CRACKS: Final = 1000


def measure(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.uint8] | None = None,
    *,
    threshold_percent: int = 50,
    scale: Scale | None = None,
) -> Measurements:
    """Measure every crack of a mask `[H, W]` (0: none, otherwise crack).

    `probabilities` `[H, W]` (0..255) are those that the mask was thresholded from at `threshold_percent`: with them
    widths are measured below a pixel. Millimetres and severity come only with a `scale`.
    Raises ValueError where the shapes differ.
    """
    if mask.ndim != 2 or (probabilities is not None and probabilities.shape != mask.shape):
        raise ValueError("mask and probabilities must be two-dimensional and of one shape")
    height, width = mask.shape
    window = open_window(mask, probabilities, threshold_percent)
    if window is None:
        return Measurements(width, height, scale, 0, 0.0, 0, ())
    figures = figures_of(window)
    cracks = _cracks(window, figures, scale)
    length, area = float(figures.lengths.sum()), int(window.counted.sum())
    errors = figures.errors.lengths.sum(), figures.errors.areas.sum()
    return Measurements(width, height, scale, window.count - 1, length, area, cracks, *map(float, errors))


def _cracks(window: Window, figures: Figures, scale: Scale | None) -> tuple[Crack, ...]:
    """The longest cracks as records."""
    order = np.argsort(-figures.lengths[1:], kind="stable")[:MAXIMUM_LISTED_CRACKS] + 1
    outlines = _outlines(window, order)
    return tuple(figures.crack(label, *outline, scale) for label, outline in zip(order.tolist(), outlines, strict=True))


def _outlines(window: Window, order: NDArray[np.int64]) -> list[tuple[BoundingBox, Polygon]]:
    """The box and the outline of the cracks with these labels."""
    contours, parents = find_contours(window.frame)
    corners = np.array([contour[0, 0] for contour in contours])
    outer = np.flatnonzero(parents < 0)
    outer_of = np.zeros(window.count, np.intp)
    outer_of[window.labels[corners[outer, 1], corners[outer, 0]]] = outer
    holes: dict[int, list[int]] = {int(k): [] for k in outer_of[order]}
    for k in np.flatnonzero(parents >= 0).tolist():
        if parents[k] in holes:
            holes[int(parents[k])].append(k)
    wanted = [k for own, inner in holes.items() for k in (own, *inner)]
    rings = iter(rings_of([contours[k] for k in wanted], (window.left, window.top)))
    outlines = []
    for own, inner in holes.items():
        x, y, w, h = cv2.boundingRect(contours[own])
        polygon = Polygon(next(rings), tuple(next(rings) for _ in inner))
        outlines.append((BoundingBox(x + window.left, y + window.top, w, h), polygon))
    return outlines
