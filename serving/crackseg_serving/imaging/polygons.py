"""Outlines of cracks as polygons.

Called by `measure` and by `render`. Contours come from OpenCV through the centres of the outermost pixels; here they
are moved out to those pixels' edges, so that a polygon has the area of the crack it goes round, and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.measurements import Ring

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


def rings_of(contours: Contours, offset: tuple[int, int]) -> list[Ring]:
    """The outlines of these contours, simplified, as rings of points (x, y); `offset` (x, y) is added to every point."""
    if not contours:
        return []
    moved = _to_pixel_edges(np.concatenate(contours)[:, 0, :], np.array([len(contour) for contour in contours]))
    ends = np.cumsum([len(contour) for contour in contours]).tolist()
    rings = [
        cv2.approxPolyDP(moved[start:end] if end - start > 1 else moved[start] + _SQUARE, TOLERANCE_PIXELS, closed=True)
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    points = np.round(np.concatenate(rings)[:, 0, :].astype(np.float64) + np.add(offset, 0.5), 1)
    pairs = iter(zip(*points.T.tolist(), strict=True))
    return [tuple(islice(pairs, len(ring))) for ring in rings]


def _to_pixel_edges(points: NDArray[np.int32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Closed contours of `counts` points through pixel centres, one after the other `[k, 2]`, moved half a pixel outwards.

    A contour of one point stays where it is.
    """
    ends = np.cumsum(counts) - 1
    starts = ends - counts + 1
    steps = np.empty(points.shape, np.int8)
    np.subtract(points[1:], points[:-1], out=steps[1:], casting="unsafe")
    steps[starts] = points[starts] - points[ends]
    arriving = (3 * steps[:, 1] + steps[:, 0] + 4).astype(np.uint8)
    leaving = np.empty_like(arriving)
    leaving[:-1], leaving[ends] = arriving[1:], arriving[starts]
    moved = _OUTWARDS.take(9 * arriving + leaving, axis=0)
    moved[starts[counts == 1]] = 0
    moved += points
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
