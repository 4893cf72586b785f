"""What every source hands to the download: a size if it is known, and the bytes; and the one error worth a retry.

Used by each source, and by `opening` and `download` above them.
"""

from __future__ import annotations

from collections.abc import Iterable

from crackseg_serving.values import value

CHUNK_BYTES = 1 << 20


class Transient(Exception):  # noqa: N818 - a condition of the world, which passes
    """The source could not answer now; asking again may help."""


@value
class Opened:
    """A model about to be read. `size` is what the source announced, in bytes."""

    size: int | None
    chunks: Iterable[bytes | memoryview]
