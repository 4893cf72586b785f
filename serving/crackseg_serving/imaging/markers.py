"""Printed markers of known size in an image: the scale that they give, and where they lie.

Called by the segmentation if the sender says that there are markers. They are AprilTags of the family 36h11, which OpenCV finds and
prints; in no photograph of a road that was tried was one found by mistake. docs/measurement.md says how accurate they are.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.errors import CalibrationFailed
from crackseg_serving.imaging.scale import Marker, Scale, ScaleSource
from crackseg_serving.values import value

Corners = NDArray[np.float64]  # [4, 2]: x, y

FAMILY: Final = cv2.aruco.DICT_APRILTAG_36h11
#: A marker with shorter sides is refused: its corners alone would cause an error of 1.3 %.
SMALLEST_PIXELS: Final = 40.0
#: How much the width of a marker may differ between directions; a camera tilted by 30 degrees causes 1.15.
MOST_OBLIQUE: Final = 1.15
#: The error of a side measured between two corners, in pixels.
_SIDE_ERROR_PIXELS: Final = 0.5
#: A larger image is searched in a copy of this size: the search takes 25 bytes and some 0.3 microseconds per pixel.
_LOOKED_AT_PIXELS: Final = 1280
#: A marker with its surroundings is measured at no more than this size: the search misses edges that are many pixels wide.
_MEASURED_AT_PIXELS: Final = 640
#: No side is known more accurately than this, however large.
_LEAST_ERROR_PERCENT: Final = 0.2
#: The card around a marker is no crack either: everything within half a side of the marker is excluded.
_CARD_SIDES: Final = 2.0


@value
class MarkerSize:
    """The size of the markers according to the sender: all are squares of one size."""

    millimetres: float  # a side of the black square
    error_percent: float = 0.0  # how exactly that is known


def find_scale(image: NDArray[np.uint8], size: MarkerSize) -> Scale:
    """The scale of a photograph `[H, W, 3]` (RGB) by the markers in it: their mean, as far as the plane is the same.

    Raises CalibrationFailed where no marker is found, where one is too small, or seen too obliquely.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = _detected(grey)
    if not found:
        raise CalibrationFailed(
            "no calibration marker was found in the image: it must be an AprilTag of the family 36h11 with a white margin, whole, "
            f"flat, in focus, and at least {SMALLEST_PIXELS:.0f} pixels and a fortieth of the image wide"
        )
    markers = [_marker(number, corners, size) for number, corners in found]
    markers.sort(key=lambda marker: (marker.number, marker.corners))
    scales = [marker.millimetres_per_pixel for marker in markers]
    mean = sum(scales) / len(scales)
    # The mean is off by no more than the worst marker is, and by what the markers differ, which is the plane's tilt in the picture.
    spread = 100 * max(abs(scale - mean) for scale in scales) / mean
    worst = max(marker.error_percent for marker in markers)
    return Scale(mean, min(worst + spread + size.error_percent, 99.0), ScaleSource.MARKER, tuple(markers))


def blacken_cards(probabilities: NDArray[np.uint8], scale: Scale, shape: tuple[int, int]) -> None:
    """Take the cards out of probabilities `[h, w]` of a picture of `shape` (height, width), in place: print is no crack."""
    grown = probabilities.shape[1] / shape[1], probabilities.shape[0] / shape[0]
    for marker in scale.markers:
        corners = np.array(marker.corners)
        middle = corners.mean(axis=0)
        card = (middle + _CARD_SIDES * (corners - middle)) * grown
        cv2.fillConvexPoly(probabilities, np.rint(card).astype(np.int32), 0)


def _detected(grey: NDArray[np.uint8]) -> list[tuple[int, Corners]]:
    """The markers of a picture: looked for in a small copy of a large one, and measured in the picture itself."""
    times = max(grey.shape) / _LOOKED_AT_PIXELS
    if times <= 1:
        return _in_full(grey)
    small = cv2.resize(grey, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
    markers = []
    for number, roughly in _in_full(small):
        low, high = roughly.min(axis=0) * times, roughly.max(axis=0) * times
        margin = (high - low).max() / 3
        left, top = np.maximum(low - margin, 0).astype(int)
        right, bottom = (high + margin).astype(int)
        part = grey[top:bottom, left:right]
        less = max(1.0, max(part.shape) / _MEASURED_AT_PIXELS)
        part = cv2.resize(part, None, fx=1 / less, fy=1 / less, interpolation=cv2.INTER_AREA)
        corner = np.array([left, top])
        exact = (corners for found, corners in _in_full(part) if found == number)
        markers += [(number, (corners + 0.5) * less - 0.5 + corner) for corners in exact]
    return markers


def _in_full(grey: NDArray[np.uint8]) -> list[tuple[int, Corners]]:
    """The markers of a picture with their corners in pixel centres. AprilTag's own search for edges: a tenth of a pixel, not a half."""
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_APRILTAG
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(FAMILY), parameters)
    quads, numbers, _ = detector.detectMarkers(grey)
    if numbers is None:
        return []
    corners = (quad.reshape(4, 2).astype(np.float64) for quad in quads)
    return [(int(number), each) for number, each in zip(np.ravel(numbers), corners, strict=True)]


def _marker(number: int, corners: Corners, size: MarkerSize) -> Marker:
    """A marker's scale at its middle: the square root of its area there, and how much its directions differ.

    The map from the square to the picture is projective; its derivative at the middle has two singular values, the pixels of a
    millimetre in the direction seen fullest and in the one most foreshortened.
    """
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * 2 - 1
    h = cv2.getPerspectiveTransform(square, corners.astype(np.float32))
    middle = h[:2, 2]  # of the square: h[2, 2] is 1
    derivative = h[:2, :2] - np.outer(middle, h[2, :2])
    full, short = 2 * np.linalg.svd(derivative, compute_uv=False)  # pixels of a side
    if short < SMALLEST_PIXELS:
        raise CalibrationFailed(
            f"calibration marker {number} is {short:.0f} pixels wide, but must be at least {SMALLEST_PIXELS:.0f}, better a hundred: "
            "go nearer, or print it larger"
        )
    if full / short > MOST_OBLIQUE:
        raise CalibrationFailed(
            f"calibration marker {number} is seen too obliquely: it is {full / short:.2f} times as wide in one direction as in "
            f"another, but may be at most {MOST_OBLIQUE} times; lay it flat and photograph it from straight above"
        )
    of_side = max(100 * _SIDE_ERROR_PIXELS / math.sqrt(full * short), _LEAST_ERROR_PERCENT)
    own = of_side + 100 * (math.sqrt(full / short) - 1)
    places = tuple((float(x) + 0.5, float(y) + 0.5) for x, y in corners)  # from pixel centres to the picture's corner
    return Marker(number, places, size.millimetres / math.sqrt(full * short), own)
