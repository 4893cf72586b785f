"""The part of a picture that holds cracks: the frame in which `measure` works.

Cut out once, with everything that several figures need: which crack a pixel belongs to, how far it is from the crack's
edge, how much of it the crack covers.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.coverage import cover
from crackseg_serving.imaging.thinning import Indices, border_of
from crackseg_serving.values import value


@value
class Window:
    """The smallest part of the picture with all cracks in it, and a rim of one empty pixel around."""

    frame: NDArray[np.uint8]  # 0/1
    border: Indices  # flat indices of the crack's pixels that lie beside none
    left: int  # of the frame in the picture; -1 where the rim lies outside
    top: int
    labels: NDArray[np.int32]  # crack of each pixel, from 1; 0 is none
    counted: NDArray[np.int64]  # whole pixels of each label; of 0 none
    half_widths: NDArray[
        np.float32
    ]  # distance to the nearest pixel beside the crack; outside the picture counts as crack
    covered: NDArray[np.uint8]  # how much of each pixel is crack, 255 is all
    areas: NDArray[np.float64]  # of each label, in pixels, edge pixels counted in part
    outside: NDArray[np.uint8]  # 1 on the part of the rim that lies outside the picture
    soft: bool  # edge pixels are counted in part, by their probabilities

    @property
    def count(self) -> int:
        """Labels in use, 0 among them."""
        return self.counted.size


def open_window(
    mask: NDArray[np.uint8], probabilities: NDArray[np.uint8] | None, threshold_percent: int
) -> Window | None:
    """The window of a mask; None where nothing in it is crack."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return None
    left, top, right, bottom = max(x - 1, 0), max(y - 1, 0), min(x + w + 1, width), min(y + h + 1, height)
    part = (mask[top:bottom, left:right] != 0).view(np.uint8)
    frame = _with_rim(part, cv2.BORDER_CONSTANT)
    count, labels = cv2.connectedComponents(frame, connectivity=8)
    counted = _count(frame, labels, count)
    outside = np.zeros(frame.shape, np.uint8)
    outside[0, :], outside[-1, :] = y == 0, y + h == height
    outside[:, 0] |= np.uint8(x == 0)
    outside[:, -1] |= np.uint8(x + w == width)
    beyond = frame | outside
    half_widths: NDArray[np.float32] = cv2.distanceTransform(beyond, cv2.DIST_L2, 5)
    if (
        cv2.countNonZero(beyond) == beyond.size
    ):  # no pixel beside the crack, and so no distance: nothing is farther than the window is large
        half_widths = np.full(frame.shape, max(frame.shape), np.float32)
    areas = counted.astype(np.float64)
    if probabilities is None:
        covered, border = frame * np.uint8(255), border_of(frame)
    else:
        near = _with_rim(probabilities[top:bottom, left:right], cv2.BORDER_REPLICATE)
        covered, areas, border = cover(frame, labels, areas, outside, near, threshold_percent)
    soft = probabilities is not None
    return Window(frame, border, left - 1, top - 1, labels, counted, half_widths, covered, areas, outside, soft)


def _count(frame: NDArray[np.uint8], labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """The pixels of each label, from the runs of crack along the rows: there are far fewer of them than pixels."""
    flat = frame.reshape(-1)
    turns = np.flatnonzero(flat[1:] != flat[:-1])  # the last pixel before each run, and of it: the rim is none
    before, last = turns[::2], turns[1::2]
    return np.bincount(labels.reshape(-1).take(last), last - before, count).astype(np.int64)


def _with_rim(part: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    rimmed: NDArray[np.uint8] = cv2.copyMakeBorder(part, 1, 1, 1, 1, border, value=0)
    return rimmed
