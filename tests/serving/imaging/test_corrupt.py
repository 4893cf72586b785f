"""Damaged files of every kind: a picture or a sentence comes out, never anything else."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.serving.imaging.drawing import photograph

from crackseg_serving.imaging import DecodeLimits, ImageError, decode

pytestmark = pytest.mark.serving


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photograph(40, 56)).convert(mode).save(file, kind, **options)
    return file.getvalue()


FILES = [
    saved("JPEG"),
    saved("JPEG", progressive=True),
    saved("JPEG", "CMYK"),
    saved("PNG"),
    saved("PNG", "P"),
    saved("PNG", "LA"),
    saved("TIFF"),
    saved("TIFF", compression="tiff_lzw"),
    saved("TIFF", compression="jpeg"),
    saved("TIFF", "1", compression="group4"),
    saved("WEBP"),
    saved("WEBP", "RGBA", lossless=True),
    saved("BMP"),
    saved("BMP", "P"),
]
LIMITS = DecodeLimits(max_pixels=1_000_000)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A file with some bytes changed, most of them in the header, and perhaps without its end."""
    data = bytearray(draw(st.sampled_from(FILES)))
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    places = st.one_of(st.integers(0, 63), st.integers(0, len(data) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=12)):
        data[place % len(data)] = value
    return bytes(data[:end])


def decoded_or_refused(data: bytes) -> None:
    try:
        image = decode(data, LIMITS)
    except ImageError as error:
        outcome = str(error)
    else:
        height, width, channels = image.pixels.shape
        assert channels == 3
        assert height * width <= LIMITS.max_pixels
        outcome = "it could be decoded: an image"
    assert ": " in outcome, "what is wrong, and what to do"


@settings(max_examples=600, deadline=None)
@given(damaged_files())
def test_a_damaged_file_is_decoded_or_refused_with_a_sentence(data: bytes):
    decoded_or_refused(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0+", b"RIFF....WEBPVP8X", b"BM"]), st.binary(max_size=300))  # fmt: skip
def test_noise_behind_a_known_beginning_is_refused_with_a_sentence(magic: bytes, noise: bytes):
    decoded_or_refused(magic + noise)


def with_scans(jpeg: bytes, side: int, count: int) -> bytes:
    """A progressive JPEG that announces this size, and so many scans of nothing: each goes over the whole picture."""
    frame, last = jpeg.find(b"\xff\xc2"), jpeg.rfind(b"\xff\xda")
    larger = jpeg[: frame + 5] + struct.pack(">HH", side, side) + jpeg[frame + 9 : -2]
    return larger + jpeg[last : last + 10] * count + jpeg[-2:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xd8" + b"\xff" * 4_000_000, id="a JPEG of fill bytes"),
        pytest.param(b"\xff\xd8" + b"\xff\x00" * 2_000_000, id="a JPEG of stuffed bytes"),
        pytest.param(b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000, id="a JPEG of empty segments"),
        pytest.param(FILES[3][:33] + b"\0\0\0\0tEXt\0\0\0\0" * 300_000, id="a PNG of empty chunks"),
        pytest.param(
            FILES[3][:33] + b"\0\0\0\0tEXt\0\0\0\0" * 2_000 + FILES[3][33:], id="a PNG with thousands of notes"
        ),
        pytest.param(with_scans(FILES[1], 4000, 100_000), id="a JPEG of empty scans"),
        pytest.param(b"II*\0\x08\0\0\0" + b"\xff" * 4_000_000, id="a TIFF of tags"),
        pytest.param(b"RIFF\xff\xff\x3d\0WEBPVP8X\x0a\0\0\0" + b"\0" * 4_100_000, id="a WebP of empty chunks"),
    ],
)
@pytest.mark.timeout(100)
def test_a_file_made_to_be_slow_is_refused_in_time(data: bytes):
    with pytest.raises(ImageError):
        decode(data, DecodeLimits(max_pixels=16_000_000))


@pytest.mark.parametrize("count", [0, 80])
def test_a_jpeg_with_some_scans_is_a_picture(count: int):
    data = with_scans(FILES[1], 40, count)
    assert decode(data, LIMITS).pixels.shape == (40, 40, 3)
