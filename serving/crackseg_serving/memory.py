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
_BESIDE: Final = 32 << 20  # bytes: the interpreter's own blocks, stacks, libraries' data
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

    def clear(self) -> None:
        """Before much is taken: where half of the limit is resident, the pieces that pictures left between others are given back."""
        resident, soon = _resident(), time.monotonic() < self._next
        if resident < (self._tight if soon else self._enough) or not self._giving.acquire(blocking=False):
            return
        try:
            give_back()
            self._next = time.monotonic() + _PAUSE
        finally:
            self._giving.release()

    def left(self) -> int:
        """Bytes beside those that something lives in. It goes through all that is free: milliseconds."""
        return self._limit - _used()


def _resident() -> int:
    """Bytes of the process that are in memory."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # no Linux


class _Counts(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()  # noqa: SIM905
    )


def _used() -> int:
    """Bytes that something lives in: what is free between them the next one takes, or it is given back."""
    try:
        count = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return _resident()
    count.restype = _Counts
    counts = count()
    return int(counts.uordblks + counts.hblkhd) + _BESIDE
