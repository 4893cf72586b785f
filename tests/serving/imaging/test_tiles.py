"""Tiles cover a picture, and what is cut and stitched is what it was."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line, photograph

from crackseg_serving.imaging import Stitcher, TilePlan, measure, plan_tiles, threshold

pytestmark = pytest.mark.serving

sides = st.integers(1, 300)


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    size, multiple = draw(st.integers(2, 96)), draw(st.sampled_from([1, 2, 16, 32]))
    overlap = draw(st.integers(0, 120))
    height, width = draw(sides), draw(sides)
    assume(height * width < 300 * size * size)
    return plan_tiles(height, width, size=size, overlap=overlap, multiple=multiple)


def through_tiles(plan: TilePlan, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture's own values as probabilities, through every tile."""
    stitcher = Stitcher(plan)
    for tile in plan.tiles:
        stitcher.add(plan.cut(picture, tile).astype(np.float32) / 255)
    return stitcher.finish()


@settings(deadline=None)
@given(plans())
def test_tiles_cover_every_pixel_and_have_one_shape(plan: TilePlan):
    covered = np.zeros((plan.height, plan.width), bool)
    for tile in plan.tiles:
        assert tile.top >= 0
        assert tile.left >= 0
        assert tile.top + plan.tile_height <= max(plan.height, plan.tile_height)
        assert tile.left + plan.tile_width <= max(plan.width, plan.tile_width)
        covered[tile.top : tile.top + plan.tile_height, tile.left : tile.left + plan.tile_width] = True
    assert covered.all()


@settings(deadline=None)
@given(st.integers(1, 4000), st.integers(2, 600), st.integers(0, 300))
def test_neighbours_overlap_by_what_was_asked_up_to_half_a_tile(length: int, size: int, overlap: int):
    plan = plan_tiles(1, length, size=(1, size), overlap=overlap)
    for before, after in zip(plan.lefts, plan.lefts[1:], strict=False):
        assert before + plan.tile_width - after >= min(overlap, size // 2)


@settings(deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_a_model_that_returns_its_input_gives_the_picture_back(plan: TilePlan, seed: int):
    picture = np.random.default_rng(seed).integers(0, 256, (plan.height, plan.width), dtype=np.uint8)
    difference = through_tiles(plan, picture).astype(int) - picture
    assert np.abs(difference).max() <= 1  # of 255: rounding


@settings(deadline=None)
@given(plans(), st.integers(0, 255))
def test_a_constant_stays_constant(plan: TilePlan, value: int):
    stitcher = Stitcher(plan)
    for _ in plan.tiles:
        stitcher.add(np.full((plan.tile_height, plan.tile_width), value / 255, np.float32))
    assert np.abs(stitcher.finish().astype(int) - value).max() <= 1


@pytest.mark.parametrize("degrees", [0, 30, 45, 80])
def test_a_line_across_the_borders_of_tiles_has_no_gap_although_tiles_see_nothing_at_their_rim(degrees: int):
    half = 350 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    drawn = line(np.add([-half, half], [300, 200]), 3, (400, 600))
    plan = plan_tiles(400, 600, size=128, overlap=32)
    stitcher = Stitcher(plan)
    for tile in plan.tiles:
        seen = plan.cut(drawn, tile).astype(np.float32) / 255
        seen[:4], seen[-4:], seen[:, :4], seen[:, -4:] = 0, 0, 0, 0  # as models do that are blind at the rim
        stitcher.add(seen)
    inner = stitcher.finish()[4:-4, 4:-4]
    assert measure(threshold(inner)).crack_count == 1
    assert np.abs(inner.astype(int) - drawn[4:-4, 4:-4]).max() < 60


@pytest.mark.parametrize("overlap", [0, 1, 16, 31, 64])
@pytest.mark.parametrize(
    ("degrees", "width"),
    [
        pytest.param(0, 1, id="along the rows, a pixel wide"),
        pytest.param(90, 2, id="along the columns"),
        pytest.param(45, 2, id="through the corners"),
        pytest.param(14, 3, id="slanted"),
    ],
)
def test_a_line_has_no_seam_whatever_tiles_overlap(degrees: int, width: int, overlap: int):
    half = 350 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    drawn = line(np.add([-half, half], [300, 200]), width, (400, 600))
    plan = plan_tiles(400, 600, size=128, overlap=overlap)
    mask = threshold(through_tiles(plan, drawn))
    np.testing.assert_array_equal(mask, threshold(drawn))  # not a pixel differs from the picture in one piece
    assert cv2.connectedComponents(mask)[0] == 2  # the ground, and one line
    assert measure(mask).crack_count == 1


def test_a_step_in_what_two_tiles_say_becomes_a_ramp():
    plan = plan_tiles(64, 112, size=64, overlap=16)
    stitcher = Stitcher(plan)
    for value in (0.0, 1.0):
        stitcher.add(np.full((64, 64), value, np.float32))
    row = stitcher.finish()[30].astype(int)
    assert (row[:48] == 0).all()
    assert (row[64:] == 255).all()
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() < 40


@pytest.mark.parametrize(
    ("height", "width", "options", "tile", "count"),
    [
        pytest.param(512, 512, {}, (512, 512), 1, id="as large as a tile: one"),
        pytest.param(100, 90, {"multiple": 16}, (112, 96), 1, id="smaller: one, rounded up"),
        pytest.param(1, 1, {"multiple": 32}, (32, 32), 1, id="a single pixel"),
        pytest.param(513, 512, {}, (512, 512), 2, id="one pixel more: two"),
        pytest.param(3000, 4000, {}, (512, 512), 63, id="a photograph"),
        pytest.param(100, 3000, {"multiple": 16}, (112, 512), 7, id="a strip"),
        pytest.param(300, 700, {"size": (256, 320), "multiple": (256, 320)}, (256, 320), 6, id="a model of fixed size"),
        pytest.param(90, 80, {"size": (256, 320), "multiple": (256, 320)}, (256, 320), 1, id="smaller than that model"),
    ],
)
def test_plans(height: int, width: int, options: dict[str, int], tile: tuple[int, int], count: int):
    plan = plan_tiles(height, width, **options)
    assert ((plan.tile_height, plan.tile_width), len(plan.tiles)) == (tile, count)


def test_small_pictures_are_mirrored_and_large_ones_not_copied():
    small, large = photograph(20, 30), photograph(100, 200)
    plan = plan_tiles(20, 30, size=64, multiple=32)
    expected = cv2.copyMakeBorder(small, 0, 12, 0, 2, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(plan.cut(small, plan.tiles[0]), expected)
    plan = plan_tiles(100, 200, size=64)
    assert all(np.shares_memory(plan.cut(large, tile), large) for tile in plan.tiles)


@pytest.mark.parametrize("options", [{"size": 0}, {"overlap": -1}, {"multiple": 0}])
def test_figures_without_sense_are_refused(options: dict[str, int]):
    with pytest.raises(ValueError, match="at least"):
        plan_tiles(10, 10, **options)


def test_missing_tiles_and_wrong_shapes_are_noticed():
    stitcher = Stitcher(plan_tiles(100, 100, size=64))
    with pytest.raises(ValueError, match="not"):
        stitcher.add(np.zeros((10, 10), np.float32))
    with pytest.raises(ValueError, match="0 of 9"):
        stitcher.finish()


def test_probabilities_beyond_their_range_are_clipped():
    stitcher = Stitcher(plan_tiles(2, 2))
    stitcher.add(np.array([[1.5, 0.5], [0.0, 1.0]], np.float32))
    np.testing.assert_array_equal(stitcher.finish(), [[255, 128], [0, 255]])
