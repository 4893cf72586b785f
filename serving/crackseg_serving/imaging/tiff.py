"""Read the few tags of a TIFF directory that matter before decoding; EXIF blocks are TIFF files too.

Called by `headers` only. Classic TIFF and BigTIFF, both byte orders.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from crackseg_serving.imaging.errors import TruncatedImage, UnsupportedImage

_WIDTH, _HEIGHT, _BITS, _ORIENTATION, _SAMPLES = 256, 257, 258, 274, 277
_STRIP_OFFSETS, _STRIP_LENGTHS, _SAMPLE_FORMAT = 273, 279, 339
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_COMPRESSION, _PHOTOMETRIC, _ROWS_PER_STRIP, _PLANES = 259, 262, 278, 284
_WANTED: Final = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _ORIENTATION, _SAMPLES, _STRIP_OFFSETS, _STRIP_LENGTHS, _SAMPLE_FORMAT}
    | {_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS}
    | {_COMPRESSION, _PHOTOMETRIC, _ROWS_PER_STRIP, _PLANES}
)
_CODES: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q"}
_MAXIMUM_TAGS: Final = 512
_MAXIMUM_TILE_PIXELS: Final = 1 << 24  # one tile is decoded whole, however small the picture
_UNSIGNED: Final = 1
_DEPTHS: Final = frozenset({1, 2, 4, 8, 16})
_MOST_SAMPLES: Final = 5  # inks and alpha
_COLOURS: Final = frozenset({0, 1, 2, 3, 5})  # grey, RGB, palette, inks
_JPEG, _YCBCR, _IN_PLANES = 7, 6, 2
#: None, fax (three kinds), LZW, JPEG, deflate, PackBits, the older number of deflate, WebP.
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50001})

Tags = dict[int, tuple[int, ...]]


def read_tiff(data: bytes) -> tuple[int, int, int, int]:
    """Width, height and orientation of a TIFF file's first picture, after checking that its pixels are in the file.

    Then the bytes that decoding it takes for its own strips or rows of tiles: two of them.
    Raises TruncatedImage or UnsupportedImage; struct.error where the directory lies beyond the end.
    """
    tags = _first_directory(data)
    width, height = _most(tags, _WIDTH, 0), _most(tags, _HEIGHT, 0)
    _check_samples(tags)
    _check_coding(tags)
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    lengths = tags.get(_STRIP_LENGTHS) or tags.get(_TILE_LENGTHS) or ()
    if not offsets or len(offsets) != len(lengths):
        raise TruncatedImage("the TIFF file does not say where its pixels are, so it is damaged: send the original")
    if max(offset + length for offset, length in zip(offsets, lengths, strict=True)) > len(data):
        raise TruncatedImage("the TIFF file ends before the image does: send the whole file")
    rows = min(_first(tags, _TILE_HEIGHT, _first(tags, _ROWS_PER_STRIP, height)), height)
    held = 2 * width * rows * _first(tags, _SAMPLES, 1) * (2 if _most(tags, _BITS, 1) > 8 else 1)
    return width, height, _valid(tags), held


def _check_samples(tags: Tags) -> None:
    """Refuse samples that are not read as what they are."""
    bits, samples = tags.get(_BITS) or (1,), _first(tags, _SAMPLES, 1)
    if max(bits) > 16 or set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise UnsupportedImage("the TIFF has floating-point, signed or 32-bit samples: send 8 or 16 bits unsigned")
    if not _DEPTHS.issuperset(bits):
        raise UnsupportedImage(f"the TIFF has samples of {max(bits)} bits: send 8 or 16")
    if samples > _MOST_SAMPLES:
        raise UnsupportedImage(f"the TIFF has {samples} samples per pixel: send grey, RGB or CMYK")


def _check_coding(tags: Tags) -> None:
    """Refuse what libvips cannot decode, or would decode to other colours, and say what it is."""
    coding, colours = _first(tags, _COMPRESSION, 1), _first(tags, _PHOTOMETRIC, 1)
    if coding not in _COMPRESSIONS:
        raise UnsupportedImage(
            f"the TIFF has a compression that is not supported (number {coding}): send it uncompressed, or with LZW, deflate or JPEG"
        )
    if colours not in _COLOURS and (coding, colours) != (_JPEG, _YCBCR):
        raise UnsupportedImage("the TIFF has its colours as CIELab, YCbCr or another rare kind: send RGB")
    if _most(tags, _TILE_WIDTH, 0) * _most(tags, _TILE_HEIGHT, 0) > _MAXIMUM_TILE_PIXELS:
        raise UnsupportedImage("the TIFF has tiles of more than 16 megapixels: send it with smaller tiles or in strips")
    if _TILE_WIDTH in tags and _first(tags, _PLANES, 1) == _IN_PLANES:
        raise UnsupportedImage("the TIFF has separate tiles for each colour: send it with the colours interleaved")


def _most(tags: Tags, tag: int, default: int) -> int:
    return max(tags.get(tag) or (default,))


def _first(tags: Tags, tag: int, default: int) -> int:
    return (tags.get(tag) or (default,))[0]


def read_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 where there is none or the block is damaged."""
    try:
        return _valid(_first_directory(exif))
    except (struct.error, IndexError, OverflowError, TruncatedImage):
        return 1


def _valid(tags: Tags) -> int:
    orientation = (tags.get(_ORIENTATION) or (1,))[0]
    return orientation if 1 <= orientation <= 8 else 1


def _first_directory(data: bytes) -> Tags:
    order = "<" if data[:2] == b"II" else ">"
    tags: Tags = {}
    for tag, kind, number, at in _entries(data, order):
        if tag not in _WANTED or kind not in _CODES:
            continue
        if at + number * struct.calcsize("<" + _CODES[kind]) > len(data):
            raise TruncatedImage("the TIFF file ends before its tags do: send the whole file")
        if tag in tags:
            raise TruncatedImage("the TIFF file has a tag twice, so it is damaged: send the original")
        tags[tag] = struct.unpack_from(f"{order}{number}{_CODES[kind]}", data, at)
    return tags


def _entries(data: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, number of values and their place, for each entry of the first directory."""
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    count_code, entry_size, offset_code, inline = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
    start = struct.unpack_from(order + offset_code, data, 8 if big else 4)[0]
    count = struct.unpack_from(order + count_code, data, start)[0]
    if count > _MAXIMUM_TAGS:
        raise TruncatedImage("the TIFF directory has too many tags, so the file is damaged: send the original")
    first = start + struct.calcsize("<" + count_code)
    for entry in range(first, first + count * entry_size, entry_size):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        number = struct.unpack_from(order + offset_code, data, entry + 4)[0]
        size = number * struct.calcsize("<" + _CODES.get(kind, "Q"))
        at = entry + 4 + inline
        if size > inline:
            at = struct.unpack_from(order + offset_code, data, at)[0]
        yield tag, kind, number, at
