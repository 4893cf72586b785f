"""A mask as COCO's run-length encoding, which annotation tools and pycocotools read.

Called by the answers. Runs go down the columns, begin with background, and are written as the compressed string of
https://github.com/cocodataset/cocoapi (common/maskApi.c, rleToString).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST_DIGITS: Final = 7  # of 5 bits: runs below 2**34
_FIRST_SIGN: Final = 48  # "0"


def run_lengths(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The lengths of the runs of a mask `[H, W]` (0: none, otherwise crack), column by column; the first is background."""
    along = (mask != 0).ravel(order="F")
    borders = np.flatnonzero(along[1:] != along[:-1]) + 1
    edges = np.concatenate([[0] if not along[0] else [0, 0], borders, [along.size]])
    return np.diff(edges)


def compress_runs(runs: NDArray[np.int64]) -> str:
    """Runs as COCO's string: from the fourth on each as its difference to the one before the last, in digits of 5 bits."""
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    digits = np.zeros((len(rest), _MOST_DIGITS), np.uint8)
    there = np.ones(digits.shape, bool)
    for place in range(_MOST_DIGITS):
        low = rest & 0x1F
        rest >>= 5
        more = np.where(low & 0x10, rest != -1, rest != 0)
        digits[:, place] = low + 0x20 * more + _FIRST_SIGN
        there[:, place + 1 :] &= more[:, None]
    return digits[there].tobytes().decode("ascii")


def to_rle(mask: NDArray[np.uint8]) -> dict[str, object]:
    """A mask as COCO has it: `size` (height, width) and `counts`."""
    return {"size": list(mask.shape), "counts": compress_runs(run_lengths(mask))}
