"""Thinning keeps what is connected connected, and leaves lines of one pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line, masked, straight

from crackseg_serving.imaging.thinning import border_of, neighbour_codes, ring_steps, thin

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
