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


class _Room:
    """An amount of memory that requests share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._freed = threading.Condition()

    def take(self, amount: int) -> bool:
        """Take it where it is free."""
        with self._freed:
            if amount > self._free:
                return False
            self._free -= amount
            return True

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        with self._freed:
            self._free += amount
            self._freed.notify_all()

    def wait(self) -> None:
        """Until something is given back, or a moment has passed."""
        with self._freed:
            self._freed.wait(_PATIENCE)


class Admission:
    """Counts requests and memory; refuses before latency or memory grow without bound."""

    def __init__(self, *, max_requests: int, memory: int, timeout: float) -> None:
        """`memory` bytes are for bodies (an eighth) and for the images in them (the rest); `timeout` is in seconds."""
        self._max_requests = max_requests
        self._timeout = timeout
        self._bodies = _Room(memory // 8)
        self._images = _Room(memory - memory // 8)
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
        """Room for a request's bytes: call the given function for each part.

        It raises Refused: TOO_MANY_BYTES where they could never fit, OVERLOADED where they do not fit now.
        """
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            if held + size > self._bodies.size:
                raise Refused(
                    Cause.TOO_MANY_BYTES,
                    f"the body has more than the {self._bodies.size} bytes of memory that the server has for bodies",
                )
            if not self._bodies.take(size):
                raise Refused(Cause.OVERLOADED, "the server's memory is taken by other requests: try again later")
            held += size

        try:
            yield grow
        finally:
            self._bodies.give(held)

    @contextmanager
    def image(self, size: int, ticket: Ticket) -> Iterator[None]:
        """Room for an image that needs `size` bytes; waits its turn. Raises Refused (TOO_MANY_PIXELS, TIMED_OUT …)."""
        room = self._images
        if size > room.size:
            raise Refused(
                Cause.TOO_MANY_PIXELS,
                f"the image needs about {size >> 20} MiB of memory, and the server has {room.size >> 20} MiB for images: "
                "cut it, or give the server a higher memory limit",
            )
        while not room.take(size):
            ticket.check()
            room.wait()
        try:
            yield
        finally:
            room.give(size)

    @contextmanager
    def more(self, size: int, held: int) -> Iterator[None]:
        """`size` bytes more for an image that has `held` already; at once, for two that wait for each other wait for ever.

        Raises Refused (TOO_MANY_PIXELS where it can never fit, OVERLOADED where it does not fit now).
        """
        room = self._images
        if size + held > room.size:
            raise Refused(
                Cause.TOO_MANY_PIXELS,
                f"so much of the image is crack that measuring it needs about {size >> 20} MiB of memory, and the server has "
                f"{room.size >> 20} MiB for images: ask for a mask, cut the image, or give the server a higher memory limit",
            )
        if not room.take(size):
            raise Refused(Cause.OVERLOADED, "the server's memory is taken by other requests: try again later")
        try:
            yield
        finally:
            room.give(size)
