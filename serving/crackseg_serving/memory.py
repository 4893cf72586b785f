"""How the C library keeps memory that was freed: settled when the process begins, asked for back when it would be missed.

Called by the command, and by the engine before a large image. Knows glibc, which the images have; with another library nothing
happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from pathlib import Path
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # what <malloc.h> calls them
_ARENAS: Final = 2  # each keeps what it once needed; a thread that waits for one waits shorter than for the interpreter
_KEPT: Final = (
    16 << 20
)  # bytes: the arrays of a request are smaller, and the next one finds their pages where they were
_PAUSE: Final = 0.5  # seconds between two times of giving back: it goes through all that is free


def settle() -> None:
    """Few arenas, each of which keeps the pages of a request for the next. Before there are threads."""
    with contextlib.suppress(AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, _ARENAS)
        library.mallopt(_MMAP_THRESHOLD, _KEPT)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Return to the system what is free; other threads go on, and what is used again costs its page faults."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Reserve:
    """What the container's limit leaves. What is free but still held counts against it like what is used: it is given back in time."""

    def __init__(self, limit: int) -> None:
        """`limit` is the container's, in bytes."""
        self._limit, self._enough, self._tight = limit, limit // 2, 3 * limit // 4
        self._next = 0.0  # time.monotonic()
        self._giving = threading.Lock()

    def left(self) -> int:
        """Bytes, beside the process's own memory. Where half of the limit is resident, pieces that pictures left are given back before."""
        resident, soon = _resident()[0], time.monotonic() < self._next
        if resident >= (self._tight if soon else self._enough) and self._giving.acquire(blocking=False):
            try:
                give_back()
                self._next = time.monotonic() + _PAUSE
            finally:
                self._giving.release()
        return self._limit - _resident()[1]


def _resident() -> tuple[int, int]:
    """Bytes in all, and without what is a file's: the system takes those pages back when it needs them."""
    try:
        resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    except OSError:
        return 0, 0  # no Linux
    page = os.sysconf("SC_PAGE_SIZE")
    return resident * page, (resident - shared) * page
