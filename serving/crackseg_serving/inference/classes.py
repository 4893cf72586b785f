"""The classification extension: instead of an output's tensor its greatest values, as text `value:index` or `value:index:label`.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md. Called by both wires. For a mask
the index is a pixel's (row by row, channel by channel), and the label the class that its channel means. Pure; raises Refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.inference.tensors import Array, wrong
from crackseg_serving.runtime.signature import Signature, TensorSpec

PARAMETER: Final = "classification"
DATATYPE: Final = "BYTES"
_MOST: Final = 1000
_WITHOUT_CHANNELS: Final = 3  # axes: items, height, width

Texts = NDArray[np.object_]  # [items, values], bytes


def wanted_classes(spec: TensorSpec, given: object) -> int:
    """How many values of an output are wanted; 0: its tensor."""
    if given is None:
        return 0
    if type(given) is not int or not 0 < given <= _MOST:
        raise wrong(
            f"parameter classification of output {spec.name!r} is {given!r:.50}, but must be a whole number from 1 to {_MOST}"
        )
    if spec.datatype == "BF16":
        raise wrong(f"output {spec.name!r} is BF16, which has no numbers: ask for the tensor itself")
    return given


def replaced(
    signature: Signature, specs: Sequence[TensorSpec], counts: Sequence[int], arrays: Sequence[Array]
) -> list[Array]:
    """The arrays of the outputs `specs`; those of which classes are wanted (a count above 0) as texts `[items, values]`."""
    if not any(counts):
        return list(arrays)
    return [
        _classified(array, count, _labels(signature, array) if spec.name == signature.output.name else ())
        if count
        else array
        for spec, count, array in zip(specs, counts, arrays, strict=True)
    ]


def _labels(signature: Signature, mask: Array) -> NDArray[np.object_] | Sequence[str]:
    """What each value of a mask means, in the order of an item's values: its channel's name."""
    channel = 1 if signature.output_format.layout == "NCHW" else 3
    count = mask.shape[channel] if mask.ndim > _WITHOUT_CHANNELS else 1
    names = signature.metadata.classes or ("background", "crack")[-count:]
    if len(names) != count:
        return ()
    repeats = mask[0].size // count
    return np.repeat(names, repeats) if channel == 1 else np.tile(names, repeats)


def _classified(array: Array, count: int, labels: NDArray[np.object_] | Sequence[str]) -> Texts:
    """The `count` greatest values of each item of `array` [n, ...], the greatest first; fewer where it has fewer."""
    items = array.reshape(len(array), -1)
    count = min(count, items.shape[1])
    found = np.empty((len(items), count), object)
    for place, values in enumerate(items):
        nearly = np.argpartition(values, -count)[-count:]
        order = nearly[np.lexsort((nearly, -values[nearly].astype(np.float64)))]
        found[place] = [f"{float(values[at]):f}:{at}{f':{labels[at]}' if len(labels) else ''}".encode() for at in order]
    return found


def as_bytes(texts: Texts) -> bytes:
    """As the protocol has BYTES on the wire: each with its length before it."""
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts.reshape(-1))
