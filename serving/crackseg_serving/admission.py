"""Who may come in, and for how long: bounds on requests, on the bytes they bring and on the memory their images take.

One Admission a server. A request gets a Ticket, which every later stage asks whether going on is still worth it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.memory import Reserve

_PATIENCE = 0.25  # seconds between checks of a ticket while waiting for memory
_LARGE = (
    16 << 20
)  # bytes that an image needs. Smaller ones reuse what other requests freed, and are not worth a look at the memory
_NEWEST_SHARE = 0.1  # of the newest request in the moving mean of how long requests take


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's right to be worked on: until its deadline, and while its client is there."""

    deadline: float  # time.monotonic()
    came: float = field(default_factory=time.monotonic)
    runs: int = 0  # how many runs it has asked the model for so far
    _gone: bool = False

    def cancel(self) -> None:
        """The client is gone: nobody would read the answer."""
        self._gone = True

    @property
    def valid(self) -> bool:
        """Whether going on is worth it."""
        return not self._gone and time.monotonic() < self.deadline

    def check(self) -> None:
        """Raise Refused (CLIENT_GONE or TIMED_OUT) where going on is pointless."""
        if self._gone:
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        if time.monotonic() >= self.deadline:
            allowed = self.deadline - self.came
            raise Refused(
                Cause.TIMED_OUT,
                f"the request was not done within its {allowed:.3g} s: send a smaller image, allow more time, or try again later",
            )

    @property
    def remaining(self) -> float:
        """Seconds to the deadline, never below 0."""
        return max(0.0, self.deadline - time.monotonic())


