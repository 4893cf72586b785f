"""The errors that are stated beside the figures hold for drawn cracks of random course, width and scale."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import course_length, line, masked

from crackseg_serving.imaging import Crack, Scale, measure, scale_of_reference

pytestmark = pytest.mark.serving

SHARE = 0.98  # of the cracks, as docs/measurement.md says


def course(rng: np.random.Generator, length: float, width: float) -> NDArray[np.float64]:
    """Straight, an arc or wandering, at any angle, with a margin of 25 pixels to the axes; no bend is narrower than the crack."""
    turns, points = np.zeros(60), 60
    closest = max(4 * width, 15.0)
    kind = rng.integers(3)
    if kind == 1:
        turns = np.linspace(0, min(length / (closest * np.exp(rng.uniform(0, 2))), 4.5), points)
    elif kind == 2:
        bends = int(length / closest) + 2
        turns = np.interp(np.linspace(0, bends - 1, points), np.arange(bends), rng.normal(0, 0.4, bends).cumsum() * 0.6)
    along = rng.uniform(0, 2 * np.pi) + turns
    path = np.cumsum(np.stack([np.cos(along), np.sin(along)], axis=1), axis=0) * length / (points - 1)
    return path - path.min(axis=0) + 25 + rng.uniform(0, 1, 2)


def photographed(rng: np.random.Generator, path: NDArray[np.float64], width: float) -> NDArray[np.uint8]:
    """The crack as a lens draws it: more or less out of focus."""
    columns, rows = (path.max(axis=0) + 25 + width).astype(int)
    drawn = line(path, width, (rows, columns))
    blur = rng.uniform(0, min(0.7, width / 4))
    return cv2.GaussianBlur(drawn, (0, 0), blur) if blur > 0.15 else drawn


def holds(crack: Crack, length: float, width: float) -> tuple[bool, ...]:
    """Whether length, mean width, maximum width and area are as near to the truth as is said."""
    area = length * width + np.pi / 4 * width**2
    return (
        abs(crack.length_pixels - length) <= crack.length_error_pixels,
        abs(crack.mean_width_pixels - width) <= crack.width_error_pixels,
        abs(crack.maximum_width_pixels - width) <= crack.width_error_pixels,
        abs(crack.area_pixels - area) <= crack.area_error_pixels,
    )


@pytest.mark.parametrize("soft", [True, False], ids=["from probabilities", "from the mask alone"])
def test_pixel_figures_are_as_exact_as_they_say(*, soft: bool):
    rng, found = np.random.default_rng(7), []
    for _ in range(150):
        width = float(np.exp(rng.uniform(0, np.log(20))))
        path = course(rng, float(np.exp(rng.uniform(np.log(max(12, 2.5 * width)), np.log(300)))), width)
        drawn = photographed(rng, path, width)
        measured = measure(masked(drawn), drawn if soft else None)
        assert measured.crack_count == 1
        assert measured.cracks[0].branch_count == 1
        found.append(holds(measured.cracks[0], course_length(path), width))
    assert np.mean(found, axis=0).min() >= SHARE


@pytest.mark.parametrize("millimetres_per_pixel", [0.1, 0.35, 1.0, 3.0])
def test_millimetres_are_as_exact_as_they_say_also_where_the_scale_is_off(millimetres_per_pixel: float):
    rng, found = np.random.default_rng(11), []
    for _ in range(60):
        off = rng.uniform(-0.03, 0.03)
        true_scale = millimetres_per_pixel * (1 + off)
        width = float(np.exp(rng.uniform(np.log(1.2), np.log(15)))) * millimetres_per_pixel
        length = float(rng.uniform(40, 250)) * millimetres_per_pixel
        path = course(rng, length / true_scale, width / true_scale)
        drawn = photographed(rng, path, width / true_scale)
        measured = measure(masked(drawn), drawn, scale=Scale(millimetres_per_pixel, 3.0))
        record = measured.to_dict()["cracks"][0]
        truth = {"length": course_length(path) * true_scale, "meanWidth": width, "maximumWidth": width}
        within = [
            abs(record[f"{name}Millimetres"] - value) <= record[f"{name}ErrorMillimetres"] + 1e-3
            for name, value in truth.items()
        ]
        pixels = truth["length"] / true_scale * width / true_scale + np.pi / 4 * (width / true_scale) ** 2
        area = pixels * true_scale**2
        within.append(abs(record["areaSquareMillimetres"] - area) <= record["areaErrorSquareMillimetres"] + 1e-3)
        found.append(within)
    assert np.mean(found, axis=0).min() >= SHARE


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 20), st.floats(40, 250))
def test_no_random_course_is_far_beyond_its_bounds(seed: int, width: float, length: float):
    rng = np.random.default_rng(seed)
    path = course(rng, max(length, 3 * width), width)
    drawn = photographed(rng, path, width)
    crack = measure(masked(drawn), drawn).cracks[0]
    assert crack.length_pixels == pytest.approx(course_length(path), abs=2 * crack.length_error_pixels)
    assert crack.mean_width_pixels == pytest.approx(width, abs=2 * crack.width_error_pixels)
    assert crack.maximum_width_pixels == pytest.approx(width, abs=2 * crack.width_error_pixels)
    assert crack.branch_count == 1


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 179.9), st.floats(1, 12), st.floats(60, 200))
def test_the_orientation_of_a_straight_crack(degrees: float, width: float, length: float):
    turn = np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    path = 125 + np.outer([-length / 2, length / 2], turn)
    drawn = line(path, width, (250, 250))
    found = measure(masked(drawn), drawn).cracks[0].orientation_degrees
    assert found is not None
    assert abs((found - degrees + 90) % 180 - 90) <= 2.0


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 5), st.floats(0, 2 * np.pi), st.floats(1.5, 8), st.integers(0, 2**32 - 1))
def test_a_fork_has_a_branch_a_ray_and_the_sum_of_their_lengths(rays: int, start: float, width: float, seed: int):
    rng = np.random.default_rng(seed)
    angles = start + 2 * np.pi / rays * (np.arange(rays) + rng.uniform(-0.15, 0.15, rays))
    reaches = rng.uniform(60, 110, rays)
    tips = 125 + np.stack([reaches * np.cos(angles), reaches * np.sin(angles)], axis=1)
    drawn = np.maximum.reduce([line([(125, 125), tip], width, (250, 250)) for tip in tips])
    crack = measure(masked(drawn), drawn).cracks[0]
    # Where four and more run together, thinning leaves some junctions with short stretches between them.
    assert rays <= crack.branch_count <= (3 if rays == 3 else 2 * rays - 1)
    assert crack.length_pixels == pytest.approx(reaches.sum(), abs=crack.length_error_pixels)


def test_totals_carry_the_sum_of_the_errors():
    drawn = np.maximum(line([(30, 40), (220, 60)], 4, (250, 250)), line([(40, 120), (60, 220)], 7, (250, 250)))
    measured = measure(masked(drawn), drawn, scale=Scale(0.5, 2.0))
    record = measured.to_dict()
    assert record["totalLengthErrorPixels"] == pytest.approx(
        sum(c["lengthErrorPixels"] for c in record["cracks"]), abs=0.02
    )
    assert record["totalAreaErrorPixels"] == pytest.approx(
        sum(c["areaErrorPixels"] for c in record["cracks"]), abs=0.02
    )
    length, error = record["totalLengthMillimetres"], record["totalLengthErrorMillimetres"]
    # 0.125 m x 0.125 m, which may be 2 % smaller.
    most = (length + error) / 1000 / (0.125 * 0.98) ** 2 / 1.02
    assert record["lengthDensityPerMetre"] + record["lengthDensityErrorPerMetre"] == pytest.approx(most, rel=0.03)
    assert record["scale"] == {"millimetresPerPixel": 0.5, "errorPercent": 2.0, "source": "Given"}


def test_errors_grow_with_the_branches_and_with_the_scale():
    two = [line([(30, 40), (220, 60)], 4, (250, 250)), line([(120, 50), (110, 220)], 4, (250, 250))]
    plain, forked = (measure(masked(drawn)).cracks[0] for drawn in (two[0], np.maximum(*two)))
    assert forked.length_error_pixels > 2 * plain.length_error_pixels
    exact, vague = (plain.to_dict(Scale(1.0, percent)) for percent in (0.0, 5.0))
    assert exact["lengthErrorMillimetres"] == pytest.approx(plain.length_error_pixels, abs=1e-3)
    assert vague["lengthErrorMillimetres"] > exact["lengthErrorMillimetres"] + 0.05 * plain.length_pixels


@pytest.mark.parametrize(("apart", "own"), [(20.0, 10.0), (100.0, 2.0), (1000.0, 0.2)])
def test_a_reference_is_the_more_exact_the_longer_it_is(apart: float, own: float):
    scale = scale_of_reference((10, 20, 10 + 0.6 * apart, 20 + 0.8 * apart), 500, 1.0)
    assert scale.millimetres_per_pixel == pytest.approx(500 / apart)
    assert scale.error_percent == pytest.approx(own + 1.0)
