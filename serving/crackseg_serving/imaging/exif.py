"""The position of the camera: the GPS directory of a JPEG's EXIF block.

Called by the answers for GeoJSON and JSON. A block that is damaged or has no position gives None, never an error.
https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.6.
"""

from __future__ import annotations

import struct
from typing import Final

from crackseg_serving.values import value

_SEARCHED: Final = 1 << 18  # bytes: an EXIF block comes first in the file
_BEGIN: Final = b"Exif\0\0"
_GPS: Final = 0x8825
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4
_DIRECTION_REF, _DIRECTION = 16, 17
_SIZES: Final = {2: 1, 3: 2, 4: 4, 5: 8}  # text, short, long, rational
_MOST_TAGS: Final = 512

Tags = dict[int, bytes]


@value
class Position:
    """Degrees in WGS 84; the heading clockwise from true north, None where it is unknown or magnetic."""

    latitude: float
    longitude: float
    heading_degrees: float | None

    def to_dict(self) -> dict[str, float | None]:
        """As JSON."""
        return {"latitude": self.latitude, "longitude": self.longitude, "headingDegrees": self.heading_degrees}


def read_position(data: bytes) -> Position | None:
    """The position in a JPEG's EXIF block."""
    start = data.find(_BEGIN, 0, _SEARCHED)
    if start < 0:
        return None
    block = data[start + len(_BEGIN) : start + len(_BEGIN) + (1 << 16)]
    try:
        return _position(block)
    except (struct.error, ZeroDivisionError, KeyError, IndexError, ValueError):
        return None


def _position(block: bytes) -> Position | None:
    order = {b"II": "<", b"MM": ">"}[block[:2]]
    first = _directory(block, order, struct.unpack_from(order + "I", block, 4)[0])
    tags = _directory(block, order, struct.unpack(order + "I", first[_GPS])[0])
    latitude = _degrees(tags[_LATITUDE], order, negative=tags[_LATITUDE_REF][:1] == b"S")
    longitude = _degrees(tags[_LONGITUDE], order, negative=tags[_LONGITUDE_REF][:1] == b"W")
    heading = None
    if _DIRECTION in tags and tags.get(_DIRECTION_REF, b"T")[:1] == b"T":
        (heading,) = _rationals(tags[_DIRECTION], order)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    return Position(latitude, longitude, heading)


def _directory(block: bytes, order: str, start: int) -> Tags:
    """The values of a directory's tags as bytes."""
    (count,) = struct.unpack_from(order + "H", block, start)
    tags: Tags = {}
    for entry in range(start + 2, start + 2 + 12 * min(count, _MOST_TAGS), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", block, entry)
        size = _SIZES.get(kind, 0) * number
        at = entry + 8 if size <= 4 else struct.unpack_from(order + "I", block, entry + 8)[0]
        tags[tag] = block[at : at + size]
    return tags


def _degrees(value: bytes, order: str, *, negative: bool) -> float:
    degrees, minutes, seconds = _rationals(value, order)
    found = degrees + minutes / 60 + seconds / 3600
    return -found if negative else found


def _rationals(value: bytes, order: str) -> list[float]:
    figures = struct.unpack(f"{order}{len(value) // 4}I", value)
    return [above / below for above, below in zip(figures[::2], figures[1::2], strict=True)]
