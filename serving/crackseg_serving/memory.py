"""How much freed memory the C library keeps: configured when the process starts, and returned before it would be missed.

Called by the command, and by admission before a large image. Works with glibc, which the container images have; with another C
library these functions do nothing. Reasons and figures: docs/decisions/0014.
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
_ARENAS: Final = 2  # each keeps its own free memory; threads wait less for an arena than for the interpreter's lock
#: Bytes. A request's arrays are smaller, so the next request finds their pages still mapped.
_KEPT: Final = 16 << 20
_BESIDE: Final = 32 << 20  # bytes: the interpreter's own blocks, stacks, libraries' data
_PAUSE: Final = 0.5  # seconds between two returns: each goes through all free memory


def settle() -> None:
    """Limit the arenas, and have each keep the pages of one request for the next. Call it before there are threads."""
    with contextlib.suppress(AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, _ARENAS)
        library.mallopt(_MMAP_THRESHOLD, _KEPT)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Return free memory to the system. Other threads go on; memory that is used again costs its page faults."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Reserve:
    """How much of the container's memory limit is left. Memory that was freed but not returned counts against the limit like used memory."""

    def __init__(self, limit: int) -> None:
        """`limit` is the container's, in bytes."""
        self._limit, self._enough, self._tight = limit, limit // 2, 3 * limit // 4
        self._next = 0.0  # time.monotonic()
        self._giving = threading.Lock()

    def clear(self) -> None:
        """Call it before taking much: if half of the limit is resident, return the free pieces between allocations."""
        resident, soon = _resident(), time.monotonic() < self._next
        if resident < (self._tight if soon else self._enough) or not self._giving.acquire(blocking=False):
            return
        try:
            give_back()
            self._next = time.monotonic() + _PAUSE
        finally:
            self._giving.release()

    def left(self) -> int:
        """Bytes of the limit that are not in use. It goes through all free memory, which takes milliseconds."""
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
    """Bytes in use: without the free pieces between them, which are used again or returned."""
    try:
        count = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return _resident()
    count.restype = _Counts
    counts = count()
    return int(counts.uordblks + counts.hblkhd) + _BESIDE
