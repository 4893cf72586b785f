"""The threads that decode, stitch, measure and encode: so many requests at once, and the long ones beside them.

One Workers an engine. Knows work and the tickets it is done for; may not know images, models or HTTP.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from crackseg_serving.admission import Ticket

T = TypeVar("T")
_Job = Callable[[], None]


class Workers:
    """`places` for work, in the order in which it comes.

    Work that turns out to be long steps aside: it goes on in its thread, and its place is the next one's. So a small image
    waits for other small images, and never until a big one is done. Admission bounds how many can be inside at all.
    """

    def __init__(self, places: int, threads: int, observe: Callable[[float, float], None]) -> None:
        """At most `threads` threads. `observe` hears of each work when it gives its place: seconds it waited, and seconds it had it."""
        self._free = places
        self._observe = observe
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._waiting: deque[_Job] = deque()
        self._placed: dict[int, tuple[float, float]] = {}  # threads that have a place: when their work came, and began
        self._changing = threading.Lock()
        self.busy = 0  # works that have been given and are not done

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def start(self, work: Callable[[], T], ticket: Ticket) -> Future[T]:
        """Do `work` as soon as there is a place, unless by then its ticket is worth nothing."""
        result: Future[T] = Future()
        came = time.perf_counter()

        def job() -> None:
            self._placed[threading.get_ident()] = (came, time.perf_counter())
            try:
                if result.set_running_or_notify_cancel():
                    _fulfil(result, work, ticket)
            finally:
                self._leave()

        with self._changing:
            self.busy += 1
            if not self._free:
                self._waiting.append(job)
                return result
            self._free -= 1
        self._threads.submit(job)
        return result

    def step_aside(self) -> None:
        """What this thread does is long: give its place to the next. Once for each work; elsewhere it does nothing."""
        times = self._placed.pop(threading.get_ident(), None)
        if times is not None:
            came, began = times
            self._observe(began - came, time.perf_counter() - began)
            self._give_place()

    def _leave(self) -> None:
        self.step_aside()
        with self._changing:
            self.busy -= 1

    def _give_place(self) -> None:
        with self._changing:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._free += 1
        if following is not None:
            self._threads.submit(following)


def _fulfil(result: Future[Any], work: Callable[[], Any], ticket: Ticket) -> None:
    try:
        ticket.check()
        value = work()
    except BaseException as error:  # noqa: BLE001 - handed to the waiter, who would wait for ever otherwise
        result.set_exception(error)
    else:
        result.set_result(value)
