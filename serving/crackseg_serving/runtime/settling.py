"""What only a real run shows of a model: how its output is read, and which sizes it takes.

Pure. Called by the warm-up and by those who try other ways to compute a model. Raises ModelFailure (ContractMismatch)
rather than guess where a guess would serve wrong masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging import OutputFormat
from crackseg_serving.runtime.metadata import Activation, Layout
from crackseg_serving.runtime.signature import CLASS_NUMBERS, Signature, mismatch

#: How far a probability may lie outside of 0..1: what enlarging it bicubically, or 8 bits, make of it.
_ROUNDING: Final = 0.05


def settle(signature: Signature, output: NDArray[np.generic], tile: tuple[int, int]) -> Signature:
    """`signature` with the output's format, as a run on a tile of `tile` (height, width) showed it.

    `output` is what the graph gave for that tile, batch first. Where the metadata do not say what the graph has applied:
    values that all lie in 0..1 are probabilities (softmax where several channels sum to 1), others are logits.
    """
    layout, count = output_layout(output.shape, tile, signature.input_format.layout)
    maps = np.asarray(output, np.float32)
    if not np.isfinite(maps).all():
        raise mismatch("finite figures from the warm-up run", "infinite figures or none at all (NaN)")
    activation = _activation(signature, maps.sum(axis=1 if layout == "NCHW" else -1), (maps.min(), maps.max()), count)
    if activation == "argmax":
        crack = _crack_number(signature, maps, count)
    else:
        crack = _crack_channel(signature.metadata.classes, count)
    return replace(signature, output_format=OutputFormat(layout=layout, activation=activation, crack_class=crack))


def output_layout(shape: tuple[int, ...], tile: tuple[int, int], preferred: Layout) -> tuple[Layout, int]:
    """Layout and number of channels of a real output for a tile."""
    if len(shape) == 3 and _covers(shape[1:3], tile):
        return "NCHW", 1
    if len(shape) == 4:
        planar, packed = _covers(shape[2:4], tile), _covers(shape[1:3], tile)
        if planar and (preferred == "NCHW" or not packed):
            return "NCHW", shape[1]
        if packed:
            return "NHWC", shape[3]
    raise mismatch(
        f"a mask as large as the tile of {tile[0]} x {tile[1]} pixels, or a whole fraction of it",
        f"an output {list(shape)}",
    )


def _covers(found: Sequence[int], tile: tuple[int, int]) -> bool:
    (height, width), (tall, wide) = found, tile
    return height > 0 and width > 0 and tall % height == 0 and tall // height <= 16 and tall * width == wide * height


def _activation(signature: Signature, sums: NDArray[np.float32], limits: tuple[Any, Any], count: int) -> Activation:
    """What the graph has applied; `limits` are the least and the greatest figure of the run, `sums` those of all channels."""
    said, (low, high) = signature.metadata.activation, limits
    if signature.output.datatype in CLASS_NUMBERS:
        if said not in {None, "argmax"}:
            raise mismatch("crackseg.output.activation=argmax, or nothing", f"{said} for output {signature.output}")
        return "argmax"
    figures = f"figures from {low:.6g} to {high:.6g} in the warm-up run"
    inside = low >= -_ROUNDING and high <= 1 + _ROUNDING
    if said is not None:
        if said in {"sigmoid", "softmax"} and not inside:
            raise mismatch(f"probabilities, 0 to 1, as crackseg.output.activation={said} says", figures)
        return said
    if inside:
        return "softmax" if count > 1 and np.allclose(sums, 1, atol=_ROUNDING) else "sigmoid"
    if count == 1 and low >= -_ROUNDING:  # as logits all of any picture would be crack
        raise mismatch(
            "probabilities (0 to 1), or logits (below 0 where there is no crack)",
            f"{figures}: is it a mask of 0 and 255, percent or class numbers? Leave that step out of the export, "
            "or say in crackseg.output.activation what the graph has applied (sigmoid, softmax, argmax; none for logits)",
        )
    return "none"


def _crack_number(signature: Signature, maps: NDArray[np.float32], count: int) -> int:
    """The number that means crack, in an output of class numbers."""
    if count != 1:
        raise mismatch("class numbers [N, H, W] or [N, 1, H, W]", f"{count} channels in output {signature.output}")
    classes = signature.metadata.classes
    if not classes and signature.output.datatype != "BOOL":
        raise mismatch(
            f"crackseg.classes to name what the numbers of output {signature.output} mean, in their order: "
            "'background,crack' where 1 is crack",
            "no names",
        )
    names = classes or ("background", "crack")
    least, most = maps.min(), maps.max()
    if least < 0 or most >= len(names):
        raise mismatch(
            f"class numbers from 0 to {len(names) - 1}, for crackseg.classes has {len(names)} names",
            f"numbers from {least:.6g} to {most:.6g}",
        )
    return _named_crack(names, f"{len(names)} names")


def _crack_channel(classes: Sequence[str], count: int) -> int:
    if classes and len(classes) != count and count > 1:
        raise mismatch(
            f"{count} names in crackseg.classes, one for each output channel", f"{len(classes)}: {', '.join(classes)}"
        )
    if count == 1:
        return 0
    if count == 2 and not classes:
        return 1  # background, crack: what every trainer does
    return _named_crack(classes, f"{count} channels")


def _named_crack(classes: Sequence[str], found: str) -> int:
    named = [index for index, name in enumerate(classes) if "crack" in name.lower()]
    if len(named) != 1:
        raise mismatch(
            "crackseg.classes to name exactly one of the output's channels 'crack'", f"{found}, classes {list(classes)}"
        )
    return named[0]
