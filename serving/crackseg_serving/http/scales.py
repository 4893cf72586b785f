"""The scale of an image as its sender gives it: the size of a pixel, two points a known distance apart, or the size of a marker.

Called by `segmenting`. Exactly one of the three, and its uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.imaging import MarkerSize, Scale, scale_of_reference

PIXEL: Final = "millimetresPerPixel"
LINE: Final = "referenceLine"
LENGTH: Final = "referenceLengthMillimetres"
MARKER: Final = "calibrationMarkerMillimetres"
ERROR: Final = "scaleErrorPercent"
_LEAST, _MOST = 1e-6, 1e6  # millimetres: a nanometre to a kilometre


def read_scale(query: Mapping[str, str]) -> Scale | MarkerSize | None:
    """The scale in the query, or the size of the markers to find it by; None if there is neither. Raises Refused (BAD_REQUEST)."""
    ways = [name for name in (PIXEL, LENGTH, MARKER) if name in query]
    if len(ways) > 1:
        raise _bad(f"{' and '.join(ways)} each give the scale: send one of them")
    if (LINE in query) != (LENGTH in query):
        raise _bad(f"{LINE} and {LENGTH} belong together: send both")
    error = _number(query, ERROR) if ERROR in query else 0.0
    if not 0 <= error < 100:
        raise _bad(f"{ERROR} is {query[ERROR]!r}, but must be a number from 0 to below 100")
    if not ways:
        if ERROR in query:
            raise _bad(f"{ERROR} needs a scale: send {PIXEL}, {LENGTH} or {MARKER} too")
        return None
    value = _number(query, ways[0])
    if not _LEAST <= value <= _MOST:
        raise _bad(f"{ways[0]} is {query[ways[0]]!r:.50}, but must be a number above 0, from {_LEAST:g} to {_MOST:g}")
    if ways[0] == PIXEL:
        return Scale(value, error)
    return MarkerSize(value, error) if ways[0] == MARKER else _reference(query[LINE], value, error)


def _reference(line: str, millimetres: float, error: float) -> Scale:
    try:
        x1, y1, x2, y2 = (float(part) for part in line.split(","))
    except ValueError:
        raise _bad(f"{LINE} is {line!r:.80}, but must be the pixels of two points: x1,y1,x2,y2") from None
    try:
        return scale_of_reference((x1, y1, x2, y2), millimetres, error)
    except ValueError as why:
        raise _bad(f"{LINE}: {why}") from None


def _number(query: Mapping[str, str], name: str) -> float:
    """The number, or NaN for anything else, which then fails every comparison."""
    try:
        value = float(query[name])
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _bad(why: str) -> Refused:
    return Refused(Cause.BAD_REQUEST, why)
