"""Drawn cracks of known length and width measure what they are: length within 2 %, width within a pixel."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.imaging.drawing import arc, course_length, line, masked, straight

from crackseg_serving.imaging import BoundingBox, Crack, Scale, Severity, measure
from crackseg_serving.imaging.measurements import severity_of

pytestmark = pytest.mark.serving

LENGTH_ERROR, WIDTH_ERROR, SOFT_WIDTH_ERROR = 0.02, 1.0, 0.5
SOURCES = [("mask", WIDTH_ERROR), ("probabilities", SOFT_WIDTH_ERROR)]


def only_crack(coverage: NDArray[np.uint8], *, soft: bool = True) -> Crack:
    measured = measure(masked(coverage), coverage if soft else None)
    assert measured.crack_count == 1
    return measured.cracks[0]


def is_near(angle: float | None, expected: float, tolerance: float = 1.0) -> bool:
    return angle is not None and abs((angle - expected + 90) % 180 - 90) <= tolerance


@pytest.mark.parametrize(("soft", "allowed"), SOURCES)
@pytest.mark.parametrize("degrees", [0, 7, 22.5, 30, 45, 71, 90, 120, 135, 173])
@pytest.mark.parametrize("width", [1, 1.5, 2, 2.5, 3, 4, 5, 8, 12, 20])
def test_straight_cracks(width: float, degrees: float, soft: str, allowed: float):
    crack = only_crack(line(straight(200, degrees, (120.3, 119.6)), width, (240, 240)), soft=soft == "probabilities")
    assert crack.length_pixels == pytest.approx(200, rel=LENGTH_ERROR)
    assert crack.mean_width_pixels == pytest.approx(width, abs=allowed)
    assert crack.maximum_width_pixels == pytest.approx(width, abs=allowed)
    assert is_near(crack.orientation_degrees, degrees)
    assert crack.branch_count == 1


@pytest.mark.parametrize(("soft", "allowed"), SOURCES)
@pytest.mark.parametrize("width", [1.5, 2, 3.3, 6, 11])
@pytest.mark.parametrize("radius", [25, 60, 150])
def test_curved_cracks(radius: float, width: float, soft: str, allowed: float):
    course = arc(radius, min(5.0, 400 / radius))
    crack = only_crack(line(course, width), soft=soft == "probabilities")
    assert crack.length_pixels == pytest.approx(course_length(course), rel=LENGTH_ERROR)
    assert crack.mean_width_pixels == pytest.approx(width, abs=allowed)
    assert crack.maximum_width_pixels == pytest.approx(width, abs=allowed)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_wandering_cracks_at_several_scales(seed: int, scale: int):
    steps = np.random.default_rng(seed).normal(0, 0.35, 40).cumsum() * 0.5
    course = np.cumsum(np.stack([9 * np.cos(steps), 9 * np.sin(steps)], axis=1), axis=0) * scale / 2
    course += 30 - course.min(axis=0)
    width = 1.5 * scale
    crack = only_crack(line(course, width, (int(course[:, 1].max()) + 30, int(course[:, 0].max()) + 30)))
    assert crack.length_pixels == pytest.approx(course_length(course), rel=LENGTH_ERROR)
    assert crack.mean_width_pixels == pytest.approx(width, abs=SOFT_WIDTH_ERROR)


@pytest.mark.parametrize("percent", [30, 50, 70])
@pytest.mark.parametrize("blur", [0, 1.0, 2.0])
def test_a_soft_edge_and_another_threshold_do_not_move_the_width(blur: float, percent: int):
    drawn = line(straight(300, 33), 9)
    soft = cv2.GaussianBlur(drawn, (0, 0), blur) if blur else drawn
    mask = cv2.threshold(soft, round(2.55 * percent) - 1, 255, cv2.THRESH_BINARY)[1]
    crack = measure(mask, soft, threshold_percent=percent).cracks[0]
    assert crack.mean_width_pixels == pytest.approx(9, abs=0.5 + (0.02 + 0.06 * blur) * abs(percent - 50))


def test_a_crack_that_narrows_has_a_larger_maximum_than_mean():
    course = np.linspace([60, 256], [450, 300], 80)
    halves = 1 - np.abs(np.linspace(-1, 1, 80))
    pieces = [line(course[k : k + 2], max(1.2, 10 * halves[k])) for k in range(79)]
    crack = only_crack(np.maximum.reduce(pieces))
    assert crack.mean_width_pixels == pytest.approx(5.1, abs=0.8)
    assert crack.maximum_width_pixels == pytest.approx(10, abs=1)


def star(width: float, *tips: tuple[float, float]) -> NDArray[np.uint8]:
    return np.maximum.reduce([line([(256, 256), tip], width) for tip in tips])


@pytest.mark.parametrize("width", [2, 4, 9])
def test_branches_are_counted_and_their_lengths_added(width: float):
    tips = ((100, 120), (400, 130), (250, 480))
    crack = only_crack(star(width, *tips))
    assert crack.branch_count == 3
    assert crack.length_pixels == pytest.approx(sum(course_length([(256, 256), tip]) for tip in tips), rel=LENGTH_ERROR)
    assert crack.maximum_width_pixels == pytest.approx(width, abs=WIDTH_ERROR)  # a junction is not a width


def test_a_frayed_edge_makes_no_branches():
    drawn = masked(line(straight(300, 0), 9))
    frayed = drawn.copy()
    teeth = np.random.default_rng(5).random(512) < 0.2
    top = np.flatnonzero(drawn.any(axis=1))[0]
    frayed[top - 1, teeth & drawn.any(axis=0)] = 255
    crack = measure(frayed).cracks[0]
    assert crack.branch_count == 1
    assert crack.length_pixels == pytest.approx(300, rel=LENGTH_ERROR)


@pytest.mark.parametrize("width", [3, 9])
@pytest.mark.parametrize("degrees", [0, 30, 75])
def test_a_crack_that_leaves_the_picture_is_measured_up_to_its_edge(degrees: float, width: float):
    crack = only_crack(line(straight(1300, degrees, (255.5, 255.5)), width))
    inside = 512 / max(abs(np.cos(np.radians(degrees))), abs(np.sin(np.radians(degrees))))
    assert crack.length_pixels == pytest.approx(inside, rel=LENGTH_ERROR)
    assert crack.mean_width_pixels == pytest.approx(width, abs=SOFT_WIDTH_ERROR)
    assert crack.maximum_width_pixels == pytest.approx(width, abs=WIDTH_ERROR)


def test_a_ring_has_a_hole_and_no_ends():
    crack = only_crack(line(arc(80, 2 * np.pi), 4))
    assert crack.length_pixels == pytest.approx(2 * np.pi * 80, rel=LENGTH_ERROR)
    assert crack.mean_width_pixels == pytest.approx(4, abs=SOFT_WIDTH_ERROR)
    assert (crack.branch_count, len(crack.polygon.holes)) == (1, 1)


@pytest.mark.parametrize(("size", "diameter"), [(1, 1.13), (2, 2.26), (3, 3.39)])
def test_a_speck_is_a_disc_without_length_or_direction(size: int, diameter: float):
    mask = np.zeros((20, 20), np.uint8)
    mask[5 : 5 + size, 7 : 7 + size] = 255
    crack = measure(mask).cracks[0]
    assert crack.length_pixels <= 1
    assert crack.mean_width_pixels == pytest.approx(diameter, abs=0.2)
    assert crack.bounding_box == BoundingBox(7, 5, size, size)
    assert (crack.area_pixels, crack.branch_count) == (size * size, 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (64, 64)])
def test_a_picture_that_is_all_crack_is_measured_like_any_other(shape: tuple[int, int]):
    mask = np.full(shape, 255, np.uint8)
    measured = measure(mask, mask)
    assert (measured.crack_count, measured.area_percent) == (1, 100)
    crack = measured.cracks[0]
    assert np.isfinite([crack.length_pixels, crack.mean_width_pixels, crack.maximum_width_pixels]).all()
    assert max(crack.length_pixels, crack.maximum_width_pixels) <= 1.2 * max(shape)


def test_nothing_is_found_in_an_empty_mask():
    record = measure(np.zeros((30, 40), np.uint8), scale=Scale(2)).to_dict()
    assert record["cracks"] == []
    assert [record[key] for key in ("crackCount", "totalLengthPixels", "totalAreaPixels", "areaPercent")] == [
        0,
        0,
        0,
        0,
    ]
    assert record["lengthDensityPerMetre"] == 0


def two_cracks() -> NDArray[np.uint8]:
    return np.maximum(line([(50, 60), (250, 60)], 4), line([(300, 100), (300, 400)], 6))


def test_cracks_are_listed_longest_first_and_summed():
    drawn = two_cracks()
    measured = measure(masked(drawn), drawn)
    assert [round(crack.length_pixels, -1) for crack in measured.cracks] == [300, 200]
    assert [is_near(crack.orientation_degrees, angle) for crack, angle in zip(measured.cracks, (90, 0), strict=True)] == [True, True]  # fmt: skip
    assert measured.total_length_pixels == pytest.approx(500, rel=LENGTH_ERROR)
    assert (
        measured.total_area_pixels == sum(crack.area_pixels for crack in measured.cracks) == (masked(drawn) > 0).sum()
    )
    assert measured.area_percent == pytest.approx(100 * measured.total_area_pixels / 512**2)
    rows, columns = np.nonzero(masked(drawn)[:, 270:])
    box = measured.cracks[0].bounding_box
    assert (box.x, box.y) == (columns.min() + 270, rows.min())
    assert (box.width, box.height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_millimetres_come_only_with_a_scale():
    def names(record: Any) -> set[str]:
        inner = record.values() if isinstance(record, dict) else record if isinstance(record, list) else ()
        return (set(record) if isinstance(record, dict) else set()).union(*map(names, inner))

    drawn = two_cracks()
    without, given = (measure(masked(drawn), drawn, scale=scale) for scale in (None, Scale(0.5)))
    unit = ("Millimetres", "Metre", "severity")
    assert [name for name in names(without.to_dict()) if name.endswith(unit)] == []
    assert all(crack.severity is None for crack in without.cracks)
    first, record = given.to_dict()["cracks"][0], given.to_dict()
    assert first["lengthMillimetres"] == pytest.approx(first["lengthPixels"] / 2, abs=0.01)
    assert first["meanWidthMillimetres"] == pytest.approx(3, abs=0.25)
    assert first["areaSquareMillimetres"] == first["areaPixels"] / 4
    assert record["totalLengthMillimetres"] == pytest.approx(record["totalLengthPixels"] / 2, abs=0.01)
    # 500 pixels are 0.25 m; the picture is 0.256 m x 0.256 m.
    assert record["lengthDensityPerMetre"] == pytest.approx(0.25 / 0.256**2, rel=LENGTH_ERROR)


@pytest.mark.parametrize(("scale", "severity"), [(0.5, Severity.LOW), (2.5, Severity.MODERATE), (10, Severity.HIGH)])
def test_severity_follows_the_mean_width(scale: float, severity: Severity):
    drawn = line(straight(200, 10), 4)
    record = measure(masked(drawn), drawn, scale=Scale(scale)).to_dict()
    assert record["cracks"][0]["severity"] == severity


@pytest.mark.parametrize(
    ("millimetres", "severity"),
    [
        pytest.param(0.1, "Low", id="a hairline"),
        pytest.param(6.0, "Low", id="6 mm are still low"),
        pytest.param(6.01, "Moderate", id="above 6 mm"),
        pytest.param(19.0, "Moderate", id="19 mm are still moderate"),
        pytest.param(19.01, "High", id="above 19 mm"),
    ],
)
def test_the_limits_of_severity_are_the_manuals(millimetres: float, severity: str):
    assert severity_of(millimetres) == severity


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_without_sense_is_refused(scale: float):
    with pytest.raises(ValueError, match="millimetres per pixel must be from"):
        Scale(scale)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        measure(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))


def test_noise_is_summed_whole_and_listed_in_part():
    mask = np.zeros((200, 200), np.uint8)
    mask[::4, ::4] = 255
    measured = measure(mask)
    assert (measured.crack_count, len(measured.cracks), measured.total_area_pixels) == (2500, 1000, 2500)


def test_the_answer_is_json():
    drawn = two_cracks()
    record = measure(masked(drawn), drawn, scale=Scale(1.5)).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_what_is_given_is_not_changed():
    drawn = two_cracks()
    mask = masked(drawn)
    copies = drawn.copy(), mask.copy()
    measure(mask, drawn)
    np.testing.assert_array_equal((drawn, mask), copies)