class _Room:
    """An amount of memory, in bytes, that requests share. From any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._freed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[object]:
        """A place in the line for large amounts: without it, small requests that still fit would always overtake a large one."""
        place = object()
        self._line.append(place)
        try:
            yield place
        finally:
            with self._freed:
                self._line.remove(place)
                self._freed.notify_all()

    def take(self, amount: int, place: object = None) -> bool:
        """Take `amount` if it is free; with a `place`, only if that is the first in the line. Whether it was taken."""
        with self._freed:
            if amount > self._free or (place is not None and self._line[0] is not place):
                return False
            self._free -= amount
            return True

    @property
    def unused(self) -> bool:
        """Whether nothing is taken."""
        return self._free == self.size

    def fit(self, size: int) -> None:
        """Have this size from now on. Ignored while something is taken, because then nobody knows how much of the rest is in use."""
        with self._freed:
            if self.unused:
                self.size = self._free = size

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        with self._freed:
            self._free += amount
            self._freed.notify_all()

    def wait(self) -> None:
        """Wait until something is given back, for a moment at most."""
        with self._freed:
            self._freed.wait(_PATIENCE)


class Admission:
    """Counts requests and memory; refuses before latency or memory grow without bound."""

    def __init__(
        self,
        *,
        max_requests: int,
        memory: int,
        timeout: float,
        places: int = 1,
        max_wait: float = math.inf,
        reserve: Reserve | None = None,
    ) -> None:
        """`memory` bytes are for bodies (an eighth) and for the images in them (the rest); `timeout` is in seconds.

        `places` is how many requests are processed at once. The others wait, and one that would wait longer than `max_wait`
        seconds is refused. `reserve` knows how much memory the model leaves for large images, and frees memory before one is
        let in.
        """
        self._max_requests = max_requests
        self._timeout, self._max_wait = timeout, max_wait
        self._places = places
        self._reserve = reserve
        self._mean = 0.0  # seconds of work a request, lately
        self._bodies = _Room(memory // 8)
        self._most_for_images = memory - memory // 8
        self._images = _Room(self._most_for_images)
        self.requests = 0
        self.latest = time.monotonic()  # when the last request came

    @property
    def most_bytes(self) -> int:
        """The largest body that there can ever be room for."""
        return self._bodies.size

    @property
    def wait(self) -> float:
        """How long a request that came now would wait for a place, in seconds, judging by recent requests."""
        return max(0, self.requests + 1 - self._places) * self._mean / self._places

    def worked(self, seconds: float) -> None:
        """One more request has had a place for `seconds`."""
        self._mean += (seconds - self._mean) * (_NEWEST_SHARE if self._mean else 1.0)

    @contextmanager
    def request(self, timeout: float | None = None) -> Iterator[Ticket]:
        """A ticket for one request, valid for `timeout` seconds (the client's wish), and never longer than the server's own limit.

        Raises Refused (OVERLOADED, with the seconds after which to try again) if it would wait too long or beyond its
        deadline, or if too many requests are inside. From the event loop's thread.
        """
        now = self.latest = time.monotonic()
        allowed = self._timeout if timeout is None else min(timeout, self._timeout)
        self._check(allowed)
        self.requests += 1
        try:
            yield Ticket(now + allowed, now)
        finally:
            self.requests -= 1

    @contextmanager
    def elsewhere(self, ticket: Ticket) -> Iterator[None]:
        """While a request waits for its client's body, or for an image from a URL: it delays nobody, and is not counted.

        Afterwards it asks again to come in. Raises Refused (OVERLOADED). From the event loop's thread.
        """
        self.requests -= 1
        try:
            yield
            self._check(ticket.remaining)
        finally:
            self.requests += 1

    def _check(self, allowed: float) -> None:
        """Raise Refused (OVERLOADED) if a request that is allowed so many seconds cannot come in."""
        wait = self.wait
        if self.requests >= self._max_requests or wait > min(allowed, self._max_wait):
            raise self._overloaded(
                f"{self.requests} requests are being processed or waiting, and this one would wait {wait:.3g} s: try again later"
            )

    def _overloaded(self, message: str) -> Refused:
        """Try again when half of the requests here are done: earlier is in vain, later would leave the server idle."""
        return Refused(Cause.OVERLOADED, message, retry_after=max(1, math.ceil(self.wait / 2)))

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
                    f"the body has more than {self._bodies.size} bytes, all the memory that the server has for bodies: send a smaller image",
                )
            if not self._bodies.take(size):
                raise self._overloaded("other requests are using the server's memory: try again later")
            held += size

        try:
            yield grow
        finally:
            self._bodies.give(held)

    @contextmanager
    def image(self, size: int, ticket: Ticket, remedy: str = "cut it") -> Iterator[None]:
        """Room for an image that needs `size` bytes; large ones wait in the order in which they came.

        `remedy` says what the sender can do if it can never fit, besides giving the server more memory. Raises Refused
        (TOO_MANY_PIXELS, TIMED_OUT, CLIENT_GONE).
        """
        room = self._images
        reserve = self._reserve if size >= _LARGE else None
        if reserve is not None and room.unused:
            most = self._most_for_images
            room.fit(max(most // 8, min(most, reserve.left() - self._bodies.size)))
        if size > room.size:
            raise Refused(
                Cause.TOO_MANY_PIXELS,
                f"the image needs about {size >> 20} MiB of memory, and the server has {room.size >> 20} MiB for images: "
                f"{remedy}, or give the server a higher memory limit",
            )
        with room.turn() if size >= _LARGE else nullcontext() as place:
            while not room.take(size, place):
                ticket.check()
                room.wait()
        if reserve is not None:
            reserve.clear()
        try:
            yield
        finally:
            room.give(size)

    @contextmanager
    def more(self, size: int, held: int) -> Iterator[None]:
        """`size` bytes more for an image that has `held` already. It does not wait: two that wait for each other would wait forever.

        Raises Refused (TOO_MANY_PIXELS where it can never fit, OVERLOADED where it does not fit now).
        """
        room = self._images
        if size + held > room.size:
            raise Refused(
                Cause.TOO_MANY_PIXELS,
                f"so much of the image is crack that measuring it needs at least {size + held >> 20} MiB of memory, and the server has "
                f"{room.size >> 20} MiB for images: ask for a mask, cut the image, or give the server a higher memory limit",
            )
        if not room.take(size):
            raise self._overloaded("other requests are using the server's memory: try again later")
        try:
            yield
        finally:
            room.give(size)
