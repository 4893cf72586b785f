"""The centre line of cracks as a graph: nodes at sub-pixel positions, links between them, spurs cut away.

Called by `measure`. Everything is arrays over all cracks of a picture at once; the only loops run over steps along a
spur and over smoothing rounds. Knows pixels, not millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.thinning import Indices, bits_of_codes, neighbour_codes, ring_steps, thin

Values = TypeVar("Values", NDArray[np.float64], NDArray[np.complex128])

#: How far beyond the crack's edge a side branch must reach to count; what is shorter is a frayed edge, in pixels.
SPUR_PIXELS: Final = 2.0
#: Smoothing of the stairs that a line on a grid makes: rounds of moving a node half-way to its neighbours' middle.
#: Four rounds are a Gaussian of 1.4 pixels: straight lines come out right at every angle, and a circle of 10 pixels radius
#: loses one percent. More rounds would cut the corners of a winding crack.
SMOOTHING_ROUNDS: Final = 4


def _links_of_codes() -> NDArray[np.uint8]:
    """The neighbours of a pixel that the graph links: a diagonal only where no straight neighbour leads there too."""
    bits = bits_of_codes()
    for diagonal in (1, 3, 5, 7):
        bits[:, diagonal] &= ~bits[:, diagonal - 1] & ~bits[:, (diagonal + 1) % 8]
    return np.packbits(bits, axis=1, bitorder="little")[:, 0]


_LINKS: Final = _links_of_codes()
_DEGREE: Final = bits_of_codes().sum(axis=1).astype(np.uint8)  # of a link code
_FIRST: Final = np.argmax(bits_of_codes(), axis=1)
_LAST: Final = 7 - np.argmax(bits_of_codes()[:, ::-1], axis=1)
_FORWARD: Final = (2, 3, 4, 5)  # east, south-east, south, south-west: each link once


@dataclass(frozen=True, slots=True)
class CentreLine:
    """The centre lines of all cracks of a frame, as one graph of `n` nodes and `m` links."""

    pixels: Indices  # [n] flat index of each node's pixel in the frame
    degree: NDArray[np.uint8]  # [n] links of a node: 0 alone, 1 an end, 2 along a line, more at a junction
    neighbours: Indices  # [2, n] first and last linked node; a node without that link names itself
    links: Indices  # [2, m] the two nodes of each link
    positions: NDArray[np.complex128]  # [n] column + row * 1j, smoothed, in pixels of the frame
    lengths: NDArray[np.float64]  # [m] length of each link, in pixels

    def node_lengths(self) -> NDArray[np.float64]:
        """The length that each node stands for: half of each of its links. `[n]`."""
        ends = self.links.reshape(-1)
        halves = np.concatenate([self.lengths, self.lengths]) / 2
        return np.bincount(ends, halves, self.pixels.size).astype(np.float64)


def trace(frame: NDArray[np.uint8], half_widths: NDArray[np.float32]) -> CentreLine:
    """The centre lines of a 0/1 frame (its outermost rows and columns 0), which is thinned in place.

    `half_widths`: distance of each pixel of the frame to the crack's edge.
    """
    pixels = thin(frame)
    number = np.empty(frame.size, np.int32)
    line = _graph(frame, pixels, number)
    frayed = _spurs(line, half_widths.reshape(-1)[pixels])
    if frayed.size:
        flat = frame.reshape(-1)
        flat[pixels[frayed]] = 0
        line = _graph(frame, pixels[flat[pixels] != 0], number)
    positions = smooth(line.positions, line.neighbours, np.flatnonzero(line.degree == 2))
    lengths = np.abs(positions[line.links[0]] - positions[line.links[1]])
    return CentreLine(line.pixels, line.degree, line.neighbours, line.links, positions, lengths)


def smooth(values: Values, neighbours: Indices, moving: Indices) -> Values:
    """Values at the nodes, low-passed along the lines; nodes that are not in `moving` keep theirs."""
    first, last = neighbours[:, moving]
    values = values.copy()
    for _ in range(SMOOTHING_ROUNDS):
        values[moving] = 0.5 * values[moving] + 0.25 * (values[first] + values[last])
    return values


def _graph(frame: NDArray[np.uint8], pixels: Indices, number: NDArray[np.int32]) -> CentreLine:
    """The graph of a thinned frame, with its nodes at pixel centres. `number` is scratch of the frame's size."""
    stride = frame.shape[1]
    steps = ring_steps(stride)
    links = _LINKS[neighbour_codes(frame.reshape(-1), pixels, steps)]
    degree = _DEGREE[links]
    own = np.arange(pixels.size)
    number[pixels] = own
    linked = degree > 0
    neighbours = np.stack([own, own])
    neighbours[0, linked] = number[pixels[linked] + steps[_FIRST[links[linked]]]]
    neighbours[1, linked] = number[pixels[linked] + steps[_LAST[links[linked]]]]
    starts = [np.flatnonzero(links & (1 << bit)) for bit in _FORWARD]
    stops = [number[pixels[start] + steps[bit]] for start, bit in zip(starts, _FORWARD, strict=True)]
    rows, columns = np.divmod(pixels, stride)
    pairs = np.stack([np.concatenate(starts), np.concatenate(stops).astype(np.intp)])
    return CentreLine(pixels, degree, neighbours, pairs, columns + 1j * rows, np.zeros(pairs.shape[1]))


def _spurs(line: CentreLine, half_widths: NDArray[np.float32]) -> Indices:
    """The nodes of side branches that end before they have left the crack they branch off from."""
    tips = np.flatnonzero(line.degree == 1)
    if not (tips.size and (line.degree > 2).any()):
        return tips[:0]
    before, here = tips, line.neighbours[0, tips]
    length = np.abs(line.positions[here] - line.positions[before])
    paths = [tips]  # one row a step, one column a walker
    walkers = np.arange(tips.size)
    steps_taken = np.zeros(tips.size, np.intp)
    reach = float(half_widths[line.degree > 2].max()) + SPUR_PIXELS
    while walkers.size:
        arrived = line.degree[here] > 2
        short = arrived & (length <= half_widths[here] + SPUR_PIXELS)
        steps_taken[walkers[short]] = len(paths)
        go_on = ~arrived & (line.degree[here] == 2) & (length <= reach)
        walkers, before, here, length = walkers[go_on], before[go_on], here[go_on], length[go_on]
        row = np.zeros(tips.size, np.intp)
        row[walkers] = here
        paths.append(row)
        onward = np.where(line.neighbours[0, here] == before, line.neighbours[1, here], line.neighbours[0, here])
        length = length + np.abs(line.positions[onward] - line.positions[here])
        before, here = here, onward
    inside = np.arange(len(paths))[:, None] < steps_taken
    return np.stack(paths)[inside]
