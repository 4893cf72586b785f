"""What a measurement says: one record a crack and the totals of the picture, with the unit in every name.

Made by `measure`, turned into JSON by the HTTP skin, read by inspectors. docs/measurement.md explains each figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Point = tuple[float, float]
Ring = tuple[Point, ...]


class Severity(StrEnum):
    """The severity of a crack in asphalt by its mean width (FHWA-RD-03-031, distress identification manual)."""

    LOW = "Low"  # up to 6 mm
    MODERATE = "Moderate"  # up to 19 mm
    HIGH = "High"  # wider


_LOW_MILLIMETRES: Final = 6.0
_MODERATE_MILLIMETRES: Final = 19.0


def severity_of(mean_width_millimetres: float) -> Severity:
    """The class of a crack of this mean width."""
    if mean_width_millimetres <= _LOW_MILLIMETRES:
        return Severity.LOW
    return Severity.MODERATE if mean_width_millimetres <= _MODERATE_MILLIMETRES else Severity.HIGH


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """The smallest upright box around a crack, in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    def to_dict(self) -> dict[str, int]:
        """As JSON."""
        return {"x": self.x, "y": self.y, "width": self.width, "height": self.height}


@dataclass(frozen=True, slots=True)
class Polygon:
    """A crack's outline: x to the right, y down, in pixels from the picture's upper left corner."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON; rings are open (the first point is not repeated)."""
        return {
            "outer": [list(point) for point in self.outer],
            "holes": [[list(p) for p in ring] for ring in self.holes],
        }


@dataclass(frozen=True, slots=True)
class Crack:
    """One crack: a connected part of the mask."""

    length_pixels: float  # along the centre line, all branches
    mean_width_pixels: float
    maximum_width_pixels: float
    orientation_degrees: (
        float | None
    )  # 0 along the rows, 90 along the columns, anticlockwise, below 180; None: no direction
    area_pixels: int
    branch_count: int
    bounding_box: BoundingBox
    polygon: Polygon
    severity: Severity | None = None  # only where the scale is known

    def to_dict(self, millimetres_per_pixel: float | None = None) -> dict[str, Any]:
        """As JSON; with millimetres beside the pixels where the scale is given."""
        record: dict[str, Any] = {
            "lengthPixels": round(self.length_pixels, 2),
            "meanWidthPixels": round(self.mean_width_pixels, 2),
            "maximumWidthPixels": round(self.maximum_width_pixels, 2),
            "areaPixels": self.area_pixels,
            "orientationDegrees": None if self.orientation_degrees is None else round(self.orientation_degrees, 1),
            "branchCount": self.branch_count,
            "boundingBox": self.bounding_box.to_dict(),
            "polygon": self.polygon.to_dict(),
        }
        if millimetres_per_pixel is not None:
            scale = millimetres_per_pixel
            record |= {
                "lengthMillimetres": _millimetres(self.length_pixels * scale),
                "meanWidthMillimetres": _millimetres(self.mean_width_pixels * scale),
                "maximumWidthMillimetres": _millimetres(self.maximum_width_pixels * scale),
                "areaSquareMillimetres": _millimetres(self.area_pixels * scale * scale),
                "severity": self.severity,
            }
        return record


@dataclass(frozen=True, slots=True)
class Measurements:
    """The cracks of one picture, the longest first, and their totals."""

    width_pixels: int
    height_pixels: int
    millimetres_per_pixel: float | None
    crack_count: int  # all; `cracks` holds the longest ones where there are very many
    total_length_pixels: float
    total_area_pixels: int
    cracks: tuple[Crack, ...]

    @property
    def area_percent(self) -> float:
        """The share of the picture that is crack."""
        return 100.0 * self.total_area_pixels / (self.width_pixels * self.height_pixels)

    @property
    def length_density_per_metre(self) -> float | None:
        """Metres of crack on a square metre, where the scale is known."""
        if self.millimetres_per_pixel is None:
            return None
        per_pixel = self.total_length_pixels / (self.width_pixels * self.height_pixels)
        return per_pixel * 1000.0 / self.millimetres_per_pixel

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain dicts, lists, numbers and strings."""
        scale = self.millimetres_per_pixel
        record: dict[str, Any] = {
            "imageWidthPixels": self.width_pixels,
            "imageHeightPixels": self.height_pixels,
            "millimetresPerPixel": scale,
            "crackCount": self.crack_count,
            "totalLengthPixels": round(self.total_length_pixels, 2),
            "totalAreaPixels": self.total_area_pixels,
            "areaPercent": round(self.area_percent, 4),
        }
        if scale is not None:
            record |= {
                "totalLengthMillimetres": _millimetres(self.total_length_pixels * scale),
                "totalAreaSquareMillimetres": _millimetres(self.total_area_pixels * scale * scale),
                "lengthDensityPerMetre": round(self.length_density_per_metre or 0.0, 4),
            }
        record["cracks"] = [crack.to_dict(scale) for crack in self.cracks]
        return record


def _millimetres(value: float) -> float:
    """Rounded to a micrometre: finer than any photograph."""
    return round(value, 3)
