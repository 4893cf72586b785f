"""Whether cutting into tiles opens gaps in lines: the seam gap, a figure of how a picture was tiled and blended.

Called by tests, which hold it at 0; not while serving, because it needs to know where the lines are. Pure.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.tiles import TilePlan

_STEP: Final = 0.25  # pixels along a line
_NEAR: Final = 1  # a line's mask may lie a pixel beside its course


def seam_gap(
    mask: NDArray[np.uint8], course: NDArray[np.float64], plan: TilePlan, reference: NDArray[np.uint8] | None = None
) -> float:
    """The longest piece of a line, in pixels along it, that its mask lacks where tiles of `plan` meet; 0 is no gap.

    `mask` `[H, W]` (0: none) is what came out of the tiles, `course` `[k, 2]` the line's points (x, y: pixel centres). Tiles meet where
    they overlap, and on a pixel to either side. What `reference`, the mask without tiles, lacks as well is no tile's fault.
    """
    points = _along(course)
    columns, rows = np.rint(points).astype(np.intp).T
    inside = (rows >= 0) & (rows < plan.height) & (columns >= 0) & (columns < plan.width)
    points, rows, columns = points[inside], rows[inside], columns[inside]
    lacking = ~_near(mask, rows, columns)
    if reference is not None:
        lacking &= _near(reference, rows, columns)
    meets = (
        _meeting(plan.tops, plan.tile_height, plan.height)[rows]
        | _meeting(plan.lefts, plan.tile_width, plan.width)[columns]
    )
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lacking.astype(np.int8), [0]])))
    runs = [(start, stop) for start, stop in edges.reshape(-1, 2).tolist() if meets[start:stop].any()]
    return max((stop - start) * _STEP for start, stop in runs) if runs else 0.0


def _along(course: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on a line, evenly apart."""
    reached = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(course, axis=0).T))])
    at = np.arange(0.0, reached[-1], _STEP)
    return np.stack([np.interp(at, reached, course[:, axis]) for axis in (0, 1)], axis=1)


def _near(mask: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether there is mask at these pixels or beside them."""
    found = np.zeros(rows.size, bool)
    for down in range(-_NEAR, _NEAR + 1):
        for right in range(-_NEAR, _NEAR + 1):
            found |= (
                mask[np.clip(rows + down, 0, mask.shape[0] - 1), np.clip(columns + right, 0, mask.shape[1] - 1)] != 0
            )
    return found


def _meeting(starts: tuple[int, ...], tile: int, length: int) -> NDArray[np.bool_]:
    """Where along one axis two tiles overlap or touch."""
    meets = np.zeros(length, bool)
    for before, after in pairwise(starts):
        meets[max(after - 1, 0) : before + tile + 1] = True
    return meets
