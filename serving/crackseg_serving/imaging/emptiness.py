"""A cheap check of a tile before the model runs: whether anything in it could be a dark line.

Called by `tiling` if SKIP_EMPTY_TILES is enabled. Deterministic; some milliseconds for 512 x 512 pixels. docs/performance.md says what it
loses and gains on photographs.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_REDUCED: Final = 4  # times smaller: a hairline is still a grey line then, but a grain of stone is gone
_LENGTH: Final = 15  # of the lines that are looked for, in reduced pixels
_ANGLES: Final = range(0, 180, 22)
_GROUND: Final = 4.0  # the ground is the tile after a Gaussian of so many reduced pixels
_CELL: Final = 32  # reduced pixels: contrast is judged cell by cell, so that the size of tiles does not matter
#: A cell may hold a crack if its darkest line is at least so much darker than its ground (of 255), as in close-ups,
FAINT: Final = 16.0
#: or so many times darker than the deviation of its pixels, as for hairlines seen from afar.
OUTSTANDING: Final = 1.5


def is_empty(tile: NDArray[np.uint8]) -> bool:
    """Whether a tile `[H, W, 3]` (RGB) has no line that stands out from its ground."""
    grey = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY)
    sides = (-(-tile.shape[1] // _REDUCED), -(-tile.shape[0] // _REDUCED))
    small = cv2.resize(grey, sides, interpolation=cv2.INTER_AREA).astype(np.float32)
    dark = cv2.GaussianBlur(small, (0, 0), _GROUND) - small
    lines = np.full_like(dark, -np.inf)
    for kernel in _kernels():
        np.maximum(lines, cv2.filter2D(dark, -1, kernel, borderType=cv2.BORDER_REFLECT_101), out=lines)
    return not any(
        _may_be_crack(
            float(lines[top : top + _CELL, left : left + _CELL].max()),
            float(dark[top : top + _CELL, left : left + _CELL].std()),
        )
        for top in range(0, dark.shape[0], _CELL)
        for left in range(0, dark.shape[1], _CELL)
    )


def _may_be_crack(darkest: float, deviation: float) -> bool:
    return darkest >= FAINT or darkest >= OUTSTANDING * (deviation + 1)


@cache
def _kernels() -> tuple[NDArray[np.float32], ...]:
    """The mean along a line, for each angle."""
    kernels = []
    for degrees in _ANGLES:
        kernel = np.zeros((_LENGTH, _LENGTH), np.float32)
        middle = _LENGTH // 2
        reach = middle * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        first, last = np.rint(middle - reach).astype(int).tolist(), np.rint(middle + reach).astype(int).tolist()
        cv2.line(kernel, first, last, 1.0, 1)
        kernels.append(kernel / kernel.sum())
    return tuple(kernels)
