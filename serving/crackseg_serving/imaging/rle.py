"""A mask in COCO's run-length encoding, which annotation tools and pycocotools read.

Called by the answers. Runs go down the columns, start with background, and are written as the compressed string of
https://github.com/cocodataset/cocoapi (common/maskApi.c, rleToString).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.bitmask import BitMask

_MOST_DIGITS: Final = 7  # of 5 bits: runs below 2**34
_FIRST_SIGN: Final = 48  # "0"


def run_lengths(mask: NDArray[np.uint8] | BitMask) -> NDArray[np.int64]:
    """The lengths of the runs of a mask `[H, W]` (0: none, otherwise crack), column by column; the first is background."""
    before, edges = False, [np.zeros(1, np.int64)]
    for offset, part in _along(mask):
        changes = np.flatnonzero(part[1:] != part[:-1]) + (offset + 1)
        edges += [np.array([offset] if bool(part[0]) != before else [], np.int64), changes]
        before = bool(part[-1])
    edges.append(np.array([mask.shape[0] * mask.shape[1]], np.int64))
    places = np.concatenate(edges)
    return places[1:] - places[:-1]


def _along(mask: NDArray[np.uint8] | BitMask) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The mask column after column, in parts, each with where it begins."""
    offset = 0
    for part in mask.columns() if isinstance(mask, BitMask) else (mask,):
        yield offset, (part != 0).ravel(order="F")
        offset += part.size


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


def to_rle(mask: NDArray[np.uint8] | BitMask) -> dict[str, object]:
    """A mask as COCO has it: `size` (height, width) and `counts`."""
    return {"size": list(mask.shape), "counts": compress_runs(run_lengths(mask))}
