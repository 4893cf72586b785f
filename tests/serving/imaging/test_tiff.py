"""TIFF files of every make: the pixels that they have, or the reason why not; never a picture that is not in them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image
from tests.serving.imaging.drawing import photograph

from crackseg_serving.imaging import (
    DecodeLimits,
    TruncatedImage,
    UnsupportedImage,
    decode,
    open_strips,
    read_facts,
    turn,
)

pytestmark = pytest.mark.serving

PICTURE = photograph(100, 150)
GREY = np.ascontiguousarray(PICTURE[..., 1])
LZW: dict[str, Any] = {"compression": "tiff_lzw"}


def saved(picture: NDArray[Any], mode: str = "", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(file, "TIFF", **options)
    return file.getvalue()


def by_vips(picture: NDArray[Any], **options: Any) -> bytes:
    data: bytes = pyvips.Image.new_from_array(picture).tiffsave_buffer(**options)
    return data


def tiled(picture: NDArray[Any], **options: Any) -> bytes:
    """In tiles that do not divide the picture."""
    return by_vips(picture, tile=True, tile_width=64, tile_height=32, **options)


def with_tag(data: bytes, tag: int, value: int, kind: int = 3, number: int = 1) -> bytes:
    """The file with another value in a tag that it has in its directory (little-endian, not big)."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    at = next(at for at in range(start + 2, start + 2 + 12 * count, 12) if struct.unpack_from("<H", data, at)[0] == tag)
    return data[:at] + struct.pack("<HHII", tag, kind, number, value) + data[at + 12 :]


def in_planes(picture: NDArray[np.uint8]) -> bytes:
    """Uncompressed, a strip for each colour."""
    height, width = picture.shape[:2]
    offsets = 8 + 2 + 12 * 11 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, offsets + 24), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, offsets), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 3, offsets + 12), (284, 3, 1, 2), (339, 3, 1, 1)]  # fmt: skip
    pixels = offsets + 30
    size = height * width
    return b"".join(
        [
            struct.pack("<2sHIH", b"II", 42, 8, len(tags)),
            *(struct.pack("<HHII", *tag) for tag in tags),
            bytes(4),
            struct.pack("<6I3H", *(pixels + size * plane for plane in range(3)), size, size, size, 8, 8, 8),
            *(np.ascontiguousarray(picture[..., plane]).tobytes() for plane in range(3)),
        ]
    )


def both_ways(data: bytes) -> list[NDArray[np.uint8]]:
    """In one piece, and in strips."""
    facts = read_facts(data)
    strips = open_strips(data, facts)
    return [decode(data, facts=facts).pixels, turn(np.concatenate(list(strips.rows)), strips.orientation)]


def three(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)


def halved(grey: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    return (grey >> (8 - bits)) * np.uint8(255 // (2**bits - 1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(tiled(PICTURE), PICTURE, id="tiles that do not divide the picture"),
        pytest.param(tiled(PICTURE.astype(np.uint16) * 257), PICTURE, id="the same with 16 bits"),
        pytest.param(tiled(GREY.astype(np.uint16) * 257), three(GREY), id="the same in grey with 16 bits"),
        pytest.param(by_vips(GREY, bitdepth=4), three(halved(GREY, 4)), id="grey with 4 bits"),
        pytest.param(by_vips(GREY, bitdepth=2), three(halved(GREY, 2)), id="grey with 2 bits"),
        pytest.param(by_vips(GREY, miniswhite=True), three(GREY), id="grey where white is nought"),
        pytest.param(in_planes(PICTURE), PICTURE, id="the colours one after another"),
        pytest.param(
            np.dstack([255 - PICTURE, np.zeros_like(GREY)]).astype(np.uint16) * 257, PICTURE, id="inks with 16 bits"
        ),
    ],
)
def test_a_tiff_has_the_pixels_that_are_in_it(data: bytes | NDArray[np.uint16], expected: NDArray[np.uint8]):
    if not isinstance(data, bytes):
        data = pyvips.Image.new_from_array(data, interpretation="cmyk").tiffsave_buffer()
    for pixels in both_ways(data):
        assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_in_tiles_is_turned_like_any_other(orientation: int):
    for pixels in both_ways(with_tag(tiled(PICTURE), 274, orientation)):
        np.testing.assert_array_equal(pixels, turn(PICTURE, orientation))


def test_the_first_of_several_pictures_is_taken():
    second = Image.fromarray(255 - PICTURE)
    for pixels in both_ways(saved(PICTURE, save_all=True, append_images=[second])):
        np.testing.assert_array_equal(pixels, PICTURE)


PLAIN = saved(PICTURE)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(with_tag(PLAIN, 259, 34712), "34712", id="JPEG 2000 inside"),
        pytest.param(with_tag(PLAIN, 259, 34925), "34925", id="LZMA inside"),
        pytest.param(with_tag(PLAIN, 259, 9999), "9999", id="what nobody knows inside"),
        pytest.param(with_tag(saved(GREY), 258, 12), "12 bits", id="12 bits"),
        pytest.param(with_tag(PLAIN, 277, 9000), "9000 samples", id="thousands of samples a pixel"),
        pytest.param(saved(PICTURE, "LAB"), "CIELab", id="CIELab"),
        pytest.param(saved(PICTURE, "YCbCr"), "YCbCr", id="YCbCr that is not JPEG's"),
        pytest.param(with_tag(tiled(PICTURE), 284, 2), "each colour", id="tiles for each colour"),
    ],
)
def test_a_tiff_that_is_not_taken_is_told_why(data: bytes, words: str):
    with pytest.raises(UnsupportedImage, match=words):
        decode(data)


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_tiff_is_no_picture_that_is_black_in_part(place: float):
    data = bytearray(saved(photograph(200, 300), **LZW))
    at = int(len(data) * place)
    data[at : at + 60] = np.random.default_rng(3).integers(0, 256, 60, np.uint8).tobytes()
    with pytest.raises(TruncatedImage):
        decode(bytes(data))


@pytest.mark.parametrize("tag", [256, 257, 258, 273, 277, 278, 279, 259, 262])
def test_a_tag_without_a_value_is_refused_with_a_sentence(tag: int):
    data = with_tag(PLAIN, tag, 0, number=0)
    try:
        decode(data, DecodeLimits())
    except (TruncatedImage, UnsupportedImage) as error:
        assert ": " in str(error)  # noqa: PT017 - some of the tags may be missing
