"""Pictures to a model's input tensor, and its output tensor to probabilities.

Called by the engine between `tiles` and the runtime. What a model wants is said by its metadata; here are the formats as
records and the two conversions, with one copy each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.values import value

Layout = Literal["NCHW", "NHWC"]
Floats = NDArray[np.float32]


@value
class InputFormat:
    """What a model takes: `x = (pixel / 255 * maximum - mean) / std` for each channel."""

    layout: Layout = "NCHW"
    channels: Literal["RGB", "BGR", "GRAY"] = "RGB"
    maximum: float = 1.0  # 1 where pixels are 0..1, 255 where they are 0..255
    mean: tuple[float, ...] = (0.0,)  # one figure, or one a channel in the model's own order
    std: tuple[float, ...] = (1.0,)


@value
class OutputFormat:
    """What a model gives: what its graph has applied already, and the channel (of class numbers: the number) that means "crack"."""

    layout: Layout = "NCHW"
    activation: Literal["sigmoid", "none", "softmax", "argmax"] = "sigmoid"
    crack_class: int = 0  # the channel; of argmax the number


def to_tensor(images: Sequence[NDArray[np.uint8]], form: InputFormat) -> Floats:
    """RGB images `[H, W, 3]` of one size as one tensor `[N, C, H, W]` or `[N, H, W, C]`."""
    height, width = images[0].shape[:2]
    count = 1 if form.channels == "GRAY" else 3
    shape = (len(images), count, height, width) if form.layout == "NCHW" else (len(images), height, width, count)
    tensor = np.empty(shape, np.float32)
    planes = np.moveaxis(tensor, -1, 1) if form.layout == "NHWC" else tensor
    tables = _tables(form)
    for image, target in zip(images, planes, strict=True):
        for channel, plane in enumerate(_planes(image, form.channels)):
            if target.flags.c_contiguous:
                cv2.LUT(plane, tables[channel], target[channel])
            else:
                target[channel] = cv2.LUT(plane, tables[channel])
    return tensor


@cache
def _tables(form: InputFormat) -> NDArray[np.float32]:
    """What each of the 256 values of a pixel becomes, `[channels, 256]`: looked up in one pass, whatever the formula."""
    count = 1 if form.channels == "GRAY" else 3
    std, mean = (np.resize(np.asarray(figures, np.float64), (count, 1)) for figures in (form.std, form.mean))
    scale, shift = (form.maximum / 255.0 / std).astype(np.float32), (-mean / std).astype(np.float32)
    return np.arange(256, dtype=np.float32) * scale + shift


def _planes(image: NDArray[np.uint8], channels: str) -> Sequence[NDArray[np.uint8]]:
    if channels == "GRAY":
        return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),)
    planes = cv2.split(image)
    return planes if channels == "RGB" else planes[::-1]


def to_probabilities(output: NDArray[np.generic], form: OutputFormat, size: tuple[int, int]) -> Floats:
    """The crack's probability `[N, H, W]`, 0..1, from a model's output; scaled to `size` (H, W) where it is smaller.

    An output without a channel axis (`[N, H, W]`) is taken as the crack's own. Raises ValueError for other shapes.
    """
    if output.ndim == 3:
        output = output[:, None]
    elif output.ndim != 4:
        raise ValueError(f"a mask has 3 or 4 axes, not {output.ndim}: {output.shape}")
    elif form.layout == "NHWC":
        output = np.moveaxis(output, -1, 1)
    if form.activation == "argmax":
        crack: Floats = np.equal(output[:, 0], form.crack_class).astype(np.float32)
    else:
        scores = output.astype(np.float32, copy=False)
        if form.activation == "none":
            scores = _sigmoid(scores) if scores.shape[1] == 1 else _softmax(scores)
        crack = scores[:, form.crack_class if scores.shape[1] > 1 else 0]
    if crack.shape[1:] != size:
        crack = np.stack([cv2.resize(each, size[::-1], interpolation=cv2.INTER_LINEAR) for each in crack])
    return crack


def _sigmoid(logits: Floats) -> Floats:
    odds: Floats = np.exp(-np.clip(logits, -60, 60))
    return np.reciprocal(1 + odds)


def _softmax(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
