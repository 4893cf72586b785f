"""The seam gap: none where tiles overlap and are blended, one where either is broken; by drawn lines and by the sample model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line

from crackseg_serving.imaging import InputFormat, Stitcher, TilePlan, plan_tiles, seam_gap, threshold, to_tensor

pytestmark = pytest.mark.serving

HEIGHT, WIDTH = 400, 600
SAMPLES = Path(__file__).parents[3] / "deploy/samples"

Model = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def courses() -> Iterator[NDArray[np.float64]]:
    """Lines at many angles and places: across borders, along them, through the corners of tiles."""
    for degrees in range(0, 180, 15):
        for offset in (0, 7, 31):
            half = 360 * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
            yield np.add([-half, half], [WIDTH / 2 + offset, HEIGHT / 2 + offset])


def blind_at_the_rim(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A local model that sees nothing within four pixels of a tile's edge, and knows its picture otherwise."""
    seen = np.zeros(tile.shape, np.float32)
    seen[4:-4, 4:-4] = tile[4:-4, 4:-4] / np.float32(255)
    return seen


def through_tiles(picture: NDArray[np.uint8], plan: TilePlan, model: Model) -> NDArray[np.uint8]:
    stitcher = Stitcher(plan)
    for tile in plan.tiles:
        stitcher.add(model(plan.cut(picture, tile)))
    return threshold(stitcher.finish())


def pasted(picture: NDArray[np.uint8], plan: TilePlan, model: Model) -> NDArray[np.uint8]:
    """Tiles put over each other and not blended: the latest wins."""
    whole = np.zeros((plan.height, plan.width), np.uint8)
    for tile in plan.tiles:
        part = (model(plan.cut(picture, tile)) * 255).astype(np.uint8)
        whole[tile.top : tile.top + plan.tile_height, tile.left : tile.left + plan.tile_width] = part
    return threshold(whole)


def largest(widths: tuple[int, ...], plan: TilePlan, way: Callable[..., NDArray[np.uint8]]) -> float:
    inner = (slice(4, -4), slice(4, -4))  # no tile sees the picture's own rim
    gaps = []
    for course in courses():
        for width in widths:
            drawn = line(course, width, (HEIGHT, WIDTH))
            expected, found = np.zeros_like(drawn), np.zeros_like(drawn)
            expected[inner], found[inner] = threshold(drawn)[inner], way(drawn, plan, blind_at_the_rim)[inner]
            gaps.append(seam_gap(found, course, plan, expected))
    return max(gaps)


@pytest.mark.parametrize("overlap", [16, 32, 64])
def test_blended_tiles_leave_no_gap_in_lines_of_any_angle_and_width(overlap: int):
    assert largest((2, 5), plan_tiles(HEIGHT, WIDTH, size=128, overlap=overlap), through_tiles) == 0


def test_tiles_that_do_not_overlap_leave_a_gap():
    assert largest((3,), plan_tiles(HEIGHT, WIDTH, size=100, overlap=0), through_tiles) >= 7


def test_tiles_that_are_not_blended_leave_a_gap():
    assert largest((3,), plan_tiles(HEIGHT, WIDTH, size=128, overlap=32), pasted) >= 3


def test_a_gap_is_as_long_as_what_is_missing():
    plan = plan_tiles(100, 200, size=(100, 110), overlap=20)  # tiles meet between the columns 90 and 110
    course = np.array([[0.0, 50.0], [199.0, 50.0]])
    mask = np.zeros((100, 200), np.uint8)
    mask[50] = 255
    assert seam_gap(mask, course, plan) == 0
    mask[50, 100:112] = 0
    assert seam_gap(mask, course, plan) == pytest.approx(10, abs=0.5)  # a pixel beside the end still counts
    assert seam_gap(mask, course, plan, reference=mask) == 0
    mask[50] = 255
    mask[50, 20:60] = 0
    assert seam_gap(mask, course, plan) == 0, "what no border of tiles touches is no seam"


@pytest.mark.parametrize("degrees", [0, 38, 90])
def test_the_sample_model_leaves_no_gap_at_borders_of_tiles(degrees: int):
    session = onnxruntime.InferenceSession(SAMPLES / "pavement-2.0.0.onnx", providers=["CPUExecutionProvider"])
    form = _form(session)

    def run(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(["mask"], {"image": to_tensor([tile], form)})[0][0, 0], np.float32)

    half = 400 * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    course = np.add([-half, half], [253, 261])
    noise = np.random.default_rng(3).normal(0, 9, (512, 512)).astype(np.float32)
    road = 150 + cv2.GaussianBlur(noise, (0, 0), 1.2) * 2 - line(course, 4, (512, 512)) * 0.4
    picture = cv2.cvtColor(np.clip(road, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    whole = threshold((run(picture) * 255).astype(np.uint8))
    assert np.count_nonzero(whole[line(course, 4, (512, 512)) > 200]) > 1000, "the model sees the line"
    plan = plan_tiles(512, 512, size=256, overlap=64, multiple=32)
    assert seam_gap(through_tiles(picture, plan, run), course, plan, whole) == 0


def _form(session: onnxruntime.InferenceSession) -> InputFormat:
    said = session.get_modelmeta().custom_metadata_map
    mean, std = (tuple(float(x) for x in said.get(f"crackseg.input.{key}", default).split(",")) for key, default in (("mean", "0"), ("std", "1")))  # fmt: skip
    return InputFormat(mean=mean, std=std)
