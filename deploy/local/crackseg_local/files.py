"""Writing small files so that a reader never sees half of one, and is not woken when nothing has changed.

Used for everything that the cluster's programs read: kube-proxy ends when its configuration is written, changed or not.
"""

import os
from pathlib import Path


def write(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Give the file this text; it is left alone when it has it."""
    if path.exists() and path.read_text() == text:
        return path
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=mode)
    unfinished.write_text(text)
    return unfinished.rename(path)
