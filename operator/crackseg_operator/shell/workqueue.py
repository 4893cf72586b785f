"""Keys that wait to be reconciled: each once, none by two workers at a time, failing ones later and later.

Filled by the watches and by due times, emptied by the workers of `reconcile`. One heap holds all timers. Knows
nothing of what a key means. Whether the operator gets on is judged here: by keys that wait while none moves, and by
work that does not end.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY: Final = 0.005
_LONGEST_DELAY: Final = 60.0


def backoff(failures: int) -> float:
    """Seconds to wait after this many failures in a row: 5 ms doubled each time up to 60 s, less up to a half."""
    delay: float = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(failures - 1, 20))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class WorkQueue(Generic[K]):
    """Runs in one event loop; no lock is needed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # seconds, monotonic, the event loop's own
        self._ready: deque[K] = deque()
        self._since: dict[K, float] = {}  # keys in _ready, or dirty while they are worked on: since when
        self._active: dict[K, float] = {}  # since when
        self._moved = clock()  # when a key was last begun or ended
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}  # the one timer that counts for a key
        self._held: dict[K, float] = {}  # not before this time, whatever happens
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._since)

    def add(self, key: K) -> None:
        """Reconcile soon. A key that is already waiting waits once; one that is worked on comes again after."""
        if key in self._since:
            return
        now = self._clock()
        if self._held.get(key, 0.0) > now:
            self._schedule(key, self._held[key])
            return
        self._held.pop(key, None)
        self._since[key] = now
        if key not in self._active:
            self._push(key)

    def due(self, key: K, delay: float) -> None:
        """Reconcile after `delay` seconds at the latest; replaces what was due before."""
        self._schedule(key, self._clock() + delay)

    async def get(self) -> K:
        """The oldest ready key; it is then being worked on until `done`."""
        while not self._ready:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter.cancelled() and waiter in self._waiting:
                    self._waiting.remove(waiter)
        key = self._ready.popleft()
        del self._since[key]
        self._active[key] = self._moved = self._clock()
        self._due.pop(key, None)
        return key

    def done(self, key: K) -> None:
        """The key's work went well; it starts from a short delay when it fails again."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """The key's work failed: it comes again after a growing delay, which is returned in seconds.

        `at_least` is what the API server asked for; nothing makes the key come earlier than that.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, backoff(self._failures[key]))
        if at_least:
            self._held[key] = self._clock() + at_least
            self._since.pop(key, None)  # what came meanwhile waits as well
        self._release(key)
        if key not in self._due:
            self._schedule(key, self._clock() + delay)
        return delay

    def forget(self, key: K) -> None:
        """The key's object is gone: no timer and no memory of failures remain."""
        self._failures.pop(key, None)
        self._due.pop(key, None)
        self._held.pop(key, None)

    def hasten(self) -> None:
        """What made keys fail may be over: all that wait after a failure come now."""
        for key in list(self._failures):
            if key in self._due and key not in self._held:
                self.add(key)

    def oldest_age(self, since: float) -> float:
        """Seconds that the oldest ready key has been waiting, 0 where none waits; before `since` nobody could work."""
        now = self._clock()
        return max(0.0, now - max(since, min(self._since.values(), default=now)))

    def stuck_for(self, since: float) -> float:
        """Seconds for which keys have waited and none was begun or ended; before `since` nobody could work."""
        return min(self.oldest_age(since), self._clock() - self._moved)

    def longest_work(self) -> float:
        """Seconds that the oldest work under way has taken."""
        now = self._clock()
        return now - min(self._active.values(), default=now)

    def _release(self, key: K) -> None:
        self._active.pop(key, None)
        self._moved = self._clock()
        if key in self._since:
            self._push(key)

    def _push(self, key: K) -> None:
        self._ready.append(key)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _schedule(self, key: K, when: float) -> None:
        self._due[key] = when
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, key))
        if self._heap[0][2] == key:
            self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # replaced or done meanwhile
        if self._heap:
            delay = max(0.0, self._heap[0][0] - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self._held.pop(key, None)
                self.add(key)
        self._arm()
