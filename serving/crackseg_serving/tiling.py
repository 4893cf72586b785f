"""Run the model over a picture's tiles, in turn with other requests, and blend what it says.

Called by the segmentation, for pictures in memory and for those that come strip by strip. Joins the imaging room with the engine.
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
    """The map of probabilities of a picture whose pixels come in `rows` of tiles; with `take`, its rows go there instead.

    The model sees each tile upright, whatever the orientation of the picture's rows is.
    """
    form, stitcher = engine.model.signature, imaging.Stitcher(plan, take)
    shape = (plan.tile_height, plan.tile_width)
    seen = shape if orientation < 5 else shape[::-1]
    window: deque[Future[Array]] = deque()

    def stitch() -> None:
        output = engine.wait(window.popleft(), ticket, window)
        found = imaging.to_probabilities(output, form.output_format, seen)[0]
        stitcher.add(imaging.turn(found, imaging.BACKWARDS.get(orientation, orientation)))

    last = (len(plan.tops) - 1, len(plan.lefts) - 1)
    for row, pixels in enumerate(rows):
        for column, left in enumerate(plan.lefts):
            if len(window) >= engine.tiles_in_flight:
                stitch()
            tile = imaging.turn(plan.cut(pixels, imaging.Tile(0, left)), orientation)
            tensor = imaging.to_tensor([tile], form.input_format)
            window.append(engine.submit(tensor, ticket, more=(row, column) != last))
    while window:
        stitch()
    return stitcher.finish()
