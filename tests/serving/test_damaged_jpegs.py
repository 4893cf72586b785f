"""A JPEG of which a part is missing or wrong is refused with a sentence; one that only looks odd to libjpeg is answered."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.serving.imaging.drawing import photograph
from tests.serving.pictures import mask_of
from tests.serving.process import ServerProcess
from tests.serving.test_bad_input import is_problem

from crackseg_serving.imaging import TruncatedImage, UnsupportedImage, decode, open_strips, read_facts

pytestmark = pytest.mark.serving

PICTURE = photograph(240, 320)
END = b"\xff\xd9"


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def by_opencv(*options: int) -> bytes:
    return cv2.imencode(".jpg", PICTURE, options)[1].tobytes()


KINDS = [
    pytest.param(jpeg(), id="baseline"),
    pytest.param(jpeg(progressive=True), id="progressive"),
    pytest.param(jpeg("L"), id="grey"),
    pytest.param(jpeg("CMYK"), id="inks"),
    pytest.param(by_opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 4), id="restart intervals"),
]


def half(data: bytes) -> int:
    """The middle of the last scan that is longer than a thousand bytes, or of the only one: behind all heads."""
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    long = max(starts, key=lambda at: min([later for later in starts if later > at] or [len(data)]) - at)
    following = min([later for later in starts if later > long] or [len(data)])
    return (long + following) // 2


def closed_early(data: bytes) -> bytes:
    return data[: half(data)] + END


def filled_with_zeros(data: bytes) -> bytes:
    return data[: half(data)] + bytes(len(data) - half(data) - 2) + END


def with_a_hole(data: bytes) -> bytes:
    return data[: half(data)] + data[half(data) + 1000 :]


def with_a_block_of_zeros(data: bytes) -> bytes:
    return data[: half(data)] + bytes(500) + data[half(data) + 500 :]


def with_a_marker_inside(data: bytes) -> bytes:
    return data[: half(data)] + b"\xff\x8c" + data[half(data) + 2 :]


def with_another_beginning_inside(data: bytes) -> bytes:
    return data[: half(data)] + data


DAMAGES = [
    closed_early,
    filled_with_zeros,
    with_a_hole,
    with_a_block_of_zeros,
    with_a_marker_inside,
    with_another_beginning_inside,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("data", KINDS)
def test_a_jpeg_with_a_part_missing_is_refused(server: ServerProcess, data: bytes, damage: Any):
    assert server.segment(data).status == 200
    assert is_problem(server.segment(damage(data)), 422, "missing or wrong")


@pytest.mark.parametrize("query", ["?output=json", "?output=overlay", "?output=mask"])
def test_no_output_is_made_of_a_half_grey_picture(server: ServerProcess, query: str):
    assert is_problem(server.segment(closed_early(jpeg()), query), 422, "original file")


def test_a_restart_interval_that_is_lost_is_refused(server: ServerProcess):
    data = by_opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 4)
    third, fourth = data.index(b"\xff\xd3"), data.index(b"\xff\xd4")
    assert is_problem(server.segment(data[:third] + data[fourth:]), 422, "missing or wrong")


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(lambda data: data[:-2] + bytes(8) + END, id="padding before the end"),
        pytest.param(lambda data: data[:-2] + b"\xff" * 9 + END, id="fill bytes before the end"),
        pytest.param(lambda data: data + bytes(5000), id="bytes after the end"),
        pytest.param(lambda data: data[:20] + bytes(5) + data[20:], id="bytes between two segments"),
        pytest.param(lambda data: data[:11] + b"\x09" + data[12:], id="a revision of JFIF that there is not"),
    ],
)
def test_a_whole_jpeg_that_looks_odd_is_answered(server: ServerProcess, odd: Any):
    data = jpeg()
    answer = server.segment(odd(data), "?output=mask")
    assert answer.status == 200
    assert (mask_of(answer.body) == mask_of(server.segment(data, "?output=mask").body)).all()


@pytest.mark.parametrize("sampling", [0x31, 0x13])
def test_an_unusual_sampling_is_left_to_opencv(sampling: int):
    data = bytearray(jpeg(subsampling=0))
    data[data.index(b"\xff\xc0") + 11] = sampling
    assert decode(bytes(data)).pixels.shape == PICTURE.shape


def test_more_than_eight_bits_are_refused_by_name():
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnsupportedImage, match="8 bits"):
        decode(bytes(data))


@pytest.mark.parametrize("data", KINDS)
def test_the_pixels_are_those_of_opencv(data: bytes):
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (decode(data).pixels == expected).all()
    halved = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    assert (decode(data, halved=True).pixels == halved[..., ::-1]).all()


@pytest.mark.parametrize("damage", [closed_early, filled_with_zeros, with_a_hole])
@pytest.mark.parametrize("data", KINDS)
def test_strips_of_a_damaged_jpeg_are_refused_too(data: bytes, damage: Any):
    broken = damage(data)
    facts = read_facts(broken)
    assert facts.held is not None  # a large one is decoded in strips
    with pytest.raises(TruncatedImage):
        list(open_strips(broken, facts).rows)
