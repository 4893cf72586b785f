"""The branches of centre lines: stretches between ends and junctions, where junctions of one place are one.

Called by `figures` and `blocks`. Where two cracks cross, thinning makes two junctions of three arms each, as far apart as the
crossing is large: what lies between them is no branch.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.centreline import CentreLine, walk
from crackseg_serving.imaging.thinning import CHUNK, Indices

Counts = NDArray[np.int64]

#: Two junctions are one place up to this share of the two largest discs' half widths, and a pixel, apart. Drawn crossings of 60 to
#: 90 degrees then have four branches; two cracks that meet a third one from both sides are told apart from two widths on.
_SHARE: Final = 1.5
_GAP_PIXELS: Final = 1.0


def find_ends(line: CentreLine, half_widths: NDArray[np.float32]) -> tuple[Counts, Counts]:
    """How many ends of stretches between ends and junctions lie at each node, and how many of branches; each has two. `[n]`.

    `half_widths` `[n]`: the distance of each node's pixel to the crack's edge.
    """
    junction = line.degree > 2
    stretches = np.where(line.degree == 2, 0, line.degree).astype(np.int64)
    branches = stretches
    if junction.any():
        here, there = np.concatenate([line.links, line.links[::-1]], axis=1)
        leaving = np.flatnonzero(junction.take(here))
        here, there = here.take(leaving), there.take(leaving)
        touching = junction.take(there)
        stretches = stretches - np.bincount(here[touching], minlength=stretches.size)
        here, there = here[~touching], there[~touching]
        inner = here[_stays_in_place(line, junction, half_widths, here, there)]
        branches = stretches - np.bincount(inner, minlength=stretches.size)
    return stretches, branches


def _stays_in_place(
    line: CentreLine, junction: NDArray[np.bool_], half_widths: NDArray[np.float32], here: Indices, there: Indices
) -> NDArray[np.bool_]:
    """Whether the way from each junction `here` over its neighbour `there` comes to another junction of the same place."""
    states = there + line.degree.size * (line.neighbours[0].take(there) == here)
    steps = int(2 * _SHARE * half_widths[junction].max() + _GAP_PIXELS)  # a link is a pixel long or longer
    several = max(CHUNK // steps, 1)
    same = np.zeros(here.size, bool)
    for start in range(0, here.size, several):
        part = slice(start, start + several)
        paths = walk(line.onward, states[part], steps)
        links = junction.take(paths).argmax(axis=0) + 1  # 1: never arrives
        reach = _SHARE * (half_widths.take(here[part]) + half_widths.take(paths[-1])) + _GAP_PIXELS
        apart = np.abs(line.positions.take(here[part]) - line.positions.take(paths[-1]))
        same[part] = (links > 1) & (links <= reach) & (apart <= reach)
    return same
