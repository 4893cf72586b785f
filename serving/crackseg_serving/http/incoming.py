"""A request's body on its way from a connection to the handler: each part is taken once, where it came.

Filled by the connection, taken by `body`. A body whose size is announced has its memory before it comes: the kernel writes
straight into it, and its parts are views of it. What comes in chunks, or is larger than anything that is taken, comes as bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

Part = bytes | memoryview

_UNREAD: Final = 1 << 20  # bytes that may come before a handler takes them


class Sender(Protocol):
    """Who brings a body: its connection."""

    def pause(self) -> None:
        """Enough for now: read no more."""

    def resume(self) -> None:
        """Read on."""

    def ask(self) -> None:
        """Somebody waits for more: tell a client who sends nothing before it is told to, and read on."""


class Incoming:
    """The body of one request."""

    announced = 0  # bytes, by its head
    come = 0  # bytes so far
    missing = 0  # bytes that are still to come into its own memory, if it has any
    lost = False  # the client is gone

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._parts: deque[Part | None] = deque()  # None: that was all
        self._memory: memoryview | None = None
        self._unread = 0
        self._more: asyncio.Future[None] | None = None  # there while somebody waits for a part
        self._tell: list[Callable[[], None]] = []

    @property
    def room(self) -> memoryview:
        """Where the next of the missing bytes belong."""
        assert self._memory is not None
        return self._memory[self.come :]

    def make_room(self, most: int) -> None:
        """The head has just been read: memory for a body of at most `most` bytes that is not all there. It is taken up as it fills."""
        if self.come < self.announced <= most:
            self._memory = np.empty(self.announced, np.uint8).data
            begun = b"".join(part for part in self._parts if part)
            self._memory[: len(begun)] = begun
            self._parts = deque([self._memory[: len(begun)]] if begun else [])
            self.missing = self.announced - self.come

    def fill(self, size: int, *, wanted: bool) -> None:
        """So many of the missing bytes have come, where they belong; or elsewhere, where nobody wants them any more."""
        begin = self.come
        self.come += size
        self.missing -= size
        if wanted:
            assert self._memory is not None
            self.add(self._memory[begin : self.come])
        if not self.missing:
            self._memory = None

    def drop(self) -> None:
        """Nobody takes what has come: its request is answered. The connection may stay, and the rest may still come."""
        self._parts.clear()
        self._memory = None
        self._unread = 0

    def add(self, part: Part | None) -> None:
        """The next part has come; None: there is no more."""
        self._parts.append(part)
        wake(self._more)
        if part is not None:  # where nobody wanted it, its end must not stop what follows it
            self._unread += len(part)
            if self._unread > _UNREAD:
                self._sender.pause()

    def lose(self) -> None:
        """The client is gone; where the body is not whole, it never will be."""
        self.lost = True
        wake(self._more)
        for tell in self._tell:
            tell()

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the client leaves, or now where it has left."""
        self._sender.resume()  # who does not read does not see the end
        self._tell.append(tell)
        if self.lost:
            tell()

    def gone(self) -> asyncio.Future[None]:
        """Done when the client leaves."""
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_lost(lambda: wake(gone))
        return gone

    async def part(self, until: Callable[[int], float]) -> Part | None:
        """The next part, as soon as it is there; None after the last. Raises ConnectionResetError, TimeoutError.

        `until` says of the bytes that have come so far until when, by the event loop's clock, more must have come.
        """
        if not self._parts:
            self._sender.ask()
            while not self._parts and not self.lost:
                await self._wait(until(self.come))
        if not self._parts:
            raise ConnectionResetError
        part = self._parts.popleft()
        self._unread -= len(part or b"")
        return part

    async def _wait(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            raise TimeoutError
        self._more = more = loop.create_future()
        clock = loop.call_at(until, wake, more)
        try:
            await more
        finally:
            self._more = None
            clock.cancel()


def wake(waiter: asyncio.Future[None] | None) -> None:
    """What is waited for is there; nothing where nobody waits, or nobody any more."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def joined(parts: Sequence[Part]) -> Part:
    """All parts of one body as one; nothing is copied where they lie in memory of their own."""
    if parts and isinstance(parts[0], memoryview):
        return memoryview(parts[0].obj)
    return parts[0] if len(parts) == 1 else b"".join(parts)
