"""By how much the figures of a crack may be off: the error of measuring a given mask, in pixels.

Called by `figures`. The rules and the drawn cracks that they are from stand in docs/measurement.md; tests hold 98 of 100 random
cracks to them. The model's own error is none of this: what it takes for crack is measured as crack.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.values import value

Floats = NDArray[np.float64]

_SOFT_WIDTH_PIXELS: Final = 0.5
_HARD_WIDTH_PIXELS: Final = 1.0
_STRETCH_PIXELS: Final = 1.5  # both ends of a stretch between ends and junctions
_STRETCH_WIDTHS: Final = (
    0.1  # how far a round end reaches, and where a junction lies, is the less clear the wider it is
)
_LENGTH_SHARE: Final = 0.01  # stairs and corners of a line on a grid
_AREA_A_LENGTH: Final = 0.6


@value
class Errors:
    """Per label (0 is unused) how far off its figures may be, in pixels."""

    lengths: Floats
    widths: Floats  # mean and maximum
    areas: Floats


def errors_of(lengths: Floats, mean_widths: Floats, stretches: NDArray[np.int64], *, soft: bool) -> Errors:
    """The bounds for cracks of these lengths and widths in pixels, whose centre lines have so many stretches; `soft`: measured with their probabilities."""
    of_length = stretches * (_STRETCH_PIXELS + _STRETCH_WIDTHS * mean_widths) + _LENGTH_SHARE * lengths
    of_width = np.full(lengths.shape, _SOFT_WIDTH_PIXELS if soft else _HARD_WIDTH_PIXELS)
    of_area = _AREA_A_LENGTH * lengths + mean_widths
    for errors in (of_length, of_width, of_area):
        errors[:1] = 0
    return Errors(of_length, of_width, of_area)
