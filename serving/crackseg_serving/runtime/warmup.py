"""The first real runs: they show what the model gives, and make the session's memory and kernels ready.

Called by the engine before it says that it is ready.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.imaging import to_tensor
from crackseg_serving.runtime.session import Session
from crackseg_serving.runtime.signature import Signature, settle

_SMALL = 64  # pixels: enough to try a batch, too small to cost time


def tile_shape(signature: Signature, size: int) -> tuple[int, int]:
    """Height and width of the tiles: what the graph fixes, else `size` rounded up to the model's multiple."""
    tall, wide = signature.multiple
    return signature.height or -(-size // tall) * tall, signature.width or -(-size // wide) * wide


def warm_up(session: Session, size: int, batch_size: int) -> None:
    """Run `session` at the tile size, settle its signature, and find out whether it takes batches.

    Raises ModelFailure (ContractMismatch, OutOfMemory).
    """
    tile = tile_shape(session.signature, size)
    output = _run(session, tile, 1)
    session.signature = settle(session.signature, output, tile)
    if session.signature.batch is None and batch_size > 1:
        _try_batch(session, tile, batch_size)


def _try_batch(session: Session, tile: tuple[int, int], batch_size: int) -> None:
    """A graph may declare an open batch and hold a reshape that is not: then images are run one by one."""
    try:
        if session.on_cpu:
            _run(session, tile_shape(session.signature, min(_SMALL, tile[0])), 2)
        else:
            _run(session, tile, batch_size)  # the card chooses its kernels for this very size
    except ModelFailure as failure:
        if failure.reason != "ContractMismatch":
            raise
        session.signature = replace(session.signature, batch=1)


def _run(session: Session, tile: tuple[int, int], count: int) -> NDArray[np.generic]:
    signature = session.signature
    image = _probe(tile)
    batch = to_tensor([image] * count, signature.input_format)
    try:
        output = session.run(batch)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean the same
        if is_memory(error):
            raise ModelFailure(
                "OutOfMemory",
                f"a run on a tile of {tile[0]} x {tile[1]} pixels does not fit into memory: raise the limit or use smaller tiles",
            ) from None
        line = str(error).strip().partition("\n")[0].removeprefix("[ONNXRuntimeError] : ")[:400]
        raise ModelFailure(
            "ContractMismatch",
            f"the warm-up run with {count} x {tile[0]} x {tile[1]} pixels into {signature.input} failed: {line}",
        ) from None
    if output.shape[:1] != (count,):
        raise ModelFailure(
            "ContractMismatch", f"expected {count} mask(s) for {count} image(s), found an output {list(output.shape)}"
        )
    return output


def _probe(tile: tuple[int, int]) -> NDArray[np.uint8]:
    """Black, white and noise: if a model has logits to show, it shows them here."""
    scattered = np.arange(tile[0] * tile[1] * 3, dtype=np.uint32) * np.uint32(2_654_435_761) >> np.uint32(24)
    image = scattered.astype(np.uint8).reshape(*tile, 3)
    image[: tile[0] // 4] = 0
    image[tile[0] // 4 : tile[0] // 2] = 255
    return image
