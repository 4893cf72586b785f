"""What cracks have in the blocks of a large picture, added up: which parts are one crack, and what it measures in all.

Called by `blocks`. Memory grows with the cracks' edges and with the number of their parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.bounds import errors_of
from crackseg_serving.imaging.figures import Figures, count_of, degrees_of, mean_widths
from crackseg_serving.imaging.measure import MAXIMUM_LISTED_CRACKS
from crackseg_serving.imaging.measurements import Measurements
from crackseg_serving.imaging.outlines import Edges, trace_outlines
from crackseg_serving.imaging.scale import Scale
from crackseg_serving.values import value

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@value
class Sums:
    """One block's part of each crack, by the block's own labels; 0 is none."""

    names: Counts  # what the labels are called in the ledger
    pixels: Counts
    areas: Floats
    lengths: Floats
    free_ends: Counts
    stretches: Counts  # of the centre line; twice the number
    branches: Counts  # twice the number
    moments: Sequence[NDArray[np.complex128]]  # nodes, places, squares of places
    maxima: Floats  # widths
    edges: Edges


class Ledger:
    """Parts of cracks by name, from 1, and which of them are the same crack."""

    def __init__(self) -> None:
        self._same = [0]  # each name's elder; its own where it is the eldest
        self._parts: list[Sums] = []

    def open(self, count: int) -> int:
        """`count` new names; the first of them."""
        first = len(self._same)
        self._same += range(first, first + count)
        return first

    def join(self, some: Counts, others: Counts) -> None:
        """What lies at one place is one crack; 0 is none."""
        both = (some > 0) & (others > 0)
        for one, other in np.unique(np.stack([some[both], others[both]]), axis=1).T.tolist():
            self._same[self._eldest(one)] = self._eldest(other)

    def _eldest(self, name: int) -> int:
        same = self._same
        while same[name] != name:
            same[name] = same[same[name]]
            name = same[name]
        return name

    def add(self, part: Sums) -> None:
        """One more block."""
        self._parts.append(part)

    def measurements(self, height: int, width: int, scale: Scale | None) -> Measurements:
        """All cracks of a picture of this size; at most so many of them one by one as `measure` lists."""
        if not self._parts:
            return Measurements(width, height, scale, 0, 0.0, 0, ())
        eldest = [self._eldest(name) for name in range(len(self._same))]
        crack_of = np.unique(eldest, return_inverse=True)[1]  # 0 stays 0
        figures = self._added(crack_of)
        there = np.flatnonzero(figures.pixels)
        order = there[np.argsort(-figures.lengths[there], kind="stable")]
        listed = order[:MAXIMUM_LISTED_CRACKS]
        outlines = trace_outlines(self._edges(crack_of, listed), width)
        cracks = tuple(figures.crack(number, *outlines[number], scale) for number in listed.tolist())
        length, area = float(figures.lengths.sum()), int(figures.pixels.sum())
        errors = float(figures.errors.lengths.sum()), float(figures.errors.areas.sum())
        return Measurements(width, height, scale, order.size, length, area, cracks, *errors)

    def _added(self, crack_of: Counts) -> Figures:
        parts, count = self._parts, int(crack_of.max()) + 1
        cracks = np.concatenate([crack_of[part.names] for part in parts])

        def total(of: Sequence[Floats] | Sequence[Counts]) -> Floats:
            return np.bincount(cracks, np.concatenate(of), count).astype(np.float64)

        nodes, places, squares = (
            total([part.moments[k].real for part in parts]) + 1j * total([part.moments[k].imag for part in parts])
            for k in range(3)
        )
        areas = np.maximum(total([part.areas for part in parts]), 0.5)
        lengths = np.maximum(total([part.lengths for part in parts]), 0.0)
        means = mean_widths(areas, lengths, np.rint(total([part.free_ends for part in parts])).astype(np.int64))
        maxima = means.copy()
        np.maximum.at(maxima, cracks, np.concatenate([part.maxima for part in parts]))
        stretches = count_of(total([part.stretches for part in parts]))
        return Figures(
            pixels=np.rint(total([part.pixels for part in parts])).astype(np.int64),
            lengths=lengths,
            mean_widths=means,
            maximum_widths=np.where(lengths * lengths < areas, means, maxima),  # a blob has but one width
            directions=degrees_of(squares - places * places / np.maximum(nodes.real, 1)),
            branches=count_of(total([part.branches for part in parts])),
            errors=errors_of(lengths, means, stretches, soft=True),
        )

    def _edges(self, crack_of: Counts, listed: Counts) -> Edges:
        wanted = np.zeros(crack_of.size, bool)
        wanted[listed] = True
        parts = [part.edges.of(wanted[crack_of[part.edges.cracks]]) for part in self._parts]
        return Edges(
            np.concatenate([part.names for part in parts]),
            np.concatenate([part.following for part in parts]),
            np.concatenate([crack_of[part.cracks].astype(np.int32) for part in parts]),
        )
