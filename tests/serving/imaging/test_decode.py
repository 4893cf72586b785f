"""What comes in as a file comes out as the picture that a person sees."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.serving.imaging.drawing import photograph

from crackseg_serving.imaging import (
    DecodeLimits,
    ImageFacts,
    NotAnImage,
    TooManyPixels,
    TruncatedImage,
    UnsupportedImage,
    decode,
    read_facts,
)

pytestmark = pytest.mark.serving

PICTURE = photograph()
HEIGHT, WIDTH = PICTURE.shape[:2]
GREY = PICTURE[..., 1]
EXACT, LOSSY = 0.0, 6.0  # mean difference of a sample


def saved(image: Image.Image | NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def by_opencv(suffix: str, picture: NDArray[Any], *options: int) -> bytes:
    done, data = cv2.imencode(suffix, picture[..., ::-1] if picture.ndim == 3 else picture, options)
    assert done
    return data.tobytes()


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHH", 8, 1, 274, 3, 1, orientation, 0) + b"\0\0\0\0"


def three(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)


def masked_bmp(*masks: int) -> bytes:
    """32 bits a pixel, blue first, whatever the masks say."""
    pixels = np.dstack([PICTURE[::-1, :, ::-1], np.zeros((HEIGHT, WIDTH), np.uint8)]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 66 + len(pixels), 0, 0, 66) + head + struct.pack("<III", *masks) + pixels


PIL_PICTURE = Image.fromarray(PICTURE)
ALPHA = np.dstack([PICTURE, GREY])
GREY_ALPHA = Image.fromarray(np.dstack([GREY, GREY[::-1]]))
PALETTE = PIL_PICTURE.quantize(64)

FILES = [
    pytest.param(saved(PICTURE, "JPEG", quality=95), "JPEG", PICTURE, LOSSY, id="JPEG"),
    pytest.param(saved(PICTURE, "JPEG", quality=95, progressive=True), "JPEG", PICTURE, LOSSY, id="progressive JPEG"),
    pytest.param(saved(GREY, "JPEG", quality=95), "JPEG", three(GREY), LOSSY, id="grey JPEG"),
    pytest.param(saved(PIL_PICTURE.convert("CMYK"), "JPEG", quality=95), "JPEG", PICTURE, LOSSY, id="CMYK JPEG"),
    pytest.param(
        by_opencv(".jpg", PICTURE, cv2.IMWRITE_JPEG_RST_INTERVAL, 3), "JPEG", PICTURE, LOSSY, id="JPEG with restarts"
    ),
    pytest.param(
        saved(PICTURE, "JPEG", quality=95) + b"trailer of a camera", "JPEG", PICTURE, LOSSY, id="JPEG with a trailer"
    ),
    pytest.param(saved(PICTURE, "PNG"), "PNG", PICTURE, EXACT, id="PNG"),
    pytest.param(saved(GREY, "PNG"), "PNG", three(GREY), EXACT, id="grey PNG"),
    pytest.param(saved(ALPHA, "PNG"), "PNG", PICTURE, EXACT, id="PNG with alpha, which is dropped"),
    pytest.param(by_opencv(".png", PICTURE.astype(np.uint16) * 257), "PNG", PICTURE, EXACT, id="16-bit PNG"),
    pytest.param(by_opencv(".png", GREY.astype(np.uint16) * 257), "PNG", three(GREY), EXACT, id="16-bit grey PNG"),
    pytest.param(
        saved(PIL_PICTURE.quantize(64), "PNG"),
        "PNG",
        np.asarray(PIL_PICTURE.quantize(64).convert("RGB")),
        EXACT,
        id="PNG with a palette",
    ),
    pytest.param(
        saved(Image.fromarray(GREY).convert("1"), "PNG"),
        "PNG",
        np.asarray(Image.fromarray(GREY).convert("1").convert("RGB")),
        EXACT,
        id="one-bit PNG",
    ),
    pytest.param(saved(PICTURE, "TIFF"), "TIFF", PICTURE, EXACT, id="TIFF"),
    pytest.param(saved(PICTURE, "TIFF", compression="tiff_lzw"), "TIFF", PICTURE, EXACT, id="TIFF, LZW"),
    pytest.param(saved(PICTURE, "TIFF", compression="tiff_adobe_deflate"), "TIFF", PICTURE, EXACT, id="TIFF, deflate"),
    pytest.param(saved(PICTURE, "TIFF", big_tiff=True), "TIFF", PICTURE, EXACT, id="BigTIFF"),
    pytest.param(by_opencv(".tiff", GREY.astype(np.uint16) * 257), "TIFF", three(GREY), EXACT, id="16-bit grey TIFF"),
    pytest.param(by_opencv(".tiff", PICTURE.astype(np.uint16) * 257), "TIFF", PICTURE, EXACT, id="16-bit TIFF"),
    pytest.param(saved(ALPHA, "TIFF"), "TIFF", PICTURE, EXACT, id="TIFF with alpha, which is dropped"),
    pytest.param(saved(GREY_ALPHA, "TIFF"), "TIFF", three(GREY), EXACT, id="grey TIFF with alpha"),
    pytest.param(saved(PALETTE, "TIFF"), "TIFF", np.asarray(PALETTE.convert("RGB")), EXACT, id="TIFF with a palette"),
    pytest.param(saved(PIL_PICTURE.convert("CMYK"), "TIFF"), "TIFF", PICTURE, EXACT, id="CMYK TIFF"),
    pytest.param(saved(PICTURE, "TIFF", compression="jpeg"), "TIFF", PICTURE, LOSSY, id="TIFF, JPEG inside"),
    pytest.param(saved(GREY_ALPHA, "PNG"), "PNG", three(GREY), EXACT, id="grey PNG with alpha"),
    pytest.param(
        saved(PALETTE, "PNG", transparency=3),
        "PNG",
        np.asarray(PALETTE.convert("RGB")),
        EXACT,
        id="PNG with a palette and a transparent colour",
    ),
    pytest.param(
        saved(PIL_PICTURE.convert("CMYK"), "JPEG", quality=95, progressive=True),
        "JPEG",
        PICTURE,
        LOSSY,
        id="progressive CMYK JPEG",
    ),
    pytest.param(saved(PICTURE, "WEBP", quality=95), "WebP", PICTURE, LOSSY, id="WebP"),
    pytest.param(saved(PICTURE, "WEBP", lossless=True), "WebP", PICTURE, EXACT, id="lossless WebP"),
    pytest.param(saved(ALPHA, "WEBP", lossless=True, exact=True), "WebP", PICTURE, EXACT, id="WebP with alpha"),
    pytest.param(saved(PICTURE, "BMP"), "BMP", PICTURE, EXACT, id="BMP"),
    pytest.param(saved(GREY, "BMP"), "BMP", three(GREY), EXACT, id="BMP with a palette"),
    pytest.param(
        masked_bmp(0xFF0000, 0xFF00, 0xFF), "BMP", PICTURE, EXACT, id="BMP that says where its colours are in a pixel"
    ),
]


@pytest.mark.parametrize(("data", "kind", "expected", "tolerance"), FILES)
def test_a_picture_is_decoded_to_rgb(data: bytes, kind: str, expected: NDArray[np.uint8], tolerance: float):
    decoded = decode(data)
    assert decoded.facts == read_facts(data) == ImageFacts(kind, WIDTH, HEIGHT, 1)
    assert (decoded.pixels.shape, decoded.pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert decoded.pixels.flags.c_contiguous
    assert np.abs(decoded.pixels.astype(int) - expected).mean() <= tolerance


TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda picture: picture,
    2: np.fliplr,
    3: lambda picture: np.rot90(picture, 2),
    4: np.flipud,
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_orientation_is_applied_and_told(kind: str, orientation: int):
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif(orientation)}
    plain = decode(saved(PICTURE, kind)).pixels
    turned = decode(saved(PICTURE, kind, **options))
    assert turned.facts.orientation == orientation
    assert (turned.facts.width, turned.facts.height) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(turned.pixels, TURNS[orientation](plain))


def test_a_damaged_exif_block_is_no_reason_to_refuse_a_picture():
    data = saved(PICTURE, "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert read_facts(data).orientation == 1


def test_a_thumbnail_inside_is_not_taken_for_the_picture():
    thumbnail = saved(photograph(20, 30), "JPEG")
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = saved(PICTURE, "JPEG")
    assert read_facts(data[:2] + segment + data[2:]) == ImageFacts("JPEG", WIDTH, HEIGHT)
    with pytest.raises(TruncatedImage):
        decode((data[:2] + segment + data[2:])[: len(segment) + len(data) // 2])


@pytest.mark.parametrize("form", [bytearray, memoryview], ids=["bytearray", "memoryview"])
def test_any_buffer_is_taken(form: Callable[[bytes], bytearray | memoryview]):
    assert decode(form(saved(PICTURE, "PNG"))).pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(b"", NotAnImage, "empty", id="nothing"),
        pytest.param(b"hello, world", NotAnImage, "not an image", id="text"),
        pytest.param(b"\0" * 4096, NotAnImage, "not an image", id="zeros"),
        pytest.param(saved(PICTURE, "GIF"), UnsupportedImage, "GIF", id="GIF"),
        pytest.param(b"%PDF-1.7\n%", UnsupportedImage, "PDF", id="PDF"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", UnsupportedImage, "HEIC", id="HEIC, as telephones write it"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedImage, "SVG", id="SVG"),
        pytest.param(masked_bmp(0xFF, 0xFF00, 0xFF0000), UnsupportedImage, "order", id="BMP with red and blue the other way"),
        pytest.param(by_opencv(".tiff", PICTURE.astype(np.float32)), UnsupportedImage, "floating", id="floating-point TIFF"),
        pytest.param(saved(PICTURE, "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), UnsupportedImage, "lossless", id="lossless JPEG"),
        pytest.param(saved(PICTURE, "JPEG").replace(b"\xff\xc0", b"\xff\xf7", 1), UnsupportedImage, "lossless", id="JPEG-LS"),
        pytest.param(saved(PICTURE, "WEBP", save_all=True, append_images=[PIL_PICTURE.rotate(90)]), UnsupportedImage, "animated", id="animated WebP"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_refused_with_the_reason(data: bytes, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        decode(data)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("TIFF", {}), ("WEBP", {}), ("BMP", {})])  # fmt: skip
def test_a_file_that_ends_early_is_truncated(kind: str, options: dict[str, Any], share: float):
    data = saved(PICTURE, kind, **options)
    with pytest.raises(TruncatedImage):
        decode(data[: int(len(data) * share)])


def test_a_jpeg_without_its_end_marker_is_truncated():
    data = saved(PICTURE, "JPEG")
    with pytest.raises(TruncatedImage, match="ends before"):
        decode(data[:-2])


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that promises this size in its header and brings one row."""
    data = bytearray(saved(PICTURE, "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize(("width", "height"), [(65_000, 65_000), (100_000, 10), (10, 2_000_000_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int):
    with pytest.raises(TooManyPixels, match=f"{width} x {height}") as caught:
        decode(png_of_size(width, height))
    assert (caught.value.width, caught.value.height) == (width, height)


def test_the_limit_itself_is_allowed():
    data = saved(PICTURE, "JPEG")
    assert decode(data, DecodeLimits(max_pixels=WIDTH * HEIGHT)).pixels.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(TooManyPixels):
        decode(data, DecodeLimits(max_pixels=WIDTH * HEIGHT - 1))
    with pytest.raises(TooManyPixels):
        decode(data, DecodeLimits(max_side=WIDTH - 1))


def test_a_tiff_with_a_giant_tile_is_refused_before_it_is_allocated():
    tags = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), (322, 4, 60_000), (323, 4, 60_000), (324, 4, 8), (325, 4, 8)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0"
    with pytest.raises(UnsupportedImage, match="tiles"):
        decode(data)
