"""Cracks that are measured block by block have the figures that they have in one piece."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crackseg_serving.imaging import BlockMeasurer, Crack, Measurements, Scale, blocks, measure, threshold, turn, turned

pytestmark = pytest.mark.serving

HEIGHT, WIDTH = 1500, 1300


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small picture has many."""
    monkeypatch.setattr(blocks, "BLOCK_HEIGHT", 256)
    monkeypatch.setattr(blocks, "BLOCK_WIDTH", 300)


def cracks(seed: int) -> NDArray[np.uint8]:
    """Probabilities: winding lines all over, some of them in networks with holes, a disc on a corner of blocks, a short one."""
    noise = np.random.default_rng(seed)
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(12):
        steps = np.cumsum(noise.normal(0, 130, (int(noise.integers(2, 8)), 2)), axis=0) + noise.uniform(0, 1300, 2)
        course = np.round(steps * 16).astype(np.int32)
        cv2.polylines(drawn, [course], False, 255, int(noise.integers(1, 14)), cv2.LINE_AA, 4)
    cv2.circle(drawn, (600, 512), 20, 255, -1)
    cv2.line(drawn, (300, 30), (300, 60), 255, 3)
    return cv2.GaussianBlur(drawn, (3, 3), 0)


def in_blocks(
    probabilities: NDArray[np.uint8], mask: NDArray[np.uint8], step: int, scale: Scale | None = None
) -> Measurements:
    height, width = mask.shape
    measurer = BlockMeasurer(height, width, 50, scale)
    for top in range(0, height, step):
        measurer.add(mask[top : top + step], probabilities[top : top + step])
    return measurer.finish()


def pairs(whole: Measurements, parts: Measurements) -> Iterator[tuple[Crack, Crack]]:
    """The same crack of both, by its box."""
    boxes = {crack.bounding_box: crack for crack in parts.cracks}
    assert len(boxes) == len(whole.cracks)
    yield from ((crack, boxes[crack.bounding_box]) for crack in whole.cracks)


def area(crack: Crack) -> float:
    outer, *holes = (abs(cv2.contourArea(np.array(r, np.float32))) for r in (crack.polygon.outer, *crack.polygon.holes))
    return outer - sum(holes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", [97, 700])
def test_cracks_in_many_blocks_measure_as_in_one_piece(seed: int, step: int):
    probabilities = cracks(seed)
    mask = threshold(probabilities)
    whole, parts = measure(mask, probabilities, scale=Scale(0.5)), in_blocks(probabilities, mask, step, Scale(0.5))
    assert (parts.crack_count, parts.total_area_pixels) == (whole.crack_count, whole.total_area_pixels)
    assert parts.total_length_pixels == pytest.approx(whole.total_length_pixels, rel=0.002)
    for one, other in pairs(whole, parts):
        assert other.area_pixels == one.area_pixels
        assert other.length_pixels == pytest.approx(one.length_pixels, abs=2, rel=0.005)
        assert other.mean_width_pixels == pytest.approx(one.mean_width_pixels, abs=0.5)
        assert other.orientation_degrees == pytest.approx(one.orientation_degrees, abs=0.5)
        assert other.branch_count == one.branch_count
        assert len(other.polygon.holes) == len(one.polygon.holes)
        assert area(other) == pytest.approx(one.area_pixels, abs=4, rel=0.03)  # simplified to half a pixel
        assert other.severity == one.severity
        assert other.length_error_pixels == pytest.approx(one.length_error_pixels, rel=0.05)
        assert other.width_error_pixels == one.width_error_pixels
    assert parts.total_area_error_pixels == pytest.approx(whole.total_area_error_pixels, rel=0.01)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_measurement_is_turned_with_its_picture(orientation: int):
    drawn = np.zeros((300, 400), np.uint8)
    cv2.polylines(drawn, [np.array([[20, 30], [150, 60], [330, 200]])], False, 255, 5, cv2.LINE_AA)
    upright = np.ascontiguousarray(turn(drawn, orientation))
    expected, found = measure(threshold(upright), upright), turned(in_blocks(drawn, threshold(drawn), 64), orientation)
    assert (found.width_pixels, found.height_pixels) == (expected.width_pixels, expected.height_pixels)
    ((one, other),) = pairs(expected, found)
    assert other.orientation_degrees == pytest.approx(one.orientation_degrees, abs=0.5)
    assert other.length_pixels == pytest.approx(one.length_pixels, abs=2)
    canvas = np.zeros_like(upright)
    cv2.fillPoly(canvas, [np.round(np.array(other.polygon.outer) - 0.5).astype(np.int32)], 255)
    assert np.count_nonzero(canvas & threshold(upright)) > 0.95 * other.area_pixels


@pytest.mark.parametrize(
    ("height", "width"), [pytest.param(1, 1300, id="a row"), pytest.param(1500, 3, id="a column"), (257, 301)]
)
def test_a_picture_that_is_all_crack_is_one(height: int, width: int):
    mask = np.full((height, width), 255, np.uint8)
    found = in_blocks(mask, mask, 100)
    assert (found.crack_count, found.total_area_pixels) == (1, height * width)
    assert area(found.cracks[0]) == pytest.approx(height * width, abs=1, rel=0.002)


def test_nothing_is_no_crack():
    nothing = np.zeros((700, 500), np.uint8)
    assert in_blocks(nothing, nothing, 64) == measure(nothing)
