"""The cheap look at a tile: texture and shade are empty, lines are not, whatever their angle and the tile's size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line

from crackseg_serving.imaging import is_empty

pytestmark = pytest.mark.serving


def asphalt(size: int, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 30, (size, size)).astype(np.float32)
    rows = np.linspace(0, 40, size, dtype=np.float32)[:, None]
    return 120 + cv2.GaussianBlur(noise, (0, 0), 1.0) + rows


def as_picture(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    return cv2.cvtColor(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


@pytest.mark.parametrize("size", [64, 128, 300, 512])
def test_plain_ground_is_empty_most_of_the_time(size: int):
    assert sum(is_empty(as_picture(asphalt(size, seed))) for seed in range(12)) >= 7
    assert is_empty(np.full((size, size, 3), 170, np.uint8))


@pytest.mark.parametrize("degrees", range(0, 180, 20))
@pytest.mark.parametrize("width", [3, 6, 12])
@pytest.mark.parametrize("size", [128, 512])
def test_a_line_is_not(degrees: int, width: int, size: int):
    half = size / 3 * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    crack = line(np.add([-half, half], [size / 2 + 3, size / 2 - 5]), width, (size, size)).astype(np.float32)
    assert not is_empty(as_picture(asphalt(size) - 0.4 * crack))


@pytest.mark.parametrize("shape", [(1, 1), (1, 512), (512, 3), (33, 129)])
def test_tiles_of_any_shape_are_judged(shape: tuple[int, int]):
    assert is_empty(np.full((*shape, 3), 90, np.uint8))
