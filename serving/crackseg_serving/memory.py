"""What the C library keeps of memory that was freed, and how to have it given back.

Called by the command when a model is loaded. Knows glibc, which the images have; with another library nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Return to the system what is free; other threads go on, and what is used again costs its page faults."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
