"""Cut a picture of any size into tiles of one shape, and blend what the model says about them into one map.

Called by the engine. Tiles overlap; in the overlap their weights run into each other and sum to one, so that a line
across a border of tiles has no gap and a constant stays constant. Memory beside the map is one row of tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.values import value

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@value
class Tile:
    """A tile's upper left corner in the picture."""

    top: int
    left: int


@value
class TilePlan:
    """Where the tiles of a picture lie; all have one shape, so that they can be batched."""

    height: int  # of the picture
    width: int
    tile_height: int
    tile_width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    tiles: tuple[Tile, ...] = field(repr=False)  # row by row

    def cut(self, image: Image, tile: Tile) -> Image:
        """The tile's pixels `[tile_height, tile_width, ...]`: a view, or mirrored at the edges of a small picture."""
        part = image[tile.top : tile.top + self.tile_height, tile.left : tile.left + self.tile_width]
        below, right = self.tile_height - part.shape[0], self.tile_width - part.shape[1]
        if below == right == 0:
            return part
        mirrored: Image = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        return mirrored


def plan_tiles(
    height: int,
    width: int,
    *,
    size: int | tuple[int, int] = 512,
    overlap: int = 64,
    multiple: int | tuple[int, int] = 1,
) -> TilePlan:
    """Tiles of `size` (one figure, or height and width) that cover a picture and overlap by at least `overlap` pixels.

    More than half a tile of overlap is taken as half: beyond it every pixel would be computed ever more often.
    Sides are rounded up to `multiple`. A picture smaller than a tile gets a smaller tile, mirrored up to the multiple; for
    a model of fixed size give that size as both. Raises ValueError where a figure makes no sense.
    """
    sizes = size if isinstance(size, tuple) else (size, size)
    multiples = multiple if isinstance(multiple, tuple) else (multiple, multiple)
    if min(height, width, *sizes, *multiples) < 1 or overlap < 0:
        raise ValueError("sizes and multiples must be at least 1 pixel, the overlap at least 0")
    tile_height, tile_width = (
        -(-min(side, largest) // step) * step
        for side, largest, step in zip((height, width), sizes, multiples, strict=True)
    )
    tops, lefts = _starts(height, tile_height, overlap), _starts(width, tile_width, overlap)
    tiles = tuple(Tile(top, left) for top in tops for left in lefts)
    return TilePlan(height, width, tile_height, tile_width, tops, lefts, tiles)


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Where the tiles of one axis begin: as few as can be, evenly apart, the last one ending at the edge."""
    spare = length - tile
    if spare <= 0:
        return (0,)
    stride = tile - min(overlap, tile // 2)
    count = -(-spare // stride) + 1
    return tuple(round(k * spare / (count - 1)) for k in range(count))


def _weights(starts: tuple[int, ...], tile: int, length: int) -> list[Floats]:
    """The weight of each tile along one axis, `[tile]`; at every place they sum to one.

    A tile counts for nothing at its own border, where a model sees least around, and fully where the next one ends.
    """
    ramps = []
    for k, start in enumerate(starts):
        here = np.arange(tile, dtype=np.float64) + 0.5
        rising = here / max(starts[k - 1] + tile - start, 1) if k else np.ones(tile)
        falling = (tile - here) / max(start + tile - starts[k + 1], 1) if k + 1 < len(starts) else np.ones(tile)
        inside = np.clip(np.minimum(rising, falling), 1e-6, 1.0)
        ramps.append(np.sin(inside * np.pi / 2) ** 2)
    total = np.zeros(max(length, tile))
    for start, ramp in zip(starts, ramps, strict=True):
        total[start : start + tile] += ramp
    return [(ramp / total[start : start + tile]).astype(np.float32) for start, ramp in zip(starts, ramps, strict=True)]


class Stitcher:
    """Blends the tiles of a plan, given in its order, into one map of probabilities, 0..255.

    With `take`, rows `[h, width]` are given to it from the top as soon as no later tile reaches them, and no map is kept.
    """

    def __init__(self, plan: TilePlan, take: Callable[[Image], None] | None = None) -> None:
        self._plan = plan
        self._take = take
        self._map: Image = np.empty((0 if take else plan.height, plan.width), np.uint8)
        self._rows = _weights(plan.tops, plan.tile_height, plan.height)
        self._columns = _weights(plan.lefts, plan.tile_width, plan.width)
        self._band: Floats = np.zeros((plan.tile_height, max(plan.width, plan.tile_width)), np.float32)
        self._done = 0

    def add(self, probabilities: Floats) -> None:
        """Take the next tile's probabilities `[tile_height, tile_width]`, 0..1."""
        plan = self._plan
        if probabilities.shape != (plan.tile_height, plan.tile_width):
            raise ValueError(f"a tile is {plan.tile_height} x {plan.tile_width}, not {probabilities.shape}")
        if len(plan.tiles) == 1:
            self._write(0, probabilities[: plan.height, : plan.width])
            self._done = 1
            return
        row, column = divmod(self._done, len(plan.lefts))
        left = plan.lefts[column]
        weighted = probabilities * self._columns[column]
        weighted *= self._rows[row][:, None]
        self._band[:, left : left + plan.tile_width] += weighted
        self._done += 1
        if column + 1 == len(plan.lefts):
            self._finish_row(row)

    def finish(self) -> Image:
        """The map `[height, width]`, empty where its rows were taken. Raises ValueError where tiles are missing."""
        if self._done != len(self._plan.tiles):
            raise ValueError(f"{self._done} of {len(self._plan.tiles)} tiles were given")
        return self._map

    def _finish_row(self, row: int) -> None:
        """Write what no later tile reaches, and move the rest of the band up."""
        plan, top = self._plan, self._plan.tops[row]
        ready = (plan.tops[row + 1] if row + 1 < len(plan.tops) else plan.height) - top
        self._write(top, self._band[:ready, : plan.width])
        if row + 1 < len(plan.tops):
            kept = move_up(self._band, ready, plan.tile_height)
            self._band[kept:] = 0

    def _write(self, top: int, probabilities: Floats) -> None:
        rows = cv2.convertScaleAbs(np.ascontiguousarray(probabilities[: self._plan.height - top]), alpha=255.0)
        if self._take:
            self._take(rows)
        else:
            self._map[top : top + len(rows)] = rows


def move_up(rows: NDArray[Any], by: int, have: int) -> int:
    """Drop the first of the `have` rows that there are, in place; how many are left."""
    kept = max(have - by, 0)
    for start in range(0, kept, max(by, 1)):  # by steps that do not overlap: a copy would double the rows
        stop = min(start + by, kept)
        rows[start:stop] = rows[start + by : stop + by]
    return kept
