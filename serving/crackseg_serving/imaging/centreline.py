"""The centre line of cracks as a graph: nodes at sub-pixel positions, links between them, spurs cut away.

Called by `measure`. Everything is arrays over all cracks of a picture at once; the only loops run over steps along a
spur and over smoothing rounds. Knows pixels, not millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.thinning import CHUNK, Indices, bits_of_codes, neighbour_codes, ring_steps, thin

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
#: The place in the ring of a link code's first and last link; 8: it has none.
_FIRST_AND_LAST: Final = np.stack(
    [
        np.where(_DEGREE > 0, bits_of_codes().argmax(axis=1), 8),
        np.where(_DEGREE > 0, 7 - bits_of_codes()[:, ::-1].argmax(axis=1), 8),
    ]
)
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
    pixels, codes = thin(frame)
    number = np.empty(frame.size, np.int32)
    line = _graph(frame.shape[1], pixels, codes, number)
    frayed = _spurs(line, half_widths.reshape(-1).take(pixels))
    if frayed.size:
        flat = frame.reshape(-1)
        flat[pixels[frayed]] = 0
        pixels = pixels[flat.take(pixels).view(bool)]
        line = _graph(frame.shape[1], pixels, neighbour_codes(flat, pixels, ring_steps(frame.shape[1])), number)
    positions = smooth(line.positions, line.neighbours, np.flatnonzero(line.degree == 2))
    lengths = np.abs(positions.take(line.links[0]) - positions.take(line.links[1]))
    return CentreLine(line.pixels, line.degree, line.neighbours, line.links, positions, lengths)


def smooth(values: Values, neighbours: Indices, moving: Indices) -> Values:
    """Values at the nodes, low-passed along the lines; nodes that are not in `moving` keep theirs."""
    first, last = neighbours[:, moving]
    values = values.copy()
    for _ in range(SMOOTHING_ROUNDS):
        values[moving] = 0.5 * values[moving] + 0.25 * (values[first] + values[last])
    return values


def _graph(stride: int, pixels: Indices, codes: NDArray[np.uint8], number: NDArray[np.int32]) -> CentreLine:
    """The graph of a thinned frame, with its nodes at pixel centres. `number` is scratch of the frame's size."""
    links = _LINKS.take(codes)
    number[pixels] = np.arange(pixels.size, dtype=np.int32)
    steps = np.append(ring_steps(stride), 0)  # a node without a link names itself
    neighbours = number.take(pixels + steps.take(_FIRST_AND_LAST.take(links, axis=1))).astype(np.intp)
    starts = [np.flatnonzero((links & (1 << bit)).view(bool)) for bit in _FORWARD]
    stops = [number.take(pixels.take(start) + steps[bit]) for start, bit in zip(starts, _FORWARD, strict=True)]
    rows, columns = np.divmod(pixels, stride)
    pairs = np.stack([np.concatenate(starts), np.concatenate(stops)])
    return CentreLine(pixels, _DEGREE.take(links), neighbours, pairs, columns + 1j * rows, np.zeros(pairs.shape[1]))


def walk(line: CentreLine, tips: Indices, steps: int) -> Indices:
    """The node after 0, 1, … `steps` links from each tip; at an end or junction one stays. `[steps + 1, tips]`."""
    count = line.pixels.size
    # A state is a node and how one leaves it: by its first link, by its last, or not at all (the node's number plus 0, 1 or 2 counts).
    aims = line.neighbours.reshape(-1)
    back = line.neighbours[0].take(aims) == np.tile(np.arange(count), 2)
    onward = np.where(line.degree.take(aims) == 2, count * back, 2 * count) + aims
    onward = np.concatenate((onward, np.arange(2 * count, 3 * count)))
    states = [tips]
    for _ in range(steps):
        states.append(onward.take(states[-1]))
    return np.stack(states) % count


def _spurs(line: CentreLine, half_widths: NDArray[np.float32]) -> Indices:
    """The nodes of side branches that end before they have left the crack they branch off from."""
    tips = np.flatnonzero(line.degree == 1)
    junction = line.degree > 2
    if not (tips.size and junction.any()):
        return tips[:0]
    steps = int(half_widths[junction].max() + SPUR_PIXELS) + 1  # a link is a pixel long or longer
    several = max(CHUNK // steps, 1)
    frayed = [tips[:0]]
    for start in range(0, tips.size, several):
        paths = walk(line, tips[start : start + several], steps)
        arrival = junction.take(paths).argmax(axis=0)  # 0: never
        lengths = np.abs(np.diff(line.positions.take(paths), axis=0)).sum(axis=0)  # who has arrived goes no further
        ends = paths[-1]
        short = (arrival > 0) & (lengths <= half_widths.take(ends) + SPUR_PIXELS)
        frayed.append(paths[(np.arange(steps + 1)[:, None] < arrival) & short])
    return np.concatenate(frayed)
