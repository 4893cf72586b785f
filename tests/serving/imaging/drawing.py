"""Cracks of known course, length and width, drawn with smooth edges; and pictures to encode."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

FINE = 8  # a pixel is drawn as FINE x FINE and averaged
SHIFT = 4  # OpenCV draws at 1/16 of those

Points = Sequence[Sequence[float]] | NDArray[np.float64]


def line(points: Points, width: float, shape: tuple[int, int] = (512, 512)) -> NDArray[np.uint8]:
    """How much of each pixel (255 is all) a line through these pixel centres (x, y) covers; its ends are round."""
    height, breadth = shape
    fine = np.zeros((height * FINE, breadth * FINE), np.uint8)
    course = (np.asarray(points, np.float64) + 0.5) * FINE - 0.5
    thickness = round(width * FINE)
    cv2.polylines(fine, [np.rint(course * (1 << SHIFT)).astype(np.int32)], False, 255, thickness, cv2.LINE_8, SHIFT)
    return cv2.resize(fine, (breadth, height), interpolation=cv2.INTER_AREA)


def straight(length: float, degrees: float, middle: tuple[float, float] = (256.3, 255.6)) -> NDArray[np.float64]:
    """The two ends of a straight line; the angle is anticlockwise as one sees it."""
    half = length / 2 * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    return np.stack([np.asarray(middle) - half, np.asarray(middle) + half])


def arc(radius: float, radians: float, middle: tuple[float, float] = (255.4, 256.2)) -> NDArray[np.float64]:
    """Points on a circle."""
    turn = np.linspace(0.3, 0.3 + radians, 400)
    return np.stack([middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)], axis=1)


def course_length(points: Points) -> float:
    """The length of a line through these points."""
    return float(np.hypot(*np.diff(np.asarray(points, np.float64), axis=0).T).sum())


def masked(coverage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels that are at least half covered."""
    return cv2.threshold(coverage, 127, 255, cv2.THRESH_BINARY)[1]


def photograph(height: int = 97, width: int = 131, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture in colours (RGB), different at every corner, that survives lossy encoders."""
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    slope = np.stack([255 * rows / height, 255 * columns / width, 255 * (1 - rows / height)], axis=-1)
    return (0.3 * cv2.GaussianBlur(noise, (9, 9), 0) + 0.7 * slope).astype(np.uint8)
