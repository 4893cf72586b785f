"""Runs of one model: arrays from many requests, in turn, one or several at a time, on one core each or on all.

One Batcher a session. Knows arrays, tickets and functions to run arrays; may not know images, models or HTTP. A failed run
fails every request that was in it, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.admission import Ticket
from crackseg_serving.values import value

Array = NDArray[Any]


@value
class Outputs:
    """Several outputs of one run; a slice is of all of them."""

    arrays: Sequence[Array]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, items: slice) -> Outputs:
        return Outputs([array[items] for array in self.arrays])


@value
class Run:
    """One run of the model that has ended."""

    size: int  # items
    waited: float  # seconds that the oldest of them waited
    seconds: float
    wide: bool  # on all cores


@value
class Wide:
    """A way to run on all cores, and whether the request that asks is the only one inside."""

    run: Callable[[Array], Array]
    alone: Callable[[], bool]


#: Another way to run items than the model's one output.
Way = Callable[[Array], Outputs]


@dataclass(slots=True, eq=False)
class _Waiting:
    items: Array
    ticket: Ticket | None
    more: bool
    way: Way | None
    arrived: float = field(default_factory=time.monotonic)
    result: Future[Any] = field(default_factory=Future)

    @property
    def wanted(self) -> bool:
        return not self.result.cancelled() and (self.ticket is None or self.ticket.valid)

    def fits(self, other: _Waiting) -> bool:
        alike = self.items.shape[1:] == other.items.shape[1:] and self.items.dtype == other.items.dtype
        return alike and self.way is other.way


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    entries: list[_Waiting]
    wide: bool
    began: float = field(default_factory=time.monotonic)

    @property
    def elements(self) -> int:
        return sum(one.items.size for one in self.entries)


class Batcher:
    """Gathers arrays of equal shape along their first axis and runs them in `runners` threads.

    Requests take turns: each run begins with the request that has waited longest since its last turn, so that a small image
    waits for one tile of a big one, not for all. What nobody wants any more is not run.

    With `delay` 0 nothing ever waits for company: a free runner takes its share of what is there, and leaves the others theirs.
    With a delay (seconds), a run starts when `size` items are there or the oldest has waited that long.

    With `wide`, what is alone runs on all cores: no run is under way, nothing waits, its request has no `more` to come, and
    no other request is on its way. What comes meanwhile waits: all cores are taken.
    """

    def __init__(
        self,
        run: Callable[[Array], Array],
        *,
        size: int,
        delay: float,
        runners: int,
        wide: Wide | None = None,
        observe: Callable[[Run], None] = lambda _run: None,
    ) -> None:
        """`observe` hears of every run that has ended well."""
        self._run, self._size, self._delay, self._observe = run, size, delay, observe
        self._wide = wide
        self._turns: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()  # by request, next turn first
        self._waiting = 0  # items
        self._under_way: set[_Batch] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"run-{n}", daemon=True) for n in range(runners)]
        for thread in self._threads:
            thread.start()

    @property
    def width(self) -> int:
        """How many items can be in runs at once."""
        return len(self._threads) * (self._size if self._delay else 1)

    def share(self, count: int) -> int:
        """How many of `count` items that come together to put into one run, so that every runner has its share."""
        return min(self._size, count if self._delay else -(-count // len(self._threads)))

    @property
    def depth(self) -> int:
        """How many items wait for a run."""
        return self._waiting

    @property
    def under_way(self) -> list[tuple[float, int]]:
        """The runs that have not ended: for how long (seconds), and of how many elements."""
        now = time.monotonic()
        with self._changed:
            return [(now - batch.began, batch.elements) for batch in self._under_way]

    def submit(
        self, items: Array, ticket: Ticket | None = None, *, more: bool = False, way: Way | None = None
    ) -> Future[Any]:
        """The result for `items`, [n, ...] with n of at least 1; it has n along its first axis too.

        `ticket` is the request's: it takes turns with others, and when it is worth nothing its items are taken out, the
        future cancelled. Cancelling the future takes the items out too. `more`: other items of the request follow at once.
        `way` is how they are run, where not as usual.
        """
        waiting = _Waiting(items, ticket, more, way)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._turns.setdefault(ticket or waiting, deque()).append(waiting)
            self._waiting += len(items)
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
            started = [one for one in batch.entries if one.result.set_running_or_notify_cancel()]
            try:
                if started:
                    self._settle(started, batch)
            finally:
                with self._changed:
                    self._under_way.discard(batch)
                    if batch.wide:
                        self._changed.notify_all()

    def _take(self) -> _Batch | None:
        """The next run, or None when the batcher is closed and empty."""
        with self._changed:
            while True:
                if any(batch.wide for batch in self._under_way):
                    self._changed.wait()
                elif not self._turns:
                    if self._closed:
                        return None
                    self._changed.wait()
                elif (patience := self._patience()) > 0:
                    self._changed.wait(patience)
                elif entries := self._gather():
                    batch = _Batch(entries, self._goes_wide(entries))
                    self._under_way.add(batch)
                    return batch

    def _patience(self) -> float:
        """How long the queue may still wait for company, in seconds."""
        if not self._delay or self._closed or self._waiting >= self._size:
            return 0.0
        return min(turn[0].arrived for turn in self._turns.values()) + self._delay - time.monotonic()

    def _gather(self) -> list[_Waiting]:
        """The next in turn and those like it: no more than `size` items, and with no delay no more than a fair share."""
        room = self._size
        if not self._delay:
            room = min(room, -(-self._waiting // len(self._threads)))
        batch: list[_Waiting] = []
        asking = deque(self._turns)
        while asking and (room > 0 or not batch):
            asker = asking.popleft()
            turn = self._turns[asker]
            self._drop_unwanted(turn)
            taken = bool(turn) and (not batch or (len(turn[0].items) <= room and turn[0].fits(batch[0])))
            if taken:
                batch.append(turn.popleft())
                self._waiting -= len(batch[-1].items)
                room -= len(batch[-1].items)
            if not turn:
                del self._turns[asker]
            elif taken:
                self._turns.move_to_end(asker)
                asking.append(asker)
        if self._turns:
            self._changed.notify()
        return batch

    def _drop_unwanted(self, turn: deque[_Waiting]) -> None:
        while turn and not turn[0].wanted:
            self._waiting -= len(turn[0].items)
            turn.popleft().result.cancel()

    def _goes_wide(self, entries: list[_Waiting]) -> bool:
        company = len(entries) > 1 or entries[0].more or entries[0].way or self._turns or self._under_way
        return self._wide is not None and not company and self._wide.alone()

    def _settle(self, entries: list[_Waiting], batch: _Batch) -> None:
        """Run and hand out; whatever goes wrong reaches every waiter."""
        run: Callable[[Array], Array | Outputs] = self._wide.run if batch.wide and self._wide else self._run
        run = entries[0].way or run
        began = time.monotonic()
        try:
            items = entries[0].items if len(entries) == 1 else np.concatenate([one.items for one in entries])
            results = run(items)
            _check(len(results), len(items))
        except BaseException as error:  # noqa: BLE001 - handed to the waiters, who would wait for ever otherwise
            for one in entries:
                one.result.set_exception(error)
            return
        self._observe(Run(len(items), began - entries[0].arrived, time.monotonic() - began, batch.wide))
        start = 0
        for one in entries:
            one.result.set_result(results[start : start + len(one.items)])
            start += len(one.items)


def _check(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"the run gave {found} results for {expected} items")
