"""Which function opens which kind of location; opens files itself. Called by `download`; imports only what a location needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.location import BucketLocation, FileLocation, Location, WebLocation
from crackseg_serving.sources.opened import CHUNK_BYTES, Opened


class Opener(Protocol):
    """Opens a location for reading; raises ModelFailure (final) or Transient (worth a retry)."""

    def __call__(self, env: Mapping[str, str], timeout: float) -> AbstractContextManager[Opened]:
        """Open, with `timeout` seconds for every single read."""


def opener(location: Location) -> Opener:
    """Who can open `location`. Imports only what this location needs."""
    match location:
        case FileLocation(path):
            return lambda _env, _timeout: open_file(path)
        case WebLocation(url):
            from crackseg_serving.sources.web import open_web

            return lambda env, timeout: open_web(url, env, timeout)
        case BucketLocation(bucket, key):
            from crackseg_serving.sources.bucket import open_object

            return lambda env, timeout: open_object(bucket, key, env, timeout)


@contextmanager
def open_file(path: Path) -> Iterator[Opened]:
    """A file of this container."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ModelFailure(
            "ModelNotFound", f"there is no file {path}: check the path, and the image's or the claim's contents"
        ) from None
    except PermissionError:
        raise ModelFailure(
            "ModelAccessDenied", f"{path} may not be read by this container's user: make it readable for everyone"
        ) from None
    with file:
        yield Opened(path.stat().st_size, iter(lambda: file.read(CHUNK_BYTES), b""))
