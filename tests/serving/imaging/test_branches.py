"""Branches are counted as a person counts them: cracks that cross in one place have their arms, and nothing between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line, masked

from crackseg_serving.imaging import Crack, measure

pytestmark = pytest.mark.serving

SIDE, ARM = 160, 60
MIDDLES = [(80.0, 80.0), (80.5, 79.7), (79.6, 80.2)]
WIDTHS = [1, 1.5, 2, 3, 4, 6, 9, 13]


def star(angles: Sequence[float], width: float, middle: tuple[float, float]) -> NDArray[np.uint8]:
    """Arms of one width and length from a middle."""
    steps = ARM * np.exp(-1j * np.radians(angles))
    tips = [(middle[0] + step.real, middle[1] + step.imag) for step in steps]
    return np.maximum.reduce([line([middle, tip], width, (SIDE, SIDE)) for tip in tips])


def only_crack(coverage: NDArray[np.uint8]) -> Crack:
    measured = measure(masked(coverage), coverage)
    assert measured.crack_count == 1
    return measured.cracks[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("crossing", [65, 75, 90])
def test_a_cross_has_four_branches(crossing: float, width: float):
    for turned in range(0, 180, 15):
        for middle in MIDDLES:
            crack = only_crack(star([turned, turned + crossing, turned + 180, turned + 180 + crossing], width, middle))
            assert crack.branch_count == 4, (turned, middle)
            assert abs(crack.length_pixels - 4 * ARM) <= crack.length_error_pixels


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("arms", [3, 5, 6])
def test_a_star_has_its_arms_as_branches(arms: int, width: float):
    for turned in range(0, 360 // arms, 15):
        for middle in MIDDLES:
            angles = [turned + 360 * k / arms for k in range(arms)]
            assert only_crack(star(angles, width, middle)).branch_count == arms, (turned, middle)


@pytest.mark.parametrize("width", WIDTHS)
def test_cracks_that_meet_one_from_both_sides_apart_are_two_junctions(width: float):
    half = 1.75 * width + 1
    for degrees in range(0, 180, 20):
        along = np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
        across = np.array([along[1], -along[0]])
        middle = np.array([110.2, 109.7])
        courses = [
            (middle - ARM * along, middle + ARM * along),
            (middle - half * along, middle - half * along + ARM * across),
            (middle + half * along, middle + half * along - ARM * across),
        ]
        crack = only_crack(np.maximum.reduce([line(course, width, (220, 220)) for course in courses]))
        assert crack.branch_count == 5, degrees
