"""Pictures that come strip by strip have the pixels that they have in one piece; what cannot come so says what it takes."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.serving.imaging.drawing import photograph
from tests.serving.imaging.test_corrupt import LIMITS, damaged_files

from crackseg_serving.imaging import (
    BitMask,
    ImageError,
    RowThreshold,
    TruncatedImage,
    decode,
    held_bytes,
    in_tile_rows,
    mask_png,
    open_strips,
    plan_tiles,
    read_facts,
    threshold,
    to_rle,
    turn,
)

pytestmark = pytest.mark.serving

HEIGHT, WIDTH = 130, 171
PIXELS = HEIGHT * WIDTH


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photograph(HEIGHT, WIDTH)).convert(mode).save(file, kind, **options)
    return file.getvalue()


def of_16_bits(suffix: str) -> bytes:
    return cv2.imencode(suffix, photograph(HEIGHT, WIDTH).astype(np.uint16) * 257)[1].tobytes()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved("JPEG"), id="JPEG"),
        pytest.param(saved("JPEG", "L"), id="grey JPEG"),
        pytest.param(saved("JPEG", "CMYK"), id="JPEG of inks"),
        pytest.param(saved("JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(saved("PNG"), id="PNG"),
        pytest.param(saved("PNG", "P"), id="PNG with a palette"),
        pytest.param(saved("PNG", "LA"), id="grey PNG with alpha"),
        pytest.param(saved("PNG", "RGBA"), id="PNG with alpha"),
        pytest.param(of_16_bits(".png"), id="PNG of 16 bits"),
        pytest.param(saved("TIFF"), id="TIFF"),
        pytest.param(saved("TIFF", compression="tiff_lzw"), id="TIFF by LZW"),
        pytest.param(saved("TIFF", compression="jpeg"), id="TIFF by JPEG"),
        pytest.param(saved("TIFF", "1", compression="group4"), id="TIFF of one bit"),
        pytest.param(saved("TIFF", "RGBA"), id="TIFF with alpha"),
        pytest.param(saved("TIFF", "CMYK"), id="TIFF of inks"),
        pytest.param(of_16_bits(".tiff"), id="TIFF of 16 bits"),
        pytest.param(saved("WEBP"), id="WebP: in one piece"),
        pytest.param(saved("BMP"), id="BMP: in one piece"),
    ],
)
def test_strips_are_the_picture(data: bytes):
    strips = open_strips(data, read_facts(data))
    pixels = np.concatenate(list(strips.rows))
    assert pixels.shape == (strips.height, strips.width, 3)
    assert np.abs(pixels.astype(int) - decode(data).pixels).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_turned_picture_comes_as_its_file_has_it_and_says_so(kind: str, orientation: int):
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(kind, exif=exif)
    strips = open_strips(data, read_facts(data))
    pixels = turn(np.concatenate(list(strips.rows)), strips.orientation)
    assert np.abs(pixels.astype(int) - decode(data).pixels).max() <= 1


@pytest.mark.parametrize(
    ("data", "held"),
    [
        pytest.param(saved("JPEG"), 0, id="JPEG"),
        pytest.param(saved("JPEG", progressive=True, subsampling=0), 6 * PIXELS, id="all coefficients"),
        pytest.param(saved("JPEG", progressive=True, subsampling=2), 3 * PIXELS, id="fewer of the colours"),
        pytest.param(saved("PNG"), 0, id="PNG"),
        pytest.param(
            saved("TIFF", compression="tiff_lzw", tiffinfo={278: 10}), 2 * 10 * WIDTH * 3, id="two of its strips"
        ),
        pytest.param(saved("WEBP"), 12 * PIXELS, id="WebP"),
        pytest.param(saved("BMP"), 12 * PIXELS, id="BMP"),
    ],
)
def test_what_a_decoder_holds_is_known_before(data: bytes, held: int):
    assert held_bytes(read_facts(data)) == held


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_file_whose_pixels_end_early_is_told_of(kind: str):
    data = bytearray(saved(kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {})))
    middle = len(data) // 2
    data[middle:-12] = bytes(len(data) - 12 - middle)
    with pytest.raises(TruncatedImage):
        list(open_strips(bytes(data), read_facts(bytes(data))).rows)


@settings(max_examples=300, deadline=None)
@given(damaged_files())
def test_a_damaged_file_gives_strips_or_a_sentence(data: bytes):
    expected, rows = 0, 0
    try:
        facts = read_facts(data)
        if facts.width * facts.height <= LIMITS.max_pixels:
            strips = open_strips(data, facts)
            expected, rows = strips.height, sum(len(strip) for strip in strips.rows)
    except ImageError as error:
        sentence = str(error)
    else:
        sentence = ""
    assert rows == expected or ": " in sentence, "what is wrong, and what to do"


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 40), st.integers(0, 20), st.integers(1, 50))
def test_rows_of_tiles_are_cut_from_strips_of_any_height(height: int, width: int, size: int, overlap: int, strip: int):
    picture = photograph(height, width)
    plan = plan_tiles(height, width, size=size, overlap=overlap)
    strips = (picture[top : top + strip] for top in range(0, height, strip))
    for top, pixels in zip(plan.tops, in_tile_rows(strips, plan), strict=True):
        np.testing.assert_array_equal(pixels, picture[top : top + plan.tile_height])


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_rows_are_thresholded_as_a_whole_map_is(height: int, width: int, seed: int, step: int):
    noise = np.random.default_rng(seed)
    image = cv2.GaussianBlur(noise.integers(0, 256, (height, width), dtype=np.uint8), (3, 5), 0)
    rows = RowThreshold((height, width), 52)
    parts = [rows.add(image[top : top + step]) for top in range(0, height, step)]
    np.testing.assert_array_equal(np.concatenate([*parts, rows.finish()]), threshold(image, 52))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 600), st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_a_mask_of_bits_is_the_mask(height: int, width: int, seed: int, orientation: int):
    mask = (np.random.default_rng(seed).random((height, width)) < 0.3).astype(np.uint8) * 255
    bits = BitMask(height, width)
    for top in range(0, height, 7):
        bits.append(mask[top : top + 7])
    upright = np.ascontiguousarray(turn(mask, orientation))
    turned = bits.turned(orientation)
    assert mask_png(turned) == mask_png(upright)
    assert to_rle(turned) == to_rle(upright)
    decoded = cv2.imdecode(np.frombuffer(mask_png(turned), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(decoded, upright)
