"""Thin a mask to its centre line, one pixel wide, with the mask's topology kept.

Used by `centreline`. Guo and Hall's parallel thinning ("Parallel thinning with two-subiteration algorithms",
Communications of the ACM 32, 1989), done on the list of border pixels instead of on the picture: a crack is a few
percent of it, so that one pass costs microseconds. Why not a library: docs/decisions (thinning).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

#: The eight neighbours of a pixel as (row, column) steps, clockwise from north; bit k of a neighbour code is RING[k].
RING: Final = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
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
    ring = flat.take(steps[:, None] + pixels)
    np.left_shift(ring, _BITS, out=ring)
    codes: NDArray[np.uint8] = np.bitwise_or.reduce(ring, axis=0)
    return codes


def thin(frame: NDArray[np.uint8], pixels: Indices) -> Indices:
    """Thin a picture in place; the flat indices of the pixels that are left.

    `frame`: 0/1, C-contiguous, its outermost rows and columns 0. `pixels`: flat indices of its ones.
    """
    flat = frame.reshape(-1)
    steps = ring_steps(frame.shape[1])
    number = np.empty(flat.size, np.int32)  # scratch for dropping duplicates; only written where ones are
    fresh, again = pixels[neighbour_codes(flat, pixels, steps) != 255], pixels[:0]
    half = 0
    while fresh.size or again.size:
        # A pixel is looked at once in each half, and anew when a neighbour of it has gone.
        deletable = _DELETABLE[half][neighbour_codes(flat, np.concatenate([fresh, again]), steps)]
        leaves_now, left_over = deletable[: fresh.size], deletable[fresh.size :]
        gone = np.concatenate([fresh[leaves_now], again[left_over]])
        again = fresh[~leaves_now]
        flat[gone] = 0
        touched = (steps[:, None] + gone).reshape(-1)
        both = np.concatenate([again, touched[flat.take(touched) != 0]])
        order = np.arange(both.size, dtype=np.int32)
        number[both] = order  # of a pixel that is in it twice the last one counts
        last = number[both] == order
        again, fresh = again[last[: again.size]], both[again.size :][last[again.size :]]
        half ^= 1
    left: Indices = pixels[flat[pixels] != 0]
    return left
