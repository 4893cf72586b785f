"""Thin a mask to its centre line, one pixel wide, with the mask's topology kept.

Used by `centreline`. Guo and Hall's parallel thinning ("Parallel thinning with two-subiteration algorithms",
Communications of the ACM 32, 1989), done on the list of border pixels instead of on the picture: a crack is a few
percent of it, so that one pass costs microseconds. Why not a library: docs/decisions (thinning).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

#: The eight neighbours of a pixel as (row, column) steps, clockwise from north; bit k of a neighbour code is RING[k].
RING: Final = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
#: A pixel and its eight neighbours, for OpenCV's dilation and erosion.
SQUARE: Final = np.ones((3, 3), np.uint8)
#: Pixels whose neighbours are looked up in one go: eight indices for each of them take memory.
CHUNK: Final = 1 << 15
_BITS: Final = np.arange(8, dtype=np.uint8)[:, None]


def bits_of_codes() -> NDArray[np.bool_]:
    """For each of the 256 neighbour codes its eight bits: `[256, 8]`."""
    return (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool)


def _deletable() -> NDArray[np.bool_]:
    """`[2, 256]`: whether a pixel with this neighbour code goes in the first and in the second half of a pass."""
    n, ne, e, se, s, sw, w, nw = bits_of_codes().T
    crossings = sum((~a & (b | c)).astype(np.uint8) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
    pairs = np.minimum(
        sum(pair.astype(np.uint8) for pair in (nw | n, ne | e, se | s, sw | w)),
        sum(pair.astype(np.uint8) for pair in (n | ne, e | se, s | sw, w | nw)),
    )
    simple = (crossings == 1) & (pairs >= 2) & (pairs <= 3)
    return np.stack([simple & ~((s | sw | ~nw) & w), simple & ~((n | ne | ~se) & e)])


_DELETABLE: Final = _deletable()


def ring_steps(stride: int) -> NDArray[np.intp]:
    """The steps of `RING` in the flat index of a picture with rows of `stride` pixels."""
    return np.array([row * stride + column for row, column in RING], np.intp)


def neighbour_codes(flat: NDArray[np.uint8], pixels: Indices, steps: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The neighbour code of each of these pixels of a flat 0/1 picture: bit k is the neighbour `RING[k]`."""
    codes = np.empty(pixels.size, np.uint8)
    for start in range(0, pixels.size, CHUNK):
        ring = flat.take(steps[:, None] + pixels[start : start + CHUNK])
        np.left_shift(ring, _BITS, out=ring)
        np.bitwise_or.reduce(ring, axis=0, out=codes[start : start + CHUNK])
    return codes


def thin(frame: NDArray[np.uint8]) -> Indices:
    """Thin a picture in place; the flat indices of the pixels that are left.

    `frame`: 0/1, C-contiguous, its outermost rows and columns 0.
    """
    flat = frame.reshape(-1)
    steps = ring_steps(frame.shape[1])
    number = np.empty(flat.size, np.int32)  # scratch for dropping duplicates; only written where ones are
    fresh = np.flatnonzero((frame ^ cv2.erode(frame, SQUARE)).view(bool))
    again = fresh[:0]
    half = 0
    while fresh.size or again.size:
        # A pixel is looked at once in each half, and anew when a neighbour of it has gone.
        looked_at = np.concatenate([fresh, again])
        goes = _DELETABLE[half].take(neighbour_codes(flat, looked_at, steps))
        gone = looked_at.compress(goes)
        again = fresh.compress(~goes[: fresh.size])
        flat[gone] = 0
        both = np.concatenate([again, *_touched(flat, gone, steps)])
        order = np.arange(both.size, dtype=np.int32)
        number[both] = order  # of a pixel that is in it twice the last one counts
        last = number.take(both) == order
        again, fresh = again.compress(last[: again.size]), both[again.size :].compress(last[again.size :])
        half ^= 1
    return np.flatnonzero(frame.view(bool))


def _touched(flat: NDArray[np.uint8], gone: Indices, steps: NDArray[np.intp]) -> Iterator[Indices]:
    """The ones beside the pixels that went, in parts."""
    for start in range(0, gone.size, CHUNK):
        beside = (steps[:, None] + gone[start : start + CHUNK]).reshape(-1)
        yield beside.compress(flat.take(beside).view(bool))
