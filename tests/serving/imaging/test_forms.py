"""The other forms of an answer hold the mask and the measurements that they were made of."""

from __future__ import annotations

import csv
import io
import math
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.imaging.drawing import line, masked, photograph

from crackseg_serving.imaging import (
    PIXELS,
    Position,
    Scale,
    from_camera,
    measure,
    overlay,
    overlay_jpeg,
    read_position,
    read_world_file,
    to_csv,
    to_geojson,
    to_rle,
)
from crackseg_serving.imaging.rle import run_lengths

pytestmark = pytest.mark.serving

MASK = masked(line([(30, 40), (370, 260)], 6, (300, 400)) | line([(300, 20), (380, 60)], 9, (300, 400)))


def unpacked(rle: dict[str, object]) -> NDArray[np.bool_]:
    """The mask of COCO's string, read as its own words describe it."""
    (height, width), signs = rle["size"], iter(str(rle["counts"]))  # type: ignore[misc]
    runs: list[int] = []
    for sign in signs:
        digits, last = [], ord(sign) - 48
        while last & 0x20:
            digits.append(last & 0x1F)
            last = ord(next(signs)) - 48
        digits.append(last)
        value = sum((digit & 0x1F) << 5 * place for place, digit in enumerate(digits))
        if last & 0x10:
            value -= 1 << 5 * len(digits)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape((height, width), order="F")


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_a_mask_survives_its_run_lengths(height: int, width: int, seed: int, share: float):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8) * 255
    np.testing.assert_array_equal(unpacked(to_rle(mask)), mask > 0)


@pytest.mark.parametrize(
    ("column", "runs"), [([0, 0, 1, 1, 1, 0, 1], [2, 3, 1, 1]), ([1, 1, 1, 1, 1, 1, 0], [0, 6, 1])]
)
def test_runs_are_those_of_cocos_own_examples(column: list[int], runs: list[int]):
    assert run_lengths(np.array(column, np.uint8)[:, None]).tolist() == runs


def test_pycocotools_writes_the_same():
    published = pytest.importorskip("pycocotools.mask")
    large = cv2.resize(MASK, (3000, 2000), interpolation=cv2.INTER_NEAREST)
    for mask in (MASK, large, np.zeros((7, 9), np.uint8), np.full((7, 9), 255, np.uint8)):
        theirs = published.encode(np.asfortranarray(mask > 0).astype(np.uint8))
        assert to_rle(mask) == {"size": theirs["size"], "counts": theirs["counts"].decode()}


