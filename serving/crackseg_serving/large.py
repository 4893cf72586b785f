"""The answer for an image that is too large to be whole in memory: its pixels come in strips, and its mask leaves in rows.

Called by `segmentation`, which handles smaller images in one piece. docs/server.md states the bound on memory that is kept here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.admission import Ticket
from crackseg_serving.answers import Found, Output, answer
from crackseg_serving.engine import Engine
from crackseg_serving.tiling import plan_for, run_tiles

Image = NDArray[np.uint8]

#: Images with more pixels than this are processed in strips; below it, one piece is faster and small enough.
LARGE: Final = 16_000_000
#: Bytes for each pixel of a row of tiles: its pixels, the blended map, the rows that are done.
_BYTES_IN_A_ROW: Final = 20
#: Rows of the mask and the map that wait to be measured, two bytes a pixel, and as much while rows are added.
_BYTES_A_MEASURED_COLUMN: Final = 4 * (imaging.BLOCK_HEIGHT + 2 * imaging.MARGIN + 512)
_BYTES_A_BLOCK: Final = 48 << 20  # of measuring one block
_DECODER: Final = 24 << 20  # libvips itself
_BYTES_A_DECODED_COLUMN: Final = 8 << 10  # the lines that it keeps
#: For a pixel of crack: the edges of it that are kept, and the outlines and records made of them.
BYTES_A_CRACK_PIXEL: Final = 270


def segment_large(engine: Engine, found: Found, output: Output, ticket: Ticket) -> bytes:
    """The answer for a large image; `found` has everything except the results. Raises Refused or ImageError."""
    metrics, facts = engine.metrics, found.facts
    with ExitStack() as held:
        strips = imaging.open_strips(found.data, facts)
        plan = plan_for(engine, strips.height, strips.width, sideways=strips.orientation >= 5)
        size = bytes_for(facts, plan, output)
        held.enter_context(engine.admission.image(size, ticket, _REMEDY if imaging.held_bytes(facts) else "cut it"))
        clock = _Clock()
        rows = _Rows(engine, strips, output, found.scale)

        def take(probabilities: Image) -> None:
            nonlocal size
            cracked = rows.add(probabilities) * BYTES_A_CRACK_PIXEL
            if output.measured and cracked:
                held.enter_context(engine.admission.more(cracked, held=size))
                size += cracked

        tile_rows = imaging.in_tile_rows(clock.through(strips.rows, ticket), plan)
        began = time.perf_counter()
        run_tiles(engine, plan, tile_rows, ticket, orientation=strips.orientation, take=take)
        metrics.staged("decode", clock.seconds)
        metrics.staged("inference", time.perf_counter() - began - clock.seconds)
        with metrics.stage("encode"):
            return answer(engine.model, rows.finish(found), output)


_REMEDY: Final = (
    "this file cannot be decoded strip by strip (as JPEG that is not progressive, PNG that is not interlaced and TIFF with small "
    "strips or tiles can): save it as one of those, or cut it"
)


def bytes_for(facts: imaging.ImageFacts, plan: imaging.TilePlan, output: Output) -> int:
    """The bound on memory in bytes, without what measuring takes per pixel of crack."""
    row = plan.tile_height * max(plan.width, plan.tile_width) * _BYTES_IN_A_ROW
    mask = 3 * plan.height * plan.width // 8  # its bits, turned or packed, and the file
    measuring = plan.width * _BYTES_A_MEASURED_COLUMN + _BYTES_A_BLOCK if output.measured else 0
    decoding = _DECODER + facts.width * _BYTES_A_DECODED_COLUMN + imaging.held_bytes(facts)
    return decoding + row + mask + measuring


class _Clock:
    """How long strips took to come, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def through(self, strips: Iterator[Image], ticket: Ticket) -> Iterator[Image]:
        """The same strips, timed. Raises Refused when the ticket has expired or its client is gone."""
        while True:
            ticket.check()
            start = time.perf_counter()
            strip = next(strips, None)
            self.seconds += time.perf_counter() - start
            if strip is None:
                return
            yield strip


class _Rows:
    """What becomes of the map's rows: a mask with a bit a pixel, or measurements."""

    def __init__(self, engine: Engine, strips: imaging.Strips, output: Output, scale: imaging.Scale | None) -> None:
        percent, shape = engine.model.threshold_percent, (strips.height, strips.width)
        self._orientation = strips.orientation
        self._threshold = imaging.RowThreshold(shape, percent)
        self._mask = imaging.BitMask(*shape)
        self._measurer = imaging.BlockMeasurer(*shape, percent, scale) if output.measured else None

    def add(self, probabilities: Image) -> int:
        """The next rows; how many pixels of crack are certain now."""
        return self._put(self._threshold.add(probabilities), probabilities)

    def _put(self, mask: Image, probabilities: Image) -> int:
        if self._measurer:
            self._measurer.add(mask, probabilities)
        else:
            self._mask.append(mask)
        return int(np.count_nonzero(mask))

    def finish(self, found: Found) -> Found:
        """`found` with what all rows together say."""
        last = self._threshold.finish()
        self._put(last, last[:0])
        if self._measurer:
            found.measurements = imaging.turned(self._measurer.finish(), self._orientation)
        else:
            found.mask = self._mask.turned(self._orientation)
        return found
