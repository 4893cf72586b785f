"""Dynamic batching: arrays from many requests become few runs of one model.

One Batcher a session. Knows arrays and a function to run them; may not know images, models or HTTP. A failed run fails
every request that was in it, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(slots=True)
class _Waiting:
    items: Array
    arrived: float
    result: Future[Array] = field(default_factory=Future)

    def fits(self, other: _Waiting) -> bool:
        return self.items.shape[1:] == other.items.shape[1:] and self.items.dtype == other.items.dtype


class Batcher:
    """Gathers arrays of equal shape along their first axis and runs them in `runners` threads.

    With `delay` 0 nothing ever waits for company: a free runner takes its share of what is there, and leaves the others theirs.
    With a delay (seconds), a run starts when `size` items are there or the oldest has waited that long.
    """

    def __init__(
        self,
        run: Callable[[Array], Array],
        *,
        size: int,
        delay: float,
        runners: int,
        observe: Callable[[int, float], None] = lambda _size, _waited: None,
    ) -> None:
        """`observe` hears of every run: how many items, and how long the oldest waited (seconds)."""
        self._run, self._size, self._delay, self._observe = run, size, delay, observe
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"run-{n}", daemon=True) for n in range(runners)]
        for thread in self._threads:
            thread.start()

    @property
    def width(self) -> int:
        """How many items can be in runs at once."""
        return len(self._threads) * (self._size if self._delay else 1)

    @property
    def depth(self) -> int:
        """How many items wait for a run."""
        with self._changed:
            return sum(len(waiting.items) for waiting in self._queue)

    def submit(self, items: Array) -> Future[Array]:
        """The result for `items`, [n, ...] with n of at least 1; it has n along its first axis too.

        Cancelling the future takes the items out where their run has not begun.
        """
        waiting = _Waiting(items, time.monotonic())
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.result

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            waiting = [one for one in batch if one.result.set_running_or_notify_cancel()]
            if waiting:
                self._observe(sum(len(one.items) for one in waiting), time.monotonic() - waiting[0].arrived)
                _settle(waiting, self._run)

    def _take(self) -> list[_Waiting]:
        """The next run's items: at least one, unless the batcher is closed and empty."""
        with self._changed:
            while True:
                if not self._queue:
                    if self._closed:
                        return []
                    self._changed.wait()
                elif (patience := self._patience()) > 0:
                    self._changed.wait(patience)
                else:
                    return self._gather()

    def _patience(self) -> float:
        """How long the queue may still wait for company, in seconds."""
        if not self._delay or self._closed or sum(len(one.items) for one in self._queue) >= self._size:
            return 0.0
        return self._queue[0].arrived + self._delay - time.monotonic()

    def _gather(self) -> list[_Waiting]:
        """Take the oldest and those like it, no more than `size` items, and with no delay no more than a fair share."""
        room = self._size
        if not self._delay:
            room = min(room, -(-sum(len(one.items) for one in self._queue) // len(self._threads)))
        first = self._queue.popleft()
        batch, left = [first], deque[_Waiting]()
        room -= len(first.items)
        while self._queue:
            one = self._queue.popleft()
            if len(one.items) <= room and one.fits(first):
                batch.append(one)
                room -= len(one.items)
            else:
                left.append(one)
        self._queue = left
        if left:
            self._changed.notify()
        return batch


def _settle(batch: list[_Waiting], run: Callable[[Array], Array]) -> None:
    """Run and hand out; whatever goes wrong reaches every waiter."""
    try:
        items = batch[0].items if len(batch) == 1 else np.concatenate([one.items for one in batch])
        results = run(items)
        _check(len(results), len(items))
    except BaseException as error:  # noqa: BLE001 - handed to the waiters, who would wait for ever otherwise
        for one in batch:
            one.result.set_exception(error)
        return
    start = 0
    for one in batch:
        one.result.set_result(results[start : start + len(one.items)])
        start += len(one.items)


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"the run gave {found} results for {expected} items")
