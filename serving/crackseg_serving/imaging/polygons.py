"""Outlines of cracks as polygons.

Called by `measure` and by `render`. Contours come from OpenCV through the centres of the outermost pixels; here they
are moved out to those pixels' edges, so that a polygon has the area of the crack it goes round, and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.measurements import Polygon, Ring

#: The farthest that a simplified outline lies from the full one, in pixels.
TOLERANCE_PIXELS: Final = 0.5

Contours = Sequence[NDArray[np.int32]]


def find_contours(mask: NDArray[np.uint8], points: int = cv2.CHAIN_APPROX_NONE) -> tuple[Contours, NDArray[np.int32]]:
    """The contours of a mask through pixel centres, each `[k, 1, 2]` (x, y), and their parents: -1 for an outer one.

    `points`: all of them, or (`cv2.CHAIN_APPROX_SIMPLE`) those where the contour turns.
    """
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, points)
    parents = np.empty(0, np.int32) if hierarchy is None else hierarchy[0, :, 3]
    return contours, parents


def polygon_of(outer: NDArray[np.int32], holes: Contours, offset: tuple[float, float] = (0.0, 0.0)) -> Polygon:
    """The polygon of one crack's contours. `offset` (x, y) is added to every point."""
    return Polygon(_ring(outer, offset), tuple(_ring(hole, offset) for hole in holes))


def _ring(contour: NDArray[np.int32], offset: tuple[float, float]) -> Ring:
    points = cv2.approxPolyDP(_to_pixel_edges(contour[:, 0, :]), TOLERANCE_PIXELS, closed=True)[:, 0, :]
    points = np.round(points.astype(np.float64) + np.add(offset, 0.5), 1)
    return tuple(map(tuple, points.tolist()))


def _to_pixel_edges(points: NDArray[np.int32]) -> NDArray[np.float32]:
    """A contour `[k, 2]` through pixel centres, moved half a pixel outwards; one of a single pixel becomes its square."""
    if len(points) == 1:
        return points.astype(np.float32) + _SQUARE
    steps = np.empty_like(points)
    np.subtract(points[1:], points[:-1], out=steps[1:])
    np.subtract(points[0], points[-1], out=steps[0])
    arriving = 3 * steps[:, 1] + steps[:, 0] + 4
    leaving = np.empty_like(arriving)
    leaving[:-1], leaving[-1] = arriving[1:], arriving[0]
    moved: NDArray[np.float32] = points.astype(np.float32) + _OUTWARDS[9 * arriving + leaving]
    return moved


def _outwards() -> NDArray[np.float32]:
    """Half a pixel's move for each pair of steps, into a contour's point and out of it: `[81, 2]` (x, y).

    OpenCV goes round cracks and round their holes so that the crack lies on the same side; "outwards" is the other one.
    """
    rows, columns = np.divmod(np.arange(9), 3)
    steps = (columns - 1) + 1j * (rows - 1)
    steps[[0, 2, 6, 8]] /= np.sqrt(2)
    arriving, leaving = steps[:, None], steps[None, :]
    tangent = arriving + leaving
    turns_back = np.abs(tangent) < 1e-6
    normal = np.where(turns_back, arriving, 1j * tangent / np.where(turns_back, 1.0, np.abs(tangent)))
    moves = 0.5 * normal.reshape(-1)
    return np.stack([moves.real, moves.imag], axis=1).astype(np.float32)


_OUTWARDS: Final = _outwards()
_SQUARE: Final = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]], np.float32)
