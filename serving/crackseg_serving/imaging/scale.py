"""The size of a pixel in millimetres, its uncertainty, and where it comes from.

Made from what the sender gives, or by `markers`; used by the measurements. docs/measurement.md explains the errors.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Final

from crackseg_serving.values import value

#: The error of a point that a person has set at the end of a known distance, in pixels.
_POINT_ERROR_PIXELS: Final = 1.0
#: A known distance must be at least this long: at 20 pixels its two points alone cause an error of 10 %.
_SHORTEST_REFERENCE_PIXELS: Final = 20.0
#: Millimetres per pixel: beyond these are typing errors, and areas that overflow.
_SMALLEST, _LARGEST = 1e-12, 1e6


class ScaleSource(StrEnum):
    """Where a scale comes from."""

    GIVEN = "Given"  # the sender gives the size of a pixel
    REFERENCE = "Reference"  # the sender gives the distance of two points
    MARKER = "Marker"  # markers of known size lie in the image


@value
class Marker:
    """A card found in the picture."""

    number: int  # which marker of its family it is
    corners: tuple[tuple[float, float], ...]  # four, x and y in pixels from the picture's upper left corner
    millimetres_per_pixel: float
    error_percent: float  # of its scale: of its corners, and of its tilt

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "number": self.number,
            "corners": [[round(x, 1), round(y, 1)] for x, y in self.corners],
            "millimetresPerPixel": round(self.millimetres_per_pixel, 6),
            "errorPercent": round(self.error_percent, 2),
        }


@value
class Scale:
    """Millimetres per pixel."""

    millimetres_per_pixel: float
    error_percent: float = 0.0  # by how much it may be off, either way
    source: ScaleSource = ScaleSource.GIVEN
    markers: tuple[Marker, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError if a value is out of range."""
        if not _SMALLEST <= self.millimetres_per_pixel <= _LARGEST:
            raise ValueError(
                f"millimetres per pixel must be from {_SMALLEST:g} to {_LARGEST:g}, not {self.millimetres_per_pixel}"
            )
        if not 0 <= self.error_percent < 100:
            raise ValueError(f"the error of a scale is a percentage from 0 to below 100, not {self.error_percent}")

    def length(self, pixels: float) -> float:
        """A length in millimetres."""
        return pixels * self.millimetres_per_pixel

    def length_error(self, pixels: float, error: float) -> float:
        """The error in millimetres of a length of so many pixels with an error of `error` pixels."""
        return self.length((pixels + error) * (1 + self.error_percent / 100) - pixels)

    def area(self, pixels: float) -> float:
        """An area in square millimetres."""
        return pixels * self.millimetres_per_pixel**2

    def area_error(self, pixels: float, error: float) -> float:
        """The error in square millimetres of an area of so many pixels with an error of `error` pixels."""
        return self.area((pixels + error) * (1 + self.error_percent / 100) ** 2 - pixels)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        record: dict[str, Any] = {
            "millimetresPerPixel": self.millimetres_per_pixel,
            "errorPercent": round(self.error_percent, 2),
            "source": self.source,
        }
        return record | {"markers": [marker.to_dict() for marker in self.markers]} if self.markers else record


def scale_of_reference(
    ends: tuple[float, float, float, float], millimetres: float, error_percent: float = 0.0
) -> Scale:
    """The scale by two points `x1, y1, x2, y2` that lie `millimetres` apart, known to `error_percent`. Raises ValueError."""
    pixels = math.hypot(ends[2] - ends[0], ends[3] - ends[1])
    if not pixels >= _SHORTEST_REFERENCE_PIXELS:
        raise ValueError(
            f"the two points are {pixels:.1f} pixels apart, but must be at least {_SHORTEST_REFERENCE_PIXELS:.0f}, better some "
            "hundreds"
        )
    own = 100 * 2 * _POINT_ERROR_PIXELS / pixels
    return Scale(millimetres / pixels, own + error_percent, ScaleSource.REFERENCE)
