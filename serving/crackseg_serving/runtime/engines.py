"""TensorRT engines, kept from one start to the next: building one takes minutes, reading it a second.

Called by `card`. Knows folders and files, but neither models nor ONNX Runtime. Several pods may share the folder: one builds at a
time, in a folder that the others do not see, and the result appears by a rename.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from crackseg_serving.failures import ModelFailure

T = TypeVar("T")

_LOG = logging.getLogger("crackseg.runtime")

_LOCK: Final = "lock"
_TIMINGS: Final = "timings"
_BUILDING: Final = "building-"
_MOST: Final = 16  # sets of engines in the folder: versions come and go, and each set is about as large as its model


def with_engines(root: Path, key: str, start: Callable[[Path, Path], T]) -> T:
    """What `start(engines, timings)` returns, given a folder with the engines of `key` and one with what was timed.

    Where there are none it builds them there, and they are kept under `root` for the next start. Where it cannot use those that are there
    (another driver, another TensorRT), they are thrown away and built anew. `key` says all that an engine depends on and that its
    maker does not check. A root that cannot be written to is done without: then every start builds.
    Raises what `start` raises, where it fails with an empty folder too.
    """
    kept = root / key
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        _LOG.warning("engines are not kept: %s cannot be written (%s)", root, error.strerror)
        with tempfile.TemporaryDirectory() as folder:
            return start(Path(folder), Path(folder))
    try:
        useless = None
        if kept.is_dir():
            useless = kept.stat().st_ino
            try:
                return _used(kept, root, start)
            except ModelFailure as failure:
                _LOG.warning("the engines in %s cannot be used and are built anew: %s", kept, failure.message)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.is_dir() and kept.stat().st_ino != useless:  # who held the lock has built the same
            return _used(kept, root, start)
        return _built(kept, root, start)
    finally:
        os.close(lock)  # and with it the lock


def _used(kept: Path, root: Path, start: Callable[[Path, Path], T]) -> T:
    os.utime(kept)  # the oldest are thrown away, and this one is not
    return start(kept, root / _TIMINGS)


def _built(kept: Path, root: Path, start: Callable[[Path, Path], T]) -> T:
    (root / _TIMINGS).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=root) as scratch:
        folder = Path(scratch) / "engines"
        folder.mkdir()
        result = start(folder, root / _TIMINGS)
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    _sweep(root, kept)
    return result


def _sweep(root: Path, kept: Path) -> None:
    """Throw the oldest away, and what a process that was killed has left."""
    folders = [folder for folder in root.iterdir() if folder.is_dir() and folder.name != _TIMINGS and folder != kept]
    left = [folder for folder in folders if folder.name.startswith(_BUILDING)]
    sets = sorted((folder for folder in folders if folder not in left), key=lambda folder: folder.stat().st_mtime)
    for folder in [*left, *sets[: max(0, len(sets) + 1 - _MOST)]]:
        shutil.rmtree(folder, ignore_errors=True)
