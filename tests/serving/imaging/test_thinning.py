"""Thinning keeps what is connected connected, and leaves lines of one pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line, masked, straight

from crackseg_serving.imaging import measure, thinning
from crackseg_serving.imaging.thinning import RING, border_of, neighbour_codes, ring_steps, thin

pytestmark = pytest.mark.serving


def thinned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    frame = np.pad((mask != 0).astype(np.uint8), 1)
    left, codes = thin(frame, border_of(frame))
    np.testing.assert_array_equal(left, np.flatnonzero(frame))  # the list and the frame agree, in order
    np.testing.assert_array_equal(codes, neighbour_codes(frame.reshape(-1), left, ring_steps(frame.shape[1])))
    return frame[1:-1, 1:-1]


def components(mask: NDArray[np.uint8]) -> int:
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1


def holes(mask: NDArray[np.uint8]) -> int:
    background = np.pad(1 - (mask != 0).astype(np.uint8), 1, constant_values=1)
    return int(cv2.connectedComponents(background, connectivity=4)[0]) - 2


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Blobs, from specks to large ones with holes."""
    height, width = draw(st.integers(1, 48)), draw(st.integers(1, 48))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((height, width)).astype(np.float32)
    smoothed = cv2.GaussianBlur(noise, (0, 0), draw(st.sampled_from([0.4, 1.0, 2.0])))
    return (smoothed > np.quantile(smoothed, draw(st.floats(0.1, 0.95)))).astype(np.uint8)


def plainly_thinned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Guo and Hall as they wrote it: both halves over the whole picture, until neither takes a pixel."""
    frame = np.pad(mask != 0, 1)
    idle, half = 0, 0
    while idle < 2:
        n, ne, e, se, s, sw, w, nw = (np.roll(frame, (-down, -right), (0, 1)) for down, right in RING)
        crossings = sum((~a & (b | c)).astype(int) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
        pairs = [(nw | n, ne | e, se | s, sw | w), (n | ne, e | se, s | sw, w | nw)]
        fewest = np.minimum(*(sum(pair.astype(int) for pair in four) for four in pairs))
        stays = (n | ne | ~se) & e if half else (s | sw | ~nw) & w
        goes = frame & (crossings == 1) & (fewest >= 2) & (fewest <= 3) & ~stays
        frame &= ~goes
        idle, half = 0 if goes.any() else idle + 1, 1 - half
    return frame[1:-1, 1:-1].view(np.uint8)


@settings(max_examples=200, deadline=None)
@given(masks(), st.sampled_from([1, 7, thinning.CHUNK]))
def test_it_is_guo_and_halls_thinning_however_many_pixels_are_looked_at_in_one_go(mask: NDArray[np.uint8], chunk: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "CHUNK", chunk)
        np.testing.assert_array_equal(thinned(mask), plainly_thinned(mask))


@settings(max_examples=100, deadline=None)
@given(masks())
def test_every_crack_has_the_pixels_of_its_part(mask: NDArray[np.uint8]):
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
    assert sorted(crack.area_pixels for crack in measure(mask).cracks) == sorted(stats[1:, cv2.CC_STAT_AREA].tolist())


@settings(max_examples=300, deadline=None)
@given(masks())
def test_topology_is_kept(mask: NDArray[np.uint8]):
    skeleton = thinned(mask)
    assert not (skeleton & ~mask).any()
    assert components(skeleton) == components(mask)
    assert holes(skeleton) == holes(mask)


@settings(max_examples=100, deadline=None)
@given(masks())
def test_what_is_thin_stays_as_it_is(mask: NDArray[np.uint8]):
    skeleton = thinned(mask)
    np.testing.assert_array_equal(thinned(skeleton), skeleton)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 130])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 15])
def test_a_line_is_thinned_to_its_middle(width: int, degrees: int):
    ends = straight(150, degrees, (100, 100))
    skeleton = thinned(masked(line(ends, width, (200, 200))))
    rows, columns = np.nonzero(skeleton)
    along = (ends[1] - ends[0]) / 150
    across = (columns - ends[0][0]) * along[1] - (rows - ends[0][1]) * along[0]
    assert np.abs(across).max() <= 1.5
    assert not (cv2.boxFilter(skeleton, cv2.CV_32F, (2, 2), normalize=False) == 4).any()  # nowhere thick


def test_an_empty_frame_stays_empty():
    assert thinned(np.zeros((5, 5), np.uint8)).sum() == 0
