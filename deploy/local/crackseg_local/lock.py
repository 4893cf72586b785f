"""One at a time: a lock between processes that the system frees when its holder dies.

Held while programs are built, images are made, and the cluster goes up or down.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crackseg_local.progress import say


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file, waiting for another holder with a word about it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