def test_an_overlay_as_jpeg_is_the_overlay():
    picture = photograph(300, 400)
    drawn = cv2.imdecode(np.frombuffer(overlay_jpeg(picture, MASK), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert np.abs(drawn[..., ::-1].astype(int) - overlay(picture, MASK)).mean() < 8


def test_a_table_has_a_row_for_each_crack_and_units_in_its_names():
    measured = measure(MASK, scale=Scale(0.5))
    first, second = csv.DictReader(io.StringIO(to_csv(measured)))
    assert float(first["lengthPixels"]) > float(second["lengthPixels"]) > 50
    assert float(first["lengthMillimetres"]) == pytest.approx(float(first["lengthPixels"]) / 2, abs=0.01)
    assert (first["crack"], first["severity"]) == ("1", "Low")
    assert int(second["boxXPixels"]) == measured.cracks[1].bounding_box.x


def test_a_table_without_a_scale_has_no_millimetres_and_one_without_cracks_only_its_header():
    assert "illimetres" not in to_csv(measure(MASK))
    assert len(to_csv(measure(np.zeros((20, 20), np.uint8))).splitlines()) == 1


def test_geojson_in_pixels_says_so_and_its_rings_are_closed_and_turn_as_the_format_wants():
    ring = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 60, 255, 8)
    collection = to_geojson(measure(ring), PIXELS)
    assert collection["placement"]["kind"] == "pixels"
    (feature,) = collection["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert outer[0] == outer[-1]
    assert turn(outer) > 0 > turn(hole)
    assert turn(outer) + turn(hole) == pytest.approx((ring > 0).sum(), rel=0.05)
    assert feature["properties"]["areaPixels"] == (ring > 0).sum()


def turn(ring: list[list[float]]) -> float:
    """The area that a ring encloses, above 0 where it is anticlockwise."""
    points = np.array(ring) - ring[0]
    return float((points[:-1, 0] * points[1:, 1] - points[1:, 0] * points[:-1, 1]).sum() / 2)


def test_a_world_file_places_the_middles_of_pixels():
    placement = read_world_file("0.01\n0\n0\n-0.01\n500000.005\n5800000.005\n")
    assert placement.place((0.5, 0.5)) == pytest.approx([500000.005, 5800000.005])
    assert placement.place((100.5, 200.5)) == pytest.approx([500001.005, 5799998.005])
    outer = to_geojson(measure(MASK), placement)["features"][0]["geometry"]["coordinates"][0]
    assert turn(outer) == pytest.approx(measure(MASK).cracks[0].area_pixels * 1e-4, rel=0.1)


@pytest.mark.parametrize("text", ["", "1 2 3", "1 0 0 x 0 0", "1 0 0 nan 0 0", "1 2 2 4 0 0", "1 0 0 -1 0 0 7"])
def test_a_world_file_without_sense_is_refused(text: str):
    with pytest.raises(ValueError, match="world file"):
        read_world_file(text)


@pytest.mark.parametrize(
    ("heading", "above"),
    [
        pytest.param(0.0, (0, 1), id="north is up"),
        pytest.param(90.0, (1, 0), id="east is up"),
        pytest.param(225.0, (-1, -1), id="southwest is up"),
    ],
)
def test_a_camera_with_heading_and_scale_places_its_picture(heading: float, above: tuple[int, int]):
    placement = from_camera(Position(52.5, 13.4, heading), (1000, 2000), 1.0)
    assert placement is not None
    middle, top, right = (placement.place(point) for point in ((1000.0, 500.0), (1000.0, 0.0), (2000.0, 500.0)))
    assert middle == pytest.approx([13.4, 52.5], abs=1e-8)
    metres = [(top[0] - 13.4) * 111_320 * math.cos(math.radians(52.5)), (top[1] - 52.5) * 111_320]
    assert math.hypot(*metres) == pytest.approx(0.5, abs=0.001)
    assert np.sign(np.round(metres, 3)).tolist() == list(above)
    assert (right[0] - 13.4) * metres[1] - (right[1] - 52.5) * metres[0] > 0  # to the right of up


def test_without_heading_or_scale_a_camera_places_nothing():
    assert from_camera(Position(52.5, 13.4, None), (10, 10), 1.0) is None
    assert from_camera(Position(52.5, 13.4, 10.0), (10, 10), None) is None


def gps_block(*, heading: bool = True, reference: bytes = b"T") -> bytes:
    """An EXIF block as a camera writes it: 52 degrees 30 minutes south, 13 degrees 24 minutes 36 seconds west."""
    entries = [(1, 2, 2, b"S\0\0\0"), (2, 5, 3, None), (3, 2, 2, b"W\0\0\0"), (4, 5, 3, None)]
    values = [struct.pack(">6I", 52, 1, 30, 1, 0, 1), struct.pack(">6I", 13, 1, 24, 1, 360, 10)]
    if heading:
        entries += [(16, 2, 2, reference + b"\0\0\0"), (17, 5, 1, None)]
        values.append(struct.pack(">2I", 2711, 10))
    start = 26 + 2 + 12 * len(entries) + 4
    directory, more = struct.pack(">H", len(entries)), b""
    for tag, kind, count, inline in entries:
        directory += struct.pack(">HHI", tag, kind, count)
        if inline is None:
            directory += struct.pack(">I", start + len(more))
            more += values.pop(0)
        else:
            directory += inline
    first = struct.pack(">HHHIII", 1, 0x8825, 4, 1, 26, 0)
    return b"Exif\0\0MM\0*" + struct.pack(">I", 8) + first + directory + b"\0\0\0\0" + more


def test_a_cameras_position_is_read():
    found = read_position(b"\xff\xd8\xff\xe1\0\0" + gps_block())
    assert found is not None
    assert (found.latitude, found.longitude) == pytest.approx((-52.5, -13.41))
    assert found.heading_degrees == pytest.approx(271.1)


def test_a_magnetic_heading_is_none():
    found = read_position(gps_block(reference=b"M"))
    assert found is not None
    assert found.heading_degrees is None
    found = read_position(gps_block(heading=False))
    assert found is not None
    assert found.heading_degrees is None


@pytest.mark.parametrize("length", range(0, 150, 7))
def test_a_damaged_block_is_no_position(length: int):
    assert read_position(gps_block()[:length]) is None
