"""Measure the cracks of a picture whose mask comes from the top, in rows: block by block, in memory that cracks decide and not pixels.

Called by the segmentation of large pictures. Each block is measured with a margin around it, as `measure` measures a whole picture, and
keeps what lies in its own part; what a crack has in several blocks is added up. docs/measurement.md says how far that is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.branches import find_ends
from crackseg_serving.imaging.centreline import CentreLine, trace
from crackseg_serving.imaging.coverage import owners
from crackseg_serving.imaging.figures import mean_widths, widths_along
from crackseg_serving.imaging.ledger import Ledger, Sums
from crackseg_serving.imaging.measurements import Measurements
from crackseg_serving.imaging.outlines import find_edges
from crackseg_serving.imaging.scale import Scale
from crackseg_serving.imaging.tips import find_tips
from crackseg_serving.imaging.window import Window, open_window

Image = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: Cracks up to nearly so many pixels of width are measured as in one piece.
MARGIN: Final = 128
BLOCK_HEIGHT: Final = 512
BLOCK_WIDTH: Final = 1024


class BlockMeasurer:
    """Takes the rows of a mask, and of the probabilities that it was made from; then tells the measurements."""

    def __init__(self, height: int, width: int, threshold_percent: int, scale: Scale | None) -> None:
        """For a picture of this size; the other two as for `measure`."""
        self._height, self._width = height, width
        self._percent, self._scale = threshold_percent, scale
        self._mask, self._map = np.empty((2, 0, width), np.uint8)
        self._first = 0  # the row of the picture that both begin with
        self._top = 0  # where the next blocks begin
        self._ledger = Ledger()
        self._above = np.zeros(width, np.int64)  # the cracks of the last row that has been measured

    def add(self, mask: Image, probabilities: Image) -> None:
        """The next rows `[h, width]` of both."""
        self._mask, self._map = np.concatenate([self._mask, mask]), np.concatenate([self._map, probabilities])
        have = self._first + len(self._mask)
        while self._top < self._height:
            bottom = min(self._top + BLOCK_HEIGHT, self._height)
            if have < min(bottom + MARGIN, self._height):
                return
            self._measure_row(self._top, bottom)
            self._top = bottom
            drop = max(bottom - MARGIN - self._first, 0)
            self._mask, self._map, self._first = self._mask[drop:].copy(), self._map[drop:].copy(), self._first + drop

    def finish(self) -> Measurements:
        """What all rows together say."""
        return self._ledger.measurements(self._height, self._width, self._scale)

    def _measure_row(self, top: int, bottom: int) -> None:
        below = np.zeros(self._width, np.int64)
        beside = np.zeros(bottom - top, np.int64)
        for left in range(0, self._width, BLOCK_WIDTH):
            right = min(left + BLOCK_WIDTH, self._width)
            if not self._mask[top - self._first : bottom - self._first, left:right].any():
                beside = np.zeros(bottom - top, np.int64)
                continue
            part = self._open(top, bottom, left, right)
            names = part.names(self._ledger.open(part.window.count - 1))
            self._join(part, names, beside)
            self._ledger.add(part.sums(names, self._width))
            below[left:right] = part.cut(names, bottom - 1, bottom, left, right)[0]
            beside = part.cut(names, top, bottom, right - 1, right)[:, 0]
        self._above = below

    def _open(self, top: int, bottom: int, left: int, right: int) -> _Part:
        upper, outer = max(top - MARGIN, 0), max(left - MARGIN, 0)
        rows = slice(upper - self._first, min(bottom + MARGIN, self._height) - self._first)
        columns = slice(outer, min(right + MARGIN, self._width))
        window = open_window(self._mask[rows, columns], self._map[rows, columns], self._percent)
        assert window is not None  # there is crack in it
        return _Part(window, window.top + upper, window.left + outer, (top, bottom, left, right))

    def _join(self, part: _Part, names: Labels, beside: Labels) -> None:
        """A crack that goes on over the border to the block above or to the left is one."""
        top, bottom, left, right = part.own
        if top:
            start, stop = max(left - 1, 0), min(right + 1, self._width)
            self._ledger.join(part.cut(names, top - 1, top, start, stop)[0], self._above[start:stop])
        if left:
            self._ledger.join(part.cut(names, top, bottom, left - 1, left)[:, 0], beside)


class _Part:
    """A block with its margin, as a window; rows and columns are the picture's."""

    def __init__(self, window: Window, top: int, left: int, own: tuple[int, int, int, int]) -> None:
        self.window, self.own = window, own
        self._top, self._left = top, left

    def names(self, first: int) -> Labels:
        """The name of each label: counted from `first`, 0 for none."""
        names = np.arange(first - 1, first - 1 + self.window.count, dtype=np.int64)
        names[0] = 0
        return names

    def cut(self, names: Labels, top: int, bottom: int, left: int, right: int) -> Labels:
        """The names of the pixels from `top` to `bottom` and `left` to `right`; outside the window is none."""
        found = np.zeros((bottom - top, right - left), np.int64)
        height, width = self.window.frame.shape
        upper, lower = max(top, self._top), min(bottom, self._top + height)
        first, last = max(left, self._left), min(right, self._left + width)
        if upper < lower and first < last:
            labels = self.window.labels[upper - self._top : lower - self._top, first - self._left : last - self._left]
            found[upper - top : lower - top, first - left : last - left] = names[labels]
        return found

    def _owned(self, pixels: NDArray[np.intp]) -> NDArray[np.bool_]:
        rows, columns = np.divmod(pixels, self.window.frame.shape[1])
        top, bottom, left, right = self.own
        rows, columns = rows + self._top, columns + self._left
        inside: NDArray[np.bool_] = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        return inside

    def _own(self, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
        return pixels[self._owned(pixels)]

    def sums(self, names: Labels, width: int) -> Sums:
        """What the cracks have in the block's own part."""
        window = self.window
        crack, touched = (self._own(np.flatnonzero(of.view(bool))) for of in (window.frame, window.covered))
        labels = window.labels.reshape(-1)
        covered = window.covered.reshape(-1)[touched] / 255
        line = trace(window.frame.copy(), window.border, window.half_widths)
        along = labels[line.pixels]
        lengths, widths, free = self._along(line, along)
        own = self._owned(line.pixels)
        ends = find_ends(line, window.half_widths.reshape(-1).take(line.pixels))
        stretches, branches = (np.bincount(along[own], each[own], window.count).astype(np.int64) for each in ends)
        return Sums(
            names=names,
            pixels=np.bincount(labels[crack], minlength=window.count),
            areas=np.bincount(owners(window.labels, touched), covered, window.count).astype(np.float64),
            lengths=np.bincount(along[own], lengths[own], window.count).astype(np.float64),
            free_ends=np.bincount(along[own & free], minlength=window.count),
            stretches=stretches,
            branches=branches,
            moments=self._moments(line, along, own),
            maxima=_largest(widths[own], along[own], window.count),
            edges=find_edges(
                window.frame, crack, names[labels[crack]].astype(np.int32), self._top * width + self._left, width
            ),
        )

    def _along(
        self, line: CentreLine, along: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """For each node the length that it stands for, the width there, and whether the crack ends freely at it."""
        window = self.window
        tips = find_tips(line, window.frame, window.half_widths, window.outside)
        lengths = line.node_lengths()
        lengths[tips.nodes] += tips.extensions
        free = np.zeros(lengths.size, bool)
        free[tips.nodes[~tips.leaves]] = True
        ends = np.bincount(along[free], minlength=window.count)
        means = mean_widths(window.areas, np.maximum(np.bincount(along, lengths, window.count), 0.0), ends)
        with_ends = lengths.copy()
        with_ends[free] += np.pi / 8 * means[along[free]]
        return lengths, widths_along(window, line, with_ends), free

    def _moments(
        self, line: CentreLine, along: NDArray[np.int32], own: NDArray[np.bool_]
    ) -> Sequence[NDArray[np.complex128]]:
        """How many nodes, the sum of their places, and of the places' squares (as complex numbers)."""
        count, labels = self.window.count, along[own]
        places = line.positions[own] + self._left + 1j * self._top
        squares = places * places
        return (
            np.bincount(labels, minlength=count).astype(np.complex128),
            np.bincount(labels, places.real, count) + 1j * np.bincount(labels, places.imag, count),
            np.bincount(labels, squares.real, count) + 1j * np.bincount(labels, squares.imag, count),
        )


def _largest(values: NDArray[np.float64], labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    largest = np.zeros(count)
    np.maximum.at(largest, labels, values)
    return largest
