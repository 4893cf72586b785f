"""The centre line of cracks as a graph: nodes at sub-pixel positions, links between them, spurs cut away.

Called by `measure`. Everything is arrays over all cracks of a picture at once; the only loops run over steps along a
spur and over smoothing rounds. Knows pixels, not millimetres.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.thinning import (
    CHUNK,
    Indices,
    bits_of_codes,
    neighbour_codes,
    ring_steps,
    square_steps,
    thin,
)
from crackseg_serving.values import value

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


@value
class _Graph:
    """Nodes and how they hang together."""

    pixels: Indices  # [n] flat index of each node's pixel in the frame
    linked: NDArray[np.uint8]  # [n] which of the ring's pixels it is linked with
    degree: NDArray[np.uint8]  # [n] links of a node: 0 alone, 1 an end, 2 along a line, more at a junction
    neighbours: Indices  # [2, n] first and last linked node; a node without that link names itself
    places: NDArray[np.complex128]  # [n] column + row * 1j of the pixel in the frame


@value
class CentreLine:
    """The centre lines of all cracks of a frame, as one graph of `n` nodes and `m` links."""

    pixels: Indices  # [n] flat index of each node's pixel in the frame
    degree: NDArray[np.uint8]  # [n] links of a node: 0 alone, 1 an end, 2 along a line, more at a junction
    neighbours: Indices  # [2, n] first and last linked node; a node without that link names itself
    links: Indices  # [2, m] the two nodes of each link
    positions: NDArray[np.complex128]  # [n] column + row * 1j, smoothed, in pixels of the frame
    lengths: NDArray[np.float64]  # [m] length of each link, in pixels
    onward: Indices  # [3 n] see `walk`

    def node_lengths(self) -> NDArray[np.float64]:
        """The length that each node stands for: half of each of its links. `[n]`."""
        ends = self.links.reshape(-1)
        halves = np.concatenate([self.lengths, self.lengths]) / 2
        return np.bincount(ends, halves, self.pixels.size).astype(np.float64)


def trace(frame: NDArray[np.uint8], border: Indices, half_widths: NDArray[np.float32]) -> CentreLine:
    """The centre lines of a 0/1 frame (its outermost rows and columns 0), which is thinned in place.

    `border`: as for `thin`; `half_widths`: distance of each pixel of the frame to the crack's edge.
    """
    pixels, codes = thin(frame, border)
    number = np.empty(frame.size, np.int32)
    graph = _graph(frame.shape[1], pixels, codes, number)
    frayed = _spurs(graph, half_widths.reshape(-1).take(pixels))
    if frayed.size:
        flat = frame.reshape(-1)
        flat[pixels[frayed]] = 0
        pixels = pixels[flat.take(pixels).view(bool)]
        graph = _graph(frame.shape[1], pixels, neighbour_codes(flat, pixels, ring_steps(frame.shape[1])), number)
    links = _links(frame.shape[1], graph, number)
    positions = _smoothed(graph)
    lengths = np.abs(positions.take(links[0]) - positions.take(links[1]))
    return CentreLine(graph.pixels, graph.degree, graph.neighbours, links, positions, lengths, _onward(graph))


def _graph(stride: int, pixels: Indices, codes: NDArray[np.uint8], number: NDArray[np.int32]) -> _Graph:
    """The graph of a thinned frame. `number`: scratch of the frame's size, in which each node's pixel says its number."""
    linked = _LINKS.take(codes)
    number[pixels] = np.arange(pixels.size, dtype=np.int32)
    steps = square_steps(stride)  # a node without a link names itself
    neighbours = number.take(pixels + steps.take(_FIRST_AND_LAST).take(linked, axis=1)).astype(np.intp)
    rows, columns = np.divmod(pixels, stride)
    return _Graph(pixels, linked, _DEGREE.take(linked), neighbours, columns + 1j * rows)


def _links(stride: int, graph: _Graph, number: NDArray[np.int32]) -> Indices:
    """The two nodes of each link. `[2, m]`."""
    starts = [np.flatnonzero(graph.linked & (1 << bit)) for bit in _FORWARD]
    steps = ring_steps(stride)
    stops = [number.take(graph.pixels.take(start) + steps[bit]) for start, bit in zip(starts, _FORWARD, strict=True)]
    return np.stack([np.concatenate(starts), np.concatenate(stops)])


def _smoothed(graph: _Graph) -> NDArray[np.complex128]:
    """The places of the nodes, low-passed along the lines; ends and junctions stay."""
    along = graph.degree == 2
    first, last = np.where(along, graph.neighbours, np.arange(along.size))
    places = graph.places
    for _ in range(SMOOTHING_ROUNDS):
        places = 0.5 * places + 0.25 * (places.take(first) + places.take(last))
    return places


def _onward(graph: _Graph) -> Indices:
    """The state after each state of a walk.

    A state is a node and how one leaves it: by its first link, by its last, or not at all (the node's number plus 0, 1 or 2 counts).
    """
    count = graph.pixels.size
    aims = graph.neighbours.reshape(-1)
    back = (graph.neighbours[0].take(graph.neighbours) == np.arange(count)).reshape(-1)
    onward = np.arange(3 * count)
    np.add(aims, np.where(graph.degree.take(aims) == 2, count * back, 2 * count), out=onward[: 2 * count])
    return onward


def walk(onward: Indices, starts: Indices, steps: int) -> Indices:
    """The node after 0, 1, … `steps` links from each of these states; at an end or junction one stays. `[steps + 1, starts]`.

    An end's number is the state of leaving it.
    """
    states = np.empty((steps + 1, starts.size), np.intp)
    states[0] = starts
    for step in range(steps):
        onward.take(states[step], out=states[step + 1], mode="clip")  # none is out of range; "raise" copies once more
    nodes = np.arange(onward.size // 3)
    return np.concatenate([nodes, nodes, nodes]).take(states)


def _spurs(graph: _Graph, half_widths: NDArray[np.float32]) -> Indices:
    """The nodes of side branches that end before they have left the crack they branch off from."""
    tips = np.flatnonzero(graph.degree == 1)
    junction = graph.degree > 2
    if not (tips.size and junction.any()):
        return tips[:0]
    steps = int(half_widths[junction].max() + SPUR_PIXELS) + 1  # a link is a pixel long or longer
    several = max(CHUNK // steps, 1)
    onward = _onward(graph)
    frayed = [tips[:0]]
    for start in range(0, tips.size, several):
        paths = walk(onward, tips[start : start + several], steps)
        arrival = junction.take(paths).argmax(axis=0)  # 0: never
        lengths = np.abs(np.diff(graph.places.take(paths), axis=0)).sum(axis=0)  # who has arrived goes no further
        ends = paths[-1]
        short = (arrival > 0) & (lengths <= half_widths.take(ends) + SPUR_PIXELS)
        frayed.append(paths[(np.arange(steps + 1)[:, None] < arrival) & short])
    return np.concatenate(frayed)
