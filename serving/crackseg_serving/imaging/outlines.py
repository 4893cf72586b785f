"""Outlines of cracks from the edges of their pixels, collected part by part: for images too large for OpenCV's contours.

Called by `blocks` and `ledger`. An edge lies between a pixel of crack and one that is none; the one that follows it is found from the
pixels around. A ring goes through the middles of its edges, which cuts corners and keeps the area.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.measurements import BoundingBox, Polygon, Ring
from crackseg_serving.values import value

Indices = NDArray[np.int64]

#: The farthest that a simplified ring lies from the full one: less than half a line that is one pixel wide.
_TOLERANCE_PIXELS: Final = 0.3
#: Above a pixel, right of it, below and left, as (row, column); the walk along side k goes in the direction k + 1.
_SIDES: Final = ((-1, 0), (0, 1), (1, 0), (0, -1))


@value
class Edges:
    """Edges of pixels: `(row * width of the picture + column) * 4 + side`."""

    names: Indices  # [n]
    following: Indices  # [n] the edge that comes after each, with the crack on the right
    cracks: NDArray[np.int32]  # [n] which crack's they are

    def of(self, wanted: NDArray[np.bool_]) -> Edges:
        """Some of them."""
        return Edges(self.names[wanted], self.following[wanted], self.cracks[wanted])


def find_edges(
    frame: NDArray[np.uint8], pixels: NDArray[np.intp], cracks: NDArray[np.int32], origin: int, width: int
) -> Edges:
    """The edges of the crack's `pixels` of a 0/1 `frame` (its outermost rows and columns 0), which belong to `cracks`.

    `origin`: row * width + column of the frame's first pixel in a picture of this `width`.
    """
    flat, stride = frame.reshape(-1), frame.shape[1]
    rows, columns = np.divmod(pixels, stride)
    places = origin + rows * width + columns
    found = []
    for side, (down, right) in enumerate(_SIDES):
        ahead_down, ahead_right = _SIDES[(side + 1) % 4]
        open_side = np.flatnonzero(flat[pixels + down * stride + right] == 0)
        here, place = pixels[open_side], places[open_side]
        ahead = flat[here + ahead_down * stride + ahead_right] != 0
        across = flat[here + (down + ahead_down) * stride + right + ahead_right] != 0
        following = np.where(ahead, (place + ahead_down * width + ahead_right) * 4 + side, place * 4 + (side + 1) % 4)
        corner = (place + (down + ahead_down) * width + right + ahead_right) * 4 + (side + 3) % 4
        found.append((place * 4 + side, np.where(across, corner, following), cracks[open_side]))
    return Edges(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def trace_outlines(edges: Edges, width: int) -> dict[int, tuple[BoundingBox, Polygon]]:
    """The box and the outline of each crack that has edges; all edges of a crack must be there."""
    order = np.argsort(edges.names)
    names, cracks = edges.names[order], edges.cracks[order]
    following = np.searchsorted(names, edges.following[order])
    places, sides = np.divmod(names, 4)
    rows, columns = np.divmod(places, width)
    steps = np.array(_SIDES, np.float64)[sides] / 2
    middles = np.stack([columns + 0.5 + steps[:, 1], rows + 0.5 + steps[:, 0]], axis=1)
    outer: dict[int, Ring] = {}
    boxes: dict[int, BoundingBox] = {}
    holes: dict[int, list[Ring]] = {}
    for walk in _walks(following):
        crack = int(cracks[walk[0]])
        points = middles[walk]
        if crack not in outer:  # the first edge in the order of rows is the outer ring's
            left, top, right, bottom = columns[walk].min(), rows[walk].min(), columns[walk].max(), rows[walk].max()
            boxes[crack] = BoundingBox(int(left), int(top), int(right - left + 1), int(bottom - top + 1))
            outer[crack] = _ring(points)
        else:
            holes.setdefault(crack, []).append(_ring(points))
    return {crack: (boxes[crack], Polygon(ring, tuple(holes.get(crack, ())))) for crack, ring in outer.items()}


def _walks(following: Indices) -> Iterator[NDArray[np.intp]]:
    """The cycles of a permutation, each from its first member on, in their order."""
    onward = following.tolist()
    seen = bytearray(len(onward))
    for start in range(len(onward)):
        if seen[start]:
            continue
        walk, here = [], start
        while not seen[here]:
            seen[here] = 1
            walk.append(here)
            here = onward[here]
        yield np.array(walk, np.intp)


def _ring(points: NDArray[np.float64]) -> Ring:
    corner = np.floor(points.min(axis=0))  # float32 is exact near it
    simple = cv2.approxPolyDP((points - corner).astype(np.float32), _TOLERANCE_PIXELS, closed=True)
    pairs = np.round(simple[:, 0, :].astype(np.float64) + corner, 1).tolist()
    return tuple((x, y) for x, y in pairs)
