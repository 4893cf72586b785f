"""What cutting into tiles costs and spares: the recall that skipping empty tiles loses, and the time that it gains.

Called by the `tiles` command; cuts and blends with the server's own code. No torch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crackseg_models.prediction import Model
from crackseg_models.report import Example
from crackseg_serving.imaging import Stitcher, is_empty, plan_tiles, threshold


@dataclass
class Tally:
    """One way through one set of pictures."""

    tiles: int = 0
    skipped: int = 0
    hits: int = 0  # pixels of true crack that were found
    truth: int = 0
    seconds: float = 0.0  # of this thread

    @property
    def recall(self) -> float:
        """The share of the true cracks' pixels that was found."""
        return self.hits / max(self.truth, 1)


def through_tiles(
    model: Model, picture: NDArray[np.uint8], size: int, tally: Tally, *, skip: bool
) -> NDArray[np.uint8]:
    """The mask of a picture, and what it took."""
    height, width = picture.shape[:2]
    plan = plan_tiles(height, width, size=size, overlap=min(64, size // 4), multiple=model.metadata.multiple)
    stitcher = Stitcher(plan)
    began = time.thread_time()
    for tile in plan.tiles:
        part = plan.cut(picture, tile)
        empty = skip and is_empty(part)
        tally.skipped += empty
        stitcher.add(np.zeros(part.shape[:2], np.float32) if empty else model.probabilities(part))
    mask = threshold(stitcher.finish(), model.metadata.threshold_percent)
    tally.seconds += time.thread_time() - began
    tally.tiles += len(plan.tiles)
    return mask


def rows(models: list[Path], sets: dict[str, list[Example]], sizes: list[int]) -> Iterator[str]:
    """A table: every model, set and size of tiles, with all tiles computed and with the empty ones skipped."""
    yield f"{'model':<18}{'set':<12}{'tile':>6}{'tiles':>8}{'skipped':>9}{'recall':>9}{'skipping':>10}{'lost':>8}{'speed':>8}"
    for path in models:
        model = Model(path)
        for name, examples in sets.items():
            for size in sizes:
                every, some = (_tally(model, examples, size, skip=skip) for skip in (False, True))
                lost = 1 - some.recall / max(every.recall, 1e-9)
                yield (
                    f"{path.stem:<18}{name:<12}{size:>6}{some.tiles:>8}{some.skipped / some.tiles:>9.1%}{every.recall:>9.3f}"
                    f"{some.recall:>10.3f}{lost:>8.2%}{every.seconds / some.seconds:>7.2f}x"
                )


def _tally(model: Model, examples: list[Example], size: int, *, skip: bool) -> Tally:
    tally = Tally()
    for picture, truth in examples:
        mask = through_tiles(model, picture, size, tally, skip=skip)
        tally.hits += int(np.count_nonzero(mask & truth))
        tally.truth += int(np.count_nonzero(truth))
    return tally
