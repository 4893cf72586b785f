"""How many images to put into one run, from the time that runs of 1, 2, 4 … images take.

Pure: called by the warm-up with a function that measures. A processor takes as long per image in a batch as for one alone, so the
answer there is 1 and no delay. A card's throughput has a knee, which is what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from crackseg_serving.values import value

_SIZES: Final = (1, 2, 4, 8, 16)
_LONG: Final = 0.1  # seconds: what a run costs besides its images is nothing to one this long
_DELAY: Final = 0.25  # of a run: what waiting for company may add
_LONGEST_DELAY: Final = 0.02  # seconds


@value
class Batching:
    """The most images in a run, and how long one may wait for others (seconds)."""

    size: int
    delay: float


def choose_batching(measure: Callable[[int], float | None], gain: float) -> Batching:
    """The smallest size whose throughput is near the best, and a delay that is a fraction of its run.

    `measure` gives the seconds of a run of so many images, or None where it cannot be run. Sizes grow while the double does
    more than `gain` times as much a second; what is that near the best is as good.
    """
    took: dict[int, float] = {}
    for size in _SIZES:
        seconds = measure(size)
        if seconds is None:
            break
        took[size] = max(seconds, 1e-9)
        pays = size == 1 or _throughput(took, size) > gain * _throughput(took, size // 2)
        if took[1] > _LONG or not pays:
            break
    if not took:
        return Batching(1, 0.0)
    best = max(_throughput(took, size) for size in took)
    size = min(size for size in took if _throughput(took, size) * gain > best)
    return Batching(size, 0.0 if size == 1 else min(_DELAY * took[size], _LONGEST_DELAY))


def _throughput(took: dict[int, float], size: int) -> float:
    return size / took[size]
