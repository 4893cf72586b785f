"""Cracks as GeoJSON (RFC 7946) for maps: a collection with one feature per crack.

Called by the answers. The format knows only longitude and latitude, which most images lack, so a foreign member `placement` says what
the coordinates are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from crackseg_serving.imaging.exif import Position
from crackseg_serving.imaging.measurements import Crack, Measurements, Ring
from crackseg_serving.imaging.placement import Placement
from crackseg_serving.imaging.scale import Scale


def to_geojson(measured: Measurements, placement: Placement, position: Position | None = None) -> dict[str, Any]:
    """The cracks with their figures, placed by `placement`; the camera's `position` where it is known."""
    return {
        "type": "FeatureCollection",
        "placement": {"kind": placement.kind, "note": placement.note},
        "cameraPosition": position and position.to_dict(),
        "features": [
            _feature(number, crack, measured.scale, placement) for number, crack in enumerate(measured.cracks, 1)
        ],
    }


def _feature(number: int, crack: Crack, scale: Scale | None, placement: Placement) -> dict[str, Any]:
    figures = crack.to_dict(scale)
    del figures["polygon"]
    outer = _closed(crack.polygon.outer, placement, anticlockwise=True)
    holes = (_closed(hole, placement, anticlockwise=False) for hole in crack.polygon.holes)
    return {
        "type": "Feature",
        "id": number,
        "geometry": {"type": "Polygon", "coordinates": [outer, *holes]},
        "properties": figures,
    }


def _closed(ring: Ring, placement: Placement, *, anticlockwise: bool) -> list[list[float]]:
    """A ring with its first point repeated, the right way round for the axes that it is drawn in."""
    points = [placement.place(point) for point in ring]
    points.append(points[0])
    left, top = points[0]  # large coordinates would drown a crack's area
    near = [(x - left, y - top) for x, y in points]
    twice = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(near))
    return points if (twice > 0) == anticlockwise else points[::-1]
