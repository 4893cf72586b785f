"""Specks are no cracks: what is short in both directions leaves the mask, what is thin and long stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.pictures import encoded, mask_of
from tests.serving.process import ServerProcess

from crackseg_serving.imaging import threshold

pytestmark = pytest.mark.serving


def parts(mask: NDArray[np.uint8]) -> int:
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1


@pytest.mark.parametrize(
    ("height", "width", "left"),
    [(1, 1, 0), (9, 9, 0), (1, 9, 0), (1, 10, 10), (10, 1, 10), (2, 12, 24), (10, 10, 100)],
)
def test_a_part_stays_where_one_side_is_long_enough(height: int, width: int, left: int):
    probabilities = np.zeros((64, 64), np.uint8)
    probabilities[20 : 20 + height, 30 : 30 + width] = 200
    assert (threshold(probabilities) > 0).sum() == left


def test_a_diagonal_hairline_and_a_ring_around_nothing_are_judged_by_their_extent():
    probabilities = np.zeros((64, 64), np.uint8)
    cv2.line(probabilities, (10, 10), (25, 25), 255, 1)
    cv2.circle(probabilities, (45, 45), 3, 255, 1)
    probabilities[45, 45] = 255
    mask = threshold(probabilities)
    assert (parts(mask), int((mask > 0).sum())) == (1, 16)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (6, 6), (9, 30)])
def test_what_reaches_across_a_tiny_picture_is_no_speck(shape: tuple[int, int]):
    assert threshold(np.full(shape, 255, np.uint8)).all()


@pytest.mark.parametrize("share", [0.2, 0.4, 0.5])
@pytest.mark.parametrize("width", [40, 700, 6000])
def test_strips_leave_no_seam(width: int, share: float):
    """Found part by part over the whole picture, the same parts go; specks and lines lie across every strip's border."""
    noise = np.random.default_rng(width).random((1500, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.6)
    probabilities = np.where(smooth > np.quantile(smooth, 1 - share), np.uint8(255), np.uint8(0))
    probabilities[100:1400, width // 2] = 255
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(probabilities, connectivity=8)
    speck = (statistics[:, cv2.CC_STAT_WIDTH] < 10) & (statistics[:, cv2.CC_STAT_HEIGHT] < 10)
    expected = np.where(speck[labels], np.uint8(0), probabilities)
    assert 0 < (expected > 0).sum() < (probabilities > 0).sum()
    np.testing.assert_array_equal(threshold(probabilities), expected)


def test_mask_overlay_and_figures_agree_that_a_speck_is_none(server: ServerProcess):
    picture = np.full((256, 320, 3), 170, np.uint8)
    picture[40:46, 50:56] = 10  # a speck
    picture[200:206, 20:22] = 10  # another
    picture[100:103, 60:84] = 10  # a thin, short crack
    data = encoded(picture)
    mask = mask_of(server.segment(data, "?output=mask").body)
    assert not mask[:80].any()
    assert not mask[150:].any()
    assert mask[101, 62:82].all()
    measured = server.segment(data, "?output=json").json["measurements"]
    assert (measured["crackCount"], measured["totalAreaPixels"]) == (1, int(mask.sum()))
    overlay = cv2.imdecode(np.frombuffer(server.segment(data, "?output=overlay").body, np.uint8), cv2.IMREAD_COLOR)
    drawn = (overlay != picture).any(axis=2)
    assert not (drawn[:80].any())
    assert not (drawn[150:].any())
    assert drawn[mask].all()
