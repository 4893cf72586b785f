"""Run the model over the tiles of an image, taking turns with other requests, and blend the results.

Called by `segmentation` for images in memory, and by `large` for those that come in strips. Joins imaging with the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.admission import Ticket
from crackseg_serving.batching import Array
from crackseg_serving.engine import Engine

Image = NDArray[np.uint8]


def plan_for(engine: Engine, height: int, width: int, *, sideways: bool = False) -> imaging.TilePlan:
    """The tiles of a picture; `sideways`: its sides are to be swapped before the model sees it."""
    model = engine.model
    size, multiple = model.tile, model.signature.multiple
    return imaging.plan_tiles(
        height,
        width,
        size=size[::-1] if sideways else size,
        overlap=min(engine.settings.tile_overlap, min(size) // 2),
        multiple=multiple[::-1] if sideways and isinstance(multiple, tuple) else multiple,
    )


def run_tiles(
    engine: Engine,
    plan: imaging.TilePlan,
    rows: Iterator[Image],
    ticket: Ticket,
    *,
    orientation: int = 1,
    take: Callable[[Image], None] | None = None,
) -> Image:
    """The probability map [H, W], 0..255, of an image whose pixels come in `rows` of tiles; with `take`, the map's rows go there instead.

    The model sees each tile upright, whatever the EXIF `orientation` of the rows is.
    """
    form, stitcher = engine.model.signature, imaging.Stitcher(plan, take)
    shape = (plan.tile_height, plan.tile_width)
    seen = shape if orientation < 5 else shape[::-1]
    nothing = np.zeros(shape, np.float32)
    window: deque[Future[Array] | None] = deque()  # None: a tile that is not computed

    def stitch() -> None:
        future = window.popleft()
        if future is None:
            stitcher.add(nothing)
            return
        output = engine.wait(future, ticket, deque(one for one in window if one))
        found = imaging.to_probabilities(output, form.output_format, seen)[0]
        stitcher.add(imaging.turn(found, imaging.BACKWARDS.get(orientation, orientation)))

    for tensor, more in _tensors(engine, plan, rows, ticket, orientation):
        if len(window) >= engine.tiles_in_flight:
            stitch()
        window.append(None if tensor is None else engine.submit(tensor, ticket, more=more))
    while window:
        stitch()
    return stitcher.finish()


def _tensors(
    engine: Engine, plan: imaging.TilePlan, rows: Iterator[Image], ticket: Ticket, orientation: int
) -> Iterator[tuple[Array | None, bool]]:
    """Each tile as the model's input, None if it is skipped as empty; and whether more follow."""
    metrics, form = engine.metrics, engine.model.signature.input_format
    last = (len(plan.tops) - 1, len(plan.lefts) - 1)
    for row, pixels in enumerate(rows):
        for column, left in enumerate(plan.lefts):
            tile, more = plan.cut(pixels, imaging.Tile(0, left)), (row, column) != last
            if engine.settings.skip_empty_tiles and imaging.is_empty(tile):
                ticket.check()
                metrics.tiles_skipped.inc()
                yield None, more
                continue
            metrics.tiles_computed.inc()
            yield imaging.to_tensor([imaging.turn(tile, orientation)], form), more
