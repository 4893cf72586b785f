"""A printed marker gives the photograph's scale within the error that is said, or it is refused with the reason."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.cards import Shot, photographed

from crackseg_serving.imaging import CalibrationFailed, MarkerSize, Scale, ScaleSource, blacken_cards, find_scale

pytestmark = pytest.mark.serving

SIZE = MarkerSize(50.0)


def ground(height: int = 400, width: int = 500, seed: int = 0) -> NDArray[np.uint8]:
    """Something like asphalt."""
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(50, 170, (height, width), np.uint8), (3, 3), 0)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(48, 160),
    st.floats(0, 360),
    st.floats(0, 22),
    st.floats(0, 360),
    st.floats(0, 1.2),
    st.integers(0, 2**32 - 1),
)
def test_the_scale_is_as_exact_as_it_says(
    side: float, turned: float, tilted: float, towards: float, blur: float, seed: int
):
    shot = Shot(side, (250.3, 199.6), turned, tilted, towards)
    scale = find_scale(photographed(ground(), shot, blur=blur, noise=4, seed=seed), SIZE)
    # Neither the direction seen fullest nor the one most foreshortened is off by more.
    for true in (50 / side, 50 / (side * np.cos(np.radians(tilted)))):
        assert scale.millimetres_per_pixel == pytest.approx(true, rel=scale.error_percent / 100 + 0.002)
    assert scale.source is ScaleSource.MARKER
    (marker,) = scale.markers
    assert np.mean(marker.corners, axis=0) == pytest.approx((250.8, 200.1), abs=1.5 + 0.02 * side)


@pytest.mark.parametrize(("side", "most"), [(60, 0.9), (120, 0.45), (240, 0.25)])
def test_a_marker_seen_from_above_is_the_more_exact_the_larger_it_is(side: float, most: float):
    scale = find_scale(photographed(ground(), Shot(side, (250, 200), 17)), SIZE)
    assert abs(scale.millimetres_per_pixel / (50 / side) - 1) * 100 <= scale.error_percent <= most


def test_several_markers_give_their_mean_and_their_spread():
    shots = Shot(100, (120, 120), 10), Shot(110, (380, 280), 40)
    one = find_scale(photographed(ground(), shots[0]), SIZE)
    both = find_scale(photographed(ground(), *shots), SIZE)
    assert [marker.number for marker in both.markers] == [0, 1]
    assert both.millimetres_per_pixel == pytest.approx((0.5 + 50 / 110) / 2, rel=0.01)
    assert both.error_percent > one.error_percent + 4
    for true in (0.5, 50 / 110):
        assert both.millimetres_per_pixel == pytest.approx(true, rel=both.error_percent / 100)


@pytest.mark.parametrize("times", [4, 10], ids=["sharp", "with soft edges"])
def test_a_large_picture_is_looked_through_small_and_measured_full(times: int):
    small = photographed(ground(500, 700), Shot(70.4, (200.2, 300.7), 25), Shot(60, (520, 180), 70))
    large = cv2.resize(small, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    scale = find_scale(large, SIZE)
    assert [marker.number for marker in scale.markers] == [0, 1]
    for marker, side, middle in zip(scale.markers, (70.4, 60), ((200.7, 301.2), (520.5, 180.5)), strict=True):
        assert marker.millimetres_per_pixel == pytest.approx(50 / (times * side), rel=0.004)
        assert np.mean(marker.corners, axis=0) == pytest.approx(np.multiply(times, middle), abs=0.4 * times)


def test_a_size_that_is_only_roughly_known_adds_to_the_error():
    picture = photographed(ground(), Shot(120, (250, 200)))
    exact, rough = (find_scale(picture, MarkerSize(50.0, percent)).error_percent for percent in (0.0, 2.0))
    assert rough == pytest.approx(exact + 2.0)


@pytest.mark.parametrize(
    ("shots", "word"),
    [
        pytest.param((), "no calibration marker was found", id="a road without a card"),
        pytest.param((Shot(32, (250, 200)),), "pixels wide, but must be at least 40", id="too far away"),
        pytest.param((Shot(150, (250, 200), 15, 42, 30),), "too obliquely", id="from the side"),
        pytest.param((Shot(150, (20, 200)),), "no calibration marker was found", id="cut off by the border"),
        pytest.param((Shot(120, (150, 200)), Shot(120, (380, 200), 0, 45)), "too obliquely", id="one lies on a kerb"),
    ],
)
def test_a_marker_that_cannot_be_measured_by_is_refused_with_the_reason(shots: tuple[Shot, ...], word: str):
    with pytest.raises(CalibrationFailed, match=word):
        find_scale(photographed(ground(), *shots), SIZE)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_not_printed_is_not_taken_for_a_marker(seed: int):
    rng = np.random.default_rng(seed)
    picture = cv2.cvtColor(ground(800, 1000, seed), cv2.COLOR_GRAY2RGB)
    for _ in range(60):  # manhole covers, paving stones, paint
        corners = rng.integers(0, 1000, 2) + rng.integers(-60, 60, (4, 2))
        cv2.fillConvexPoly(picture, cv2.convexHull(corners.astype(np.int32)), rng.integers(0, 255, 3).tolist())
    with pytest.raises(CalibrationFailed):
        find_scale(picture, SIZE)


@pytest.mark.parametrize("shrunk", [1, 2])
def test_cards_are_taken_out_and_nothing_else(shrunk: int):
    picture = photographed(ground(), Shot(80, (150, 200), 30))
    scale = find_scale(picture, SIZE)
    probabilities = np.full((400 // shrunk, 500 // shrunk), 200, np.uint8)
    blacken_cards(probabilities, scale, (400, 500))
    left = cv2.resize(probabilities, (500, 400), interpolation=cv2.INTER_NEAREST)
    gone = left == 0
    assert gone[160:240, 110:190].all()  # the card with its margin
    assert gone.sum() == pytest.approx((2 * 80) ** 2, rel=0.08)
    assert not gone[:, 270:].any()


def test_without_markers_nothing_is_taken_out():
    probabilities = np.full((40, 50), 200, np.uint8)
    blacken_cards(probabilities, Scale(0.5), (40, 50))
    assert (probabilities == 200).all()
