"""Measurements of an image as stored in its file, converted to the image as a person sees it.

Called by `large`, whose pixels come in the file's order and are never turned. `decode.turn` does the same to pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from crackseg_serving.imaging.measurements import BoundingBox, Crack, Measurements, Polygon, Ring

#: By EXIF's orientation: whether x and y change places, and which of the old two runs backwards.
_SWAPPED: Final = frozenset({5, 6, 7, 8})
_X_BACKWARDS: Final = frozenset({2, 3, 7, 8})
_Y_BACKWARDS: Final = frozenset({3, 4, 6, 7})


def turned(measured: Measurements, orientation: int) -> Measurements:
    """`measured` with the orientation applied."""
    if orientation == 1:
        return measured
    width, height = measured.width_pixels, measured.height_pixels
    swapped = orientation in _SWAPPED

    def place(x: float, y: float) -> tuple[float, float]:
        x = width - x if orientation in _X_BACKWARDS else x
        y = height - y if orientation in _Y_BACKWARDS else y
        return (y, x) if swapped else (x, y)

    sides = (height, width) if swapped else (width, height)
    cracks = tuple(_turned(crack, orientation, place) for crack in measured.cracks)
    return replace(measured, width_pixels=sides[0], height_pixels=sides[1], cracks=cracks)


def _turned(crack: Crack, orientation: int, place: Callable[[float, float], tuple[float, float]]) -> Crack:
    box, polygon = crack.bounding_box, crack.polygon
    corners = sorted((place(box.x, box.y), place(box.x + box.width, box.y + box.height)))
    left, right = sorted(int(x) for x, _ in corners)
    top, bottom = sorted(int(y) for _, y in corners)

    def ring(points: Ring) -> Ring:
        return tuple((round(x, 1), round(y, 1)) for x, y in (place(*point) for point in points))

    return replace(
        crack,
        orientation_degrees=_angle(crack.orientation_degrees, orientation),
        bounding_box=BoundingBox(left, top, right - left, bottom - top),
        polygon=Polygon(ring(polygon.outer), tuple(ring(hole) for hole in polygon.holes)),
    )


def _angle(degrees: float | None, orientation: int) -> float | None:
    """Mirrored once, an angle turns its sense; turned by a quarter, it begins elsewhere."""
    if degrees is None:
        return None
    sense = -1 if orientation in {2, 4, 5, 7} else 1
    return (sense * degrees + (90 if orientation in _SWAPPED else 0)) % 180.0
