"""What a measurement says: one record a crack and the totals of the picture, with the unit in every name.

Made by `measure`, turned into JSON by the HTTP skin, read by inspectors. docs/measurement.md explains each figure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from crackseg_serving.imaging.scale import Scale
from crackseg_serving.values import value

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


@value
class BoundingBox:
    """The smallest upright box around a crack, in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    def to_dict(self) -> dict[str, int]:
        """As JSON."""
        return {"x": self.x, "y": self.y, "width": self.width, "height": self.height}


@value
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


@value
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
    length_error_pixels: float = 0.0  # by how much a figure may be off (`bounds`)
    width_error_pixels: float = 0.0  # of the mean and of the maximum
    area_error_pixels: float = 0.0

    def to_dict(self, scale: Scale | None = None) -> dict[str, Any]:
        """As JSON; with millimetres beside the pixels where the scale is known."""
        record: dict[str, Any] = {
            "lengthPixels": round(self.length_pixels, 2),
            "lengthErrorPixels": round(self.length_error_pixels, 2),
            "meanWidthPixels": round(self.mean_width_pixels, 2),
            "meanWidthErrorPixels": round(self.width_error_pixels, 2),
            "maximumWidthPixels": round(self.maximum_width_pixels, 2),
            "maximumWidthErrorPixels": round(self.width_error_pixels, 2),
            "areaPixels": self.area_pixels,
            "areaErrorPixels": round(self.area_error_pixels, 2),
            "orientationDegrees": None if self.orientation_degrees is None else round(self.orientation_degrees, 1),
            "branchCount": self.branch_count,
            "boundingBox": self.bounding_box.to_dict(),
            "polygon": self.polygon.to_dict(),
        }
        if scale is not None:
            record |= _in_millimetres("length", scale, self.length_pixels, self.length_error_pixels)
            record |= _in_millimetres("meanWidth", scale, self.mean_width_pixels, self.width_error_pixels)
            record |= _in_millimetres("maximumWidth", scale, self.maximum_width_pixels, self.width_error_pixels)
            record |= _in_square_millimetres("area", scale, self.area_pixels, self.area_error_pixels)
            record["severity"] = self.severity
        return record


@value
class Measurements:
    """The cracks of one picture, the longest first, and their totals."""

    width_pixels: int
    height_pixels: int
    scale: Scale | None
    crack_count: int  # all; `cracks` holds the longest ones where there are very many
    total_length_pixels: float
    total_area_pixels: int
    cracks: tuple[Crack, ...]
    total_length_error_pixels: float = 0.0
    total_area_error_pixels: float = 0.0

    @property
    def area_percent(self) -> float:
        """The share of the picture that is crack."""
        return 100.0 * self.total_area_pixels / (self.width_pixels * self.height_pixels)

    @property
    def length_density_per_metre(self) -> float | None:
        """Metres of crack on a square metre, where the scale is known."""
        return (
            None if self.scale is None else self._per_metre(self.total_length_pixels, self.scale.millimetres_per_pixel)
        )

    @property
    def length_density_error_per_metre(self) -> float | None:
        """By how much the density may be off."""
        if self.scale is None:
            return None
        finest = self.scale.millimetres_per_pixel * (1 - self.scale.error_percent / 100)
        most = self._per_metre(self.total_length_pixels + self.total_length_error_pixels, finest)
        return most - (self.length_density_per_metre or 0.0)

    def _per_metre(self, length_pixels: float, millimetres_per_pixel: float) -> float:
        return length_pixels / (self.width_pixels * self.height_pixels) * 1000.0 / millimetres_per_pixel

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain dicts, lists, numbers and strings."""
        scale = self.scale
        record: dict[str, Any] = {
            "imageWidthPixels": self.width_pixels,
            "imageHeightPixels": self.height_pixels,
            "millimetresPerPixel": None if scale is None else scale.millimetres_per_pixel,
            "scale": None if scale is None else scale.to_dict(),
            "crackCount": self.crack_count,
            "totalLengthPixels": round(self.total_length_pixels, 2),
            "totalLengthErrorPixels": round(self.total_length_error_pixels, 2),
            "totalAreaPixels": self.total_area_pixels,
            "totalAreaErrorPixels": round(self.total_area_error_pixels, 2),
            "areaPercent": round(self.area_percent, 4),
        }
        if scale is not None:
            record |= _in_millimetres("totalLength", scale, self.total_length_pixels, self.total_length_error_pixels)
            record |= _in_square_millimetres("totalArea", scale, self.total_area_pixels, self.total_area_error_pixels)
            record["lengthDensityPerMetre"] = round(self.length_density_per_metre or 0.0, 4)
            record["lengthDensityErrorPerMetre"] = round(self.length_density_error_per_metre or 0.0, 4)
        record["cracks"] = [crack.to_dict(scale) for crack in self.cracks]
        return record


def _in_millimetres(name: str, scale: Scale, pixels: float, error: float) -> dict[str, float]:
    """A length and its error, rounded to a micrometre: finer than any photograph."""
    return {
        f"{name}Millimetres": round(scale.length(pixels), 3),
        f"{name}ErrorMillimetres": round(scale.length_error(pixels, error), 3),
    }


def _in_square_millimetres(name: str, scale: Scale, pixels: float, error: float) -> dict[str, float]:
    return {
        f"{name}SquareMillimetres": round(scale.area(pixels), 3),
        f"{name}ErrorSquareMillimetres": round(scale.area_error(pixels, error), 3),
    }
