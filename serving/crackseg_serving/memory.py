"""How the C library keeps memory that was freed: settled when the process begins, asked for back when a model is loaded.

Called by the command. Knows glibc, which the images have; with another library nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # what <malloc.h> calls them
_ARENAS: Final = 2  # each keeps what it once needed; a thread that waits for one waits shorter than for the interpreter
_KEPT: Final = (
    16 << 20
)  # bytes: the arrays of a request are smaller, and the next one finds their pages where they were


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
