"""Who may come in, and for how long: bounds on requests, on the bytes they bring and on the memory their images take.

One Admission a server. A request gets a Ticket, which every later stage asks whether going on is still worth it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from crackseg_serving.failures import Cause, Refused

_PATIENCE = 0.25  # seconds between looks at a ticket while waiting for memory


@dataclass(slots=True)
class Ticket:
    """One request's right to be worked on: until its deadline, and while its client is there."""

    deadline: float  # time.monotonic()
    _gone: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """The client is gone: nobody would read the answer."""
        self._gone.set()

    def check(self) -> None:
        """Raise Refused (CLIENT_GONE or TIMED_OUT) where going on is pointless."""
        if self._gone.is_set():
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        if time.monotonic() >= self.deadline:
            raise Refused(
                Cause.TIMED_OUT, "the request took longer than the server allows: send a smaller image, or try later"
            )

    @property
    def remaining(self) -> float:
        """Seconds to the deadline, never below 0."""
        return max(0.0, self.deadline - time.monotonic())


class Admission:
    """Counts requests and memory; refuses before latency or memory grow without bound."""

    def __init__(self, *, max_requests: int, memory: int, timeout: float) -> None:
        self._max_requests = max_requests
        self._memory = memory
        self._timeout = timeout
        self._free = memory
        self._freed = threading.Condition()
        self.requests = 0
        self.latest = time.monotonic()  # when the last request came

    @contextmanager
    def request(self) -> Iterator[Ticket]:
        """A ticket for one request. Raises Refused (OVERLOADED) where too many are inside. From the event loop's thread."""
        self.latest = time.monotonic()
        if self.requests >= self._max_requests:
            raise Refused(Cause.OVERLOADED, f"{self.requests} requests are being worked on or waiting: try again later")
        self.requests += 1
        try:
            yield Ticket(time.monotonic() + self._timeout)
        finally:
            self.requests -= 1

    @contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """Room for a request's bytes: call the given function for each part. It raises Refused (OVERLOADED)."""
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            if not self._take(size):
                raise Refused(Cause.OVERLOADED, "the server's memory is taken by other requests: try again later")
            held += size

        try:
            yield grow
        finally:
            self._give(held)

    @contextmanager
    def image(self, size: int, ticket: Ticket) -> Iterator[None]:
        """Room for an image that needs `size` bytes; waits its turn. Raises Refused (TOO_MANY_PIXELS, TIMED_OUT …)."""
        if size > self._memory // 2:
            raise Refused(
                Cause.TOO_MANY_PIXELS,
                f"the image needs about {size >> 20} MiB of the {self._memory >> 20} MiB that the server has for images: "
                "cut it, or give the server a higher memory limit",
            )
        while not self._take(size):
            ticket.check()
            with self._freed:
                self._freed.wait(_PATIENCE)
        try:
            yield
        finally:
            self._give(size)

    def _take(self, size: int) -> bool:
        with self._freed:
            if size > self._free:
                return False
            self._free -= size
            return True

    def _give(self, size: int) -> None:
        with self._freed:
            self._free += size
            self._freed.notify_all()
