"""What height and width of a tile must be multiples of, found by trying, for files that do not say.

A network that halves its picture five times and joins what it had before takes multiples of 32, and nothing in its graph says
so: it would fail at the first photograph that is smaller than a tile. Called by the loading before the warm-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from crackseg_serving.failures import ModelFailure
from crackseg_serving.imaging import to_tensor
from crackseg_serving.runtime.session import Session
from crackseg_serving.runtime.settling import output_layout
from crackseg_serving.runtime.warmup import probe

_STEPS: Final = (1, 2, 4, 8, 16, 32, 64)
_SIDES: Final = (128, 192)  # multiples of all of them, and cheap to run


def find_multiple(session: Session, size: int | tuple[int, int]) -> Session:
    """`session`, its signature with the multiple: the least power of two that works, or the tile where none does.

    Nothing is tried where the file says it, where the graph or `size` (height and width, not a tile's side) fixes both sides, and
    on cards, which are made ready for one size.
    """
    signature = session.signature
    if signature.metadata.multiple is not None or isinstance(size, tuple) or not session.on_cpu:
        return session
    if None in {signature.height, signature.width}:
        found = next((step for step in _STEPS if _takes(session, step)), size)
        session.signature = replace(signature, metadata=replace(signature.metadata, multiple=found))
    return session


def _takes(session: Session, step: int) -> bool:
    """Whether it marks a picture whose sides are multiples of `step` and of no greater power of two."""
    signature = session.signature
    tile = (signature.height or _SIDES[0] + step, signature.width or _SIDES[1] + step)
    output = session.attempt(to_tensor([probe(tile)], signature.input_format))
    if output is None:
        return False
    try:
        output_layout(output.shape, tile, signature.input_format.layout)
    except ModelFailure:
        return False
    return True
