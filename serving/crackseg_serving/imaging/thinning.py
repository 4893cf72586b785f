"""Thin a mask to its centre line, one pixel wide, with the mask's topology kept.

Used by `centreline`. Guo and Hall's parallel thinning ("Parallel thinning with two-subiteration algorithms",
Communications of the ACM 32, 1989), done on the list of border pixels instead of on the picture: a crack is a few
percent of it, so that one pass costs microseconds. Why not a library: docs/decisions (thinning).
"""

from __future__ import annotations

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
_DOWN, _RIGHT = np.array((*RING, (0, 0)), np.intp).T


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
#: Whether a pixel that stays in this half would go in the other one, if its neighbours stay.
_GOES_LATER: Final = ~_DELETABLE & _DELETABLE[::-1]
_TABLES: Final = tuple(zip(_DELETABLE, _GOES_LATER, strict=True))  # of the first and of the second half
#: The bit of a pixel in the code of its k-th neighbour.
_SEEN_FROM_THERE: Final = np.roll(1 << np.arange(8), -4).astype(np.uint8)


def ring_steps(stride: int) -> NDArray[np.intp]:
    """The steps of `RING` in the flat index of a picture with rows of `stride` pixels."""
    return square_steps(stride)[:8]


def square_steps(stride: int) -> NDArray[np.intp]:
    """The steps of `RING`, and of staying where one is."""
    steps: NDArray[np.intp] = _DOWN * stride + _RIGHT
    return steps


def neighbour_codes(flat: NDArray[np.uint8], pixels: Indices, steps: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The neighbour code of each of these pixels of a flat 0/1 picture: bit k is the neighbour `RING[k]`."""
    codes = np.empty(pixels.size, np.uint8)
    for start in range(0, pixels.size, CHUNK):
        ring = flat.take(steps[:, None] + pixels[start : start + CHUNK])
        np.left_shift(ring, _BITS, out=ring)
        np.bitwise_or.reduce(ring, axis=0, out=codes[start : start + CHUNK])
    return codes


def border_of(frame: NDArray[np.uint8]) -> Indices:
    """The flat indices of the pixels of a 0/1 picture that have a neighbour which is 0."""
    return np.flatnonzero((frame ^ cv2.erode(frame, SQUARE)).view(bool))


def thin(frame: NDArray[np.uint8], border: Indices) -> tuple[Indices, NDArray[np.uint8]]:
    """Thin a picture in place; the flat indices of the pixels that are left, in order, and their neighbour codes.

    `frame`: 0/1, C-contiguous, its outermost rows and columns 0. `border`: its border, as `border_of` has it.
    """
    flat = frame.reshape(-1).view(bool)
    steps = ring_steps(frame.shape[1])
    looked_at = border
    codes = np.full(flat.size, 255, np.uint8)  # of pixels of the picture; kept true while they go
    codes[looked_at] = neighbour_codes(frame.reshape(-1), looked_at, steps)
    number = np.empty(flat.size, np.int32)  # scratch for dropping duplicates; only written where ones are
    numbers = np.arange(2 * looked_at.size, dtype=np.int32)
    this, other = _TABLES
    while looked_at.size:
        # A pixel is looked at once, and anew when a neighbour of it has gone, or when its half comes.
        seen = codes.take(looked_at).astype(np.intp)  # or both look-ups would convert them
        gone, again = looked_at[this[0].take(seen)], looked_at[this[1].take(seen)]
        if gone.size > numbers.size:
            numbers = np.arange(gone.size, dtype=np.int32)
        number[gone] = order = numbers[: gone.size]  # of a pixel that is in it twice the last one counts
        gone = gone[number.take(gone) == order]
        flat[gone] = False
        looked_at = np.concatenate((again, _lose(codes, flat, gone, steps)))
        this, other = other, this
    left = np.flatnonzero(flat)
    return left, codes.take(left)


def _lose(codes: NDArray[np.uint8], flat: NDArray[np.bool_], gone: Indices, steps: NDArray[np.intp]) -> Indices:
    """Take these pixels out of their neighbours' codes; the neighbours that are left, some of them more than once."""
    if gone.size > CHUNK:
        half = gone.size // 2
        return np.concatenate([_lose(codes, flat, part, steps) for part in (gone[:half], gone[half:])])
    beside = (steps[:, None] + gone).ravel()
    np.subtract.at(codes, beside, _SEEN_FROM_THERE.repeat(gone.size))  # each bit is set: it was a pixel until now
    left: Indices = beside[flat.take(beside)]
    return left
