"""How well two masks of the same images agree: the figure by which a faster way to compute a model is judged.

Used by `crackseg_models quantize` and `bundle`, and by the server when it chooses among variants.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.values import value

#: The agreement that another precision must reach.
LEAST_AGREEMENT: Final = 0.98


@value
class Overlap:
    """Pixels of crack in two masks, of one picture or of many added up."""

    expected: int = 0  # in the mask that the other one is held against
    both: int = 0
    either: int = 0

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.expected + other.expected, self.both + other.both, self.either + other.either)

    @property
    def agreement(self) -> float:
        """Intersection over union, 0 to 1; 1 where neither mask has a crack."""
        return self.both / self.either if self.either else 1.0


def overlap(found: NDArray[Any], expected: NDArray[Any]) -> Overlap:
    """Compare two masks [H, W]; non-zero is crack."""
    found, expected = found != 0, expected != 0
    return Overlap(
        int(np.count_nonzero(expected)),
        int(np.count_nonzero(found & expected)),
        int(np.count_nonzero(found | expected)),
    )
