"""What is drawn says what was found."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import arc, line, masked, photograph, straight

from crackseg_serving.imaging import Polygon, mask_png, measure, overlay, overlay_png

pytestmark = pytest.mark.serving


def opened(png: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_a_mask_survives_its_png_with_one_bit_a_pixel(height: int, width: int, seed: int):
    mask = (np.random.default_rng(seed).random((height, width)) < 0.4).astype(np.uint8) * 255
    png = mask_png(mask)
    assert struct.unpack(">IIBB", png[16:26]) == (width, height, 1, 0)
    np.testing.assert_array_equal(opened(png) > 0, mask > 0)


def test_an_overlay_changes_the_cracks_and_their_rim_and_nothing_else():
    picture = photograph(300, 400)
    mask = masked(line([(30, 40), (370, 260)], 6, (300, 400)))
    drawn = overlay(picture, mask)
    changed = (drawn != picture).any(axis=-1)
    around = cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0
    assert changed[mask > 0].mean() > 0.99
    assert not changed[~around].any()


def test_an_overlay_stands_out_on_dark_and_on_light_ground():
    mask = masked(line([(30, 40), (370, 260)], 6, (300, 400)))
    for ground in (30, 90, 128, 200, 250):
        drawn = overlay(np.full((300, 400, 3), ground, np.uint8), mask).astype(int)
        colour = drawn.max(axis=-1) - drawn.min(axis=-1)
        assert colour[mask > 0].mean() > 60
        assert colour.max() > 150


def test_the_crack_can_still_be_seen_under_its_tint():
    picture = np.full((200, 200, 3), 130, np.uint8)
    picture[90:110, 95:105] = 20
    drawn = overlay(picture, masked(line([(10, 100), (190, 100)], 30, (200, 200)))).astype(int)
    assert drawn[100, 50].sum() - drawn[100, 100].sum() > 150


def test_an_overlay_png_has_the_colours_of_the_photograph():
    picture = photograph(60, 80)
    empty = np.zeros((60, 80), np.uint8)
    np.testing.assert_array_equal(opened(overlay_png(picture, empty)), picture[..., ::-1])


def filled(polygon: Polygon, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels whose centres a polygon encloses, drawn eight times as fine."""
    canvas = np.zeros((shape[0] * 8, shape[1] * 8), np.uint8)
    rings = [np.rint((np.array(ring) * 8 - 0.5) * 16).astype(np.int32) for ring in (polygon.outer, *polygon.holes)]
    cv2.fillPoly(canvas, rings, 255, shift=4)
    return canvas[4::8, 4::8]


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(masked(line(straight(150, 25, (100, 100)), 1, (200, 200))), id="one pixel wide"),
        pytest.param(masked(line(straight(150, 70, (100, 100)), 4, (200, 200))), id="slanted"),
        pytest.param(masked(line(arc(60, 2 * np.pi, (100, 100)), 7, (200, 200))), id="a ring"),
        pytest.param(np.pad(np.full((1, 1), 255, np.uint8), 20), id="a pixel"),
    ],
)
def test_a_polygon_encloses_its_crack(mask: NDArray[np.uint8]):
    crack = measure(mask).cracks[0]
    enclosed = filled(crack.polygon, mask.shape)
    assert ((enclosed > 0) & (mask > 0)).sum() / ((enclosed > 0) | (mask > 0)).sum() > 0.75
    area = cv2.contourArea(np.array(crack.polygon.outer, np.float32))
    area -= sum(cv2.contourArea(np.array(hole, np.float32)) for hole in crack.polygon.holes)
    assert area == pytest.approx(crack.area_pixels, rel=0.2)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_polygons_lie_inside_the_picture(seed: int):
    mask = (np.random.default_rng(seed).random((30, 40)) < 0.5).astype(np.uint8) * 255
    for crack in measure(mask).cracks:
        points = np.array(sum((crack.polygon.outer, *crack.polygon.holes), ()))
        assert points.min() >= 0
        assert points[:, 0].max() <= 40
        assert points[:, 1].max() <= 30
