"""Progress for a person: one line a step, with the seconds since the command began.

Every other module calls it; it knows nothing of clusters. Lines go to standard error, so that standard output stays
usable by scripts.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGAN = time.monotonic()
_REMINDER_SECONDS = 30.0


def say(text: str) -> None:
    """Print one line with the elapsed time."""
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say that a long step begins, that it still runs (every half minute), and how long it took."""
    say(f"{text} …")
    began = time.monotonic()
    done = threading.Event()

    def remind() -> None:
        while not done.wait(_REMINDER_SECONDS):
            say(f"{text}: still at it after {time.monotonic() - began:.0f} s")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()
    say(f"{text}: done in {time.monotonic() - began:.1f} s")
