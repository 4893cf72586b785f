"""The figures of all cracks of a window at once: lengths, widths, directions, branches.

Called by `measure`; `ledger` makes the same of parts that it has added up. docs/measurement.md explains how each is found and how exact it is.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.bounds import Errors, errors_of
from crackseg_serving.imaging.branches import find_ends
from crackseg_serving.imaging.centreline import CentreLine, trace
from crackseg_serving.imaging.measurements import BoundingBox, Crack, Polygon, severity_of
from crackseg_serving.imaging.scale import Scale
from crackseg_serving.imaging.thinning import Indices
from crackseg_serving.imaging.tips import find_tips
from crackseg_serving.imaging.window import Window
from crackseg_serving.values import value

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

#: Lengths are summed in 32 bits, which is exact for whole numbers up to 2^24: for 16,384 pixels of length in this unit.
_PARTS_OF_A_PIXEL: Final = 1024


@value
class Figures:
    """Per label (0 is unused) the measured figures of all cracks."""

    pixels: NDArray[np.int64]  # of the mask
    lengths: Floats
    mean_widths: Floats
    maximum_widths: Floats
    directions: Floats  # degrees, NaN where there is none
    branches: NDArray[np.int64]
    errors: Errors

    def crack(self, label: int, box: BoundingBox, polygon: Polygon, scale: Scale | None) -> Crack:
        """One crack as a record."""
        direction, mean = float(self.directions[label]), float(self.mean_widths[label])
        return Crack(
            length_pixels=float(self.lengths[label]),
            mean_width_pixels=mean,
            maximum_width_pixels=float(self.maximum_widths[label]),
            orientation_degrees=None if math.isnan(direction) else direction,
            area_pixels=int(self.pixels[label]),
            branch_count=int(self.branches[label]),
            bounding_box=box,
            polygon=polygon,
            severity=None if scale is None else severity_of(scale.length(mean)),
            length_error_pixels=float(self.errors.lengths[label]),
            width_error_pixels=float(self.errors.widths[label]),
            area_error_pixels=float(self.errors.areas[label]),
        )


def figures_of(window: Window) -> Figures:
    """Measure the cracks of a window."""
    line = trace(window.frame.copy(), window.border, window.half_widths)
    crack_of = window.labels.reshape(-1)[line.pixels]
    tips = find_tips(line, window.frame, window.half_widths, window.outside)
    node_lengths = line.node_lengths()
    node_lengths[tips.nodes] += tips.extensions
    lengths = np.maximum(np.bincount(crack_of, node_lengths, window.count), 0.0)
    free = tips.nodes[~tips.leaves]
    means = mean_widths(window.areas, lengths, np.bincount(crack_of[free], minlength=window.count))
    node_lengths[free] += np.pi / 8 * means[crack_of[free]]  # a half disc is as much area as this much of the line
    maxima = _maximum_widths(window, line, crack_of, node_lengths, means)
    ends = find_ends(line, window.half_widths.reshape(-1).take(line.pixels))
    stretches, branches = (count_of(np.bincount(crack_of, each, window.count).astype(np.float64)) for each in ends)
    errors = errors_of(lengths, means, stretches, soft=window.soft)
    pixels = window.counted.astype(np.int64)
    return Figures(pixels, lengths, means, maxima, _directions(line, crack_of, window.count), branches, errors)


def count_of(ends: Floats) -> NDArray[np.int64]:
    """How many stretches or branches have so many ends; a crack has at least one."""
    return np.maximum(np.rint(ends).astype(np.int64) // 2, 1)


def mean_widths(areas: Floats, lengths: Floats, free_ends: NDArray[np.int64]) -> Floats:
    """The width `w` of lines of these lengths with a half disc at each free end: area = length w + ends pi w^2 / 8."""
    ends = np.where((free_ends == 0) & (lengths * lengths < areas), 2, free_ends)  # a blob is a disc
    caps = ends * (np.pi / 8)
    root = np.sqrt(lengths * lengths + 4 * caps * areas)
    widths: Floats = 2 * areas / np.maximum(lengths + root, 1e-9)
    return widths


def _maximum_widths(window: Window, line: CentreLine, crack_of: Labels, node_lengths: Floats, means: Floats) -> Floats:
    """The largest width along each crack; a blob has but one."""
    whole_lengths = np.bincount(crack_of, node_lengths, window.count)
    largest = means.copy()
    np.maximum.at(largest, crack_of, widths_along(window, line, node_lengths))
    return np.where(whole_lengths * whole_lengths < window.areas, means, largest)


def widths_along(window: Window, line: CentreLine, node_lengths: Floats) -> Floats:
    """The width at each node: covered area over centre line within a box that moves along the line.

    `node_lengths`: of centre line that each node stands for. A box takes in the crack's whole width and six pixels more, for
    nine in ten nodes; where a crack is wider than its box the distance to its edge tells.
    """
    halves = window.half_widths.reshape(-1).take(line.pixels).astype(np.float64)
    side = 2 * int(np.ceil(np.partition(halves, halves.size * 9 // 10)[halves.size * 9 // 10])) + 7
    along = np.zeros(window.frame.shape, np.float32)
    along.reshape(-1)[line.pixels] = np.rint(node_lengths * _PARTS_OF_A_PIXEL)
    boxes = _boxes(line.pixels, window.frame.shape, side)
    # Whole numbers in 32 bits: where they run over, so does the difference, and it is right again.
    area = _in_boxes(cv2.integral(window.covered, sdepth=cv2.CV_32S), boxes) / 255
    length = _in_boxes(cv2.integral(along, sdepth=cv2.CV_32F), boxes) / _PARTS_OF_A_PIXEL
    widths: Floats = np.where(2 * halves + 4 > side, 2 * halves - 0.5, area / np.maximum(length, 1.0))
    return widths


def _boxes(pixels: Indices, shape: tuple[int, ...], side: int) -> Indices:
    """Where an integral picture has the corners of the box of this odd side around each pixel, as far as it lies in the frame.

    `[4, n]`: lower right, upper left, lower left, upper right.
    """
    height, width = shape
    rows, columns = np.divmod(pixels, width)
    above, below = np.maximum(rows - side // 2, 0), np.minimum(rows + (side // 2 + 1), height)
    left, right = np.maximum(columns - side // 2, 0), np.minimum(columns + (side // 2 + 1), width)
    above *= width + 1
    below *= width + 1
    return np.stack([below + right, above + left, below + left, above + right])


def _in_boxes(sums: NDArray[np.int32] | NDArray[np.float32], boxes: Indices) -> Floats:
    """The sum in each box of a picture with these integrals."""
    lower_right, upper_left, lower_left, upper_right = sums.reshape(-1).take(boxes)
    inside: Floats = (lower_right - lower_left - upper_right + upper_left).astype(np.float64)
    return inside


def _directions(line: CentreLine, crack_of: Labels, count: int) -> Floats:
    """The principal axis of each centre line, in degrees from the rows, anticlockwise as one sees it, 0 <= a < 180."""
    nodes = np.maximum(np.bincount(crack_of, minlength=count), 1)
    middle_x = np.bincount(crack_of, line.positions.real, count) / nodes
    middle_y = np.bincount(crack_of, line.positions.imag, count) / nodes
    arms = line.positions - (middle_x + 1j * middle_y)[crack_of]
    turned = arms * arms  # the double angle: both ways along a line agree
    axis = np.bincount(crack_of, turned.real, count) + 1j * np.bincount(crack_of, turned.imag, count)
    return degrees_of(axis)


def degrees_of(axes: NDArray[np.complex128]) -> Floats:
    """The angle whose double is that of `axes` (image coordinates), anticlockwise as one sees it; NaN where there is none."""
    degrees: Floats = np.degrees(-0.5 * np.angle(axes)) % 180.0
    return np.where(np.abs(axes) > 1e-6, degrees, np.nan)
