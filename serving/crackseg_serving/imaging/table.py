"""Measurements as a table: CSV (RFC 4180) with one row per crack, for spreadsheets.

Called by the answers. The units are in the names of the columns; unknown values are empty.
"""

from __future__ import annotations

import csv
import io
from typing import Final

from crackseg_serving.imaging.measurements import Measurements

_PIXELS: Final = (
    "lengthPixels",
    "lengthErrorPixels",
    "meanWidthPixels",
    "meanWidthErrorPixels",
    "maximumWidthPixels",
    "maximumWidthErrorPixels",
    "areaPixels",
    "areaErrorPixels",
    "orientationDegrees",
    "branchCount",
)
_BOX: Final = ("x", "y", "width", "height")
_MILLIMETRES: Final = (
    "lengthMillimetres",
    "lengthErrorMillimetres",
    "meanWidthMillimetres",
    "meanWidthErrorMillimetres",
    "maximumWidthMillimetres",
    "maximumWidthErrorMillimetres",
    "areaSquareMillimetres",
    "areaErrorSquareMillimetres",
    "severity",
)


def to_csv(measured: Measurements) -> str:
    """A header row, then the cracks, the longest first; columns of millimetres only where the scale is known."""
    scale = measured.scale
    known = () if scale is None else _MILLIMETRES
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["crack", *_PIXELS, *(f"box{side.capitalize()}Pixels" for side in _BOX), *known])
    for number, crack in enumerate(measured.cracks, 1):
        record = crack.to_dict(scale)
        box = (record["boundingBox"][side] for side in _BOX)
        rows.writerow([number, *(record[name] for name in _PIXELS), *box, *(record[name] for name in known)])
    return text.getvalue()
