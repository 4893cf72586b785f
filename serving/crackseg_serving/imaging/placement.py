"""Where an image lies on the earth, as far as its sender or its camera says.

Called by the answers for GeoJSON and JSON. A world file places every pixel in a coordinate system that it does not name. EXIF gives the
camera's position; more follows from it only with a heading and a scale.
"""

from __future__ import annotations

import math
from typing import Final

from crackseg_serving.imaging.exif import Position
from crackseg_serving.imaging.measurements import Point
from crackseg_serving.values import value

_METRES_A_DEGREE: Final = 111_320.0  # of latitude, on a sphere: half a percent off at worst
_NEAR_A_POLE: Final = 89.0


@value
class Placement:
    """An affine map from pixels (x to the right, y down, from the upper left corner) to coordinates."""

    kind: str  # pixels | worldFile | camera
    note: str  # what the coordinates are, for the person who reads them
    x: tuple[float, float, float]  # a column's, a row's and the corner's part of the first coordinate
    y: tuple[float, float, float]
    decimals: int | None = 1  # how finely coordinates are written; None: as computed

    def place(self, point: Point) -> list[float]:
        """The coordinates of a point of the picture."""
        column, row = point
        both = [part[0] * column + part[1] * row + part[2] for part in (self.x, self.y)]
        return both if self.decimals is None else [round(each, self.decimals) for each in both]


PIXELS: Final = Placement(
    "pixels",
    "pixels from the upper left corner of the image, x to the right, y down; not longitude and latitude, because the image came "
    "without a world file, and without position, heading and scale",
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
)


def read_world_file(text: str) -> Placement:
    """The placement that a world file says: six numbers on lines of their own, or separated by commas or spaces.

    They are, in the file's order, A, D, B, E, C, F: the middle of the pixel in column c and row r lies at
    (A c + B r + C, D c + E r + F). Raises ValueError.
    """
    try:
        figures = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        figures = []
    if len(figures) != 6 or not all(math.isfinite(figure) for figure in figures):
        raise ValueError("the world file must have six numbers: A, D, B, E, C, F")
    a, d, b, e, c, f = figures
    if a * e == b * d:
        raise ValueError("the world file maps all pixels onto one line: A x E - B x D is 0")
    note = "in the coordinate system of the world file, which does not name it"
    return Placement("worldFile", note, (a, b, c - (a + b) / 2), (d, e, f - (d + e) / 2), None)


def from_camera(position: Position, size: tuple[int, int], millimetres_per_pixel: float | None) -> Placement | None:
    """Longitude and latitude for a camera that looks straight down; None where heading or scale are unknown.

    The middle of the picture (`size`: height, width) is taken to lie at the camera's position, and the upper edge to face its
    heading. On a few metres the earth is flat.
    """
    heading = position.heading_degrees
    if heading is None or millimetres_per_pixel is None or abs(position.latitude) > _NEAR_A_POLE:
        return None
    north = millimetres_per_pixel / 1000 / _METRES_A_DEGREE
    east = north / math.cos(math.radians(position.latitude))
    sine, cosine = math.sin(math.radians(heading)), math.cos(math.radians(heading))
    row, column = size[0] / 2, size[1] / 2
    x = (east * cosine, -east * sine)
    y = (-north * sine, -north * cosine)
    note = (
        "longitude and latitude (WGS 84), if the camera looked straight down and the image's upper edge faces its heading: "
        "the centre lies at the EXIF position, the rest follows from millimetresPerPixel; as exact as that position"
    )
    return Placement(
        "camera",
        note,
        (*x, position.longitude - x[0] * column - x[1] * row),
        (*y, position.latitude - y[0] * column - y[1] * row),
        9,
    )
