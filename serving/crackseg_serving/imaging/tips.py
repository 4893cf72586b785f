"""Where a centre line ends: how far it goes on beyond the last node that thinning left.

Called by `measure`. Thinning stops somewhere inside the round end of a wide crack, and a few pixels before the edge of
the picture where a crack leaves it. From each end a ray goes on in the line's direction to the edge of the crack.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.centreline import CentreLine, walk
from crackseg_serving.imaging.thinning import Indices
from crackseg_serving.values import value

_DIRECTION_NODES: Final = 8  # how far back the direction of an end is taken from
_RAY_STEP: Final = 0.25  # pixels


@value
class Tips:
    """The ends of all centre lines."""

    nodes: Indices  # [k] of the centre line
    extensions: NDArray[np.float64]  # [k] pixels of length to add; a little below 0 where thinning went too far out
    leaves: NDArray[np.bool_]  # [k] whether the crack leaves the picture here


def find_tips(
    line: CentreLine, frame: NDArray[np.uint8], half_widths: NDArray[np.float32], open_sides: NDArray[np.uint8]
) -> Tips:
    """The tips of a centre line in its 0/1 frame.

    `half_widths`: distance of each pixel to the crack's edge; `open_sides`: 1 on the part of the frame's rim that lies
    outside the picture, else 0.
    """
    nodes = np.flatnonzero(line.degree == 1)
    start = line.positions.take(nodes)
    direction = start - line.positions.take(walk(line.onward, nodes, _DIRECTION_NODES + 1)[-1])
    direction /= np.maximum(np.abs(direction), 1e-9)
    halves = half_widths.reshape(-1).take(line.pixels[nodes]).astype(np.float64)
    steps = np.arange(0.0, 2.0 * float(halves.max(initial=0.0)) + 4.0, _RAY_STEP)
    ray = start[:, None] + direction[:, None] * steps
    rows = np.minimum(np.maximum(np.rint(ray.imag), 0), frame.shape[0] - 1)
    columns = np.minimum(np.maximum(np.rint(ray.real), 0), frame.shape[1] - 1)
    pixels = (rows * frame.shape[1] + columns).astype(np.intp)
    outside = frame.reshape(-1).take(pixels) == 0
    outside[:, -1] = True
    hit = outside.argmax(axis=1)
    leaves = open_sides.reshape(-1).take(pixels[np.arange(nodes.size), hit]) == 1
    to_edge = steps[hit] - _RAY_STEP / 2
    rounded = np.minimum(np.maximum(to_edge - np.maximum(halves - 0.25, 0.5), -1.0), halves)
    return Tips(nodes, np.where(leaves, to_edge, rounded), leaves)
