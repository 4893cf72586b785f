"""What a model says of itself: the `crackseg.*` keys of its ONNX metadata, parsed and checked.

Every key is optional; a model of another make gets the defaults that docs/server.md states. A value that makes no sense
is a ContractMismatch, for a guess would serve wrong masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

from crackseg_serving.failures import ModelFailure
from crackseg_serving.values import value

Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR", "GRAY"]
Activation = Literal["sigmoid", "none", "softmax", "argmax"]


@value
class Metadata:
    """Parsed metadata; None where the model is silent and its graph or a warm-up run decides."""

    name: str
    version: str
    layout: Layout | None
    channels: Channels | None
    maximum: float  # 1.0 or 255.0: what a white pixel is before mean and deviation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    multiple: int | None
    size: tuple[int, int] | None  # height, width that a whole picture is scaled to; None: tiles
    output: str  # the name of the output that is the mask; empty: the only one, or the one called mask
    activation: Activation | None
    classes: tuple[str, ...]
    threshold_percent: int
    precision: str  # in which the graph computes, for people: FP32, INT8, …


def parse_metadata(properties: Mapping[str, str]) -> Metadata:
    """The `crackseg.*` properties of a model. Raises ModelFailure (ContractMismatch) naming the key."""
    value = {
        key.removeprefix("crackseg."): text.strip() for key, text in properties.items() if key.startswith("crackseg.")
    }
    return Metadata(
        name=value.get("name", ""),
        version=value.get("version", ""),
        layout=cast("Layout | None", _choice(value, "input.layout", ("NCHW", "NHWC"))),
        channels=cast("Channels | None", _choice(value, "input.channels", ("RGB", "BGR", "GRAY"))),
        maximum=255.0 if _choice(value, "input.range", ("0..1", "0..255")) == "0..255" else 1.0,
        mean=_figures(value, "input.mean", 0.0),
        std=_figures(value, "input.std", 1.0, positive=True),
        multiple=_whole(value, "input.multiple", 1, 1, 1024) if value.get("input.multiple") else None,
        size=_sides(value, "input.size"),
        output=value.get("output.name", ""),
        activation=cast(
            "Activation | None", _choice(value, "output.activation", ("sigmoid", "softmax", "argmax", "none"))
        ),
        classes=tuple(name.strip() for name in value.get("classes", "").split(",") if name.strip()),
        threshold_percent=_whole(value, "threshold_percent", 50, 1, 99),
        precision=value.get("precision") or "FP32",
    )


def _wrong(key: str, text: str, expected: str) -> ModelFailure:
    return ModelFailure("ContractMismatch", f"the model's metadata has crackseg.{key}={text!r}, expected {expected}")


def _choice(value: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str | None:
    text = value.get(key, "")
    if text and text not in choices:
        raise _wrong(key, text, " or ".join(choices))
    return text or None


def _whole(value: Mapping[str, str], key: str, default: int, least: int, most: int) -> int:
    text = value.get(key) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise _wrong(key, text, f"a whole number from {least} to {most}")
    return int(text)


def _sides(value: Mapping[str, str], key: str) -> tuple[int, int] | None:
    text = value.get(key) or "0"
    sides = [part.strip() for part in text.split(",")]
    if text == "0":
        return None
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise _wrong(key, text, "0 (tiles), or one size or height,width from 8 to 4096")
    return int(sides[0]), int(sides[-1])


def _figures(value: Mapping[str, str], key: str, default: float, *, positive: bool = False) -> tuple[float, ...]:
    text = value.get(key) or str(default)
    try:
        figures = tuple(float(part) for part in text.split(","))
    except ValueError:
        figures = ()
    sane = all(math.isfinite(figure) and (figure > 0 or not positive) for figure in figures)
    if len(figures) not in {1, 3} or not sane:
        raise _wrong(key, text, f"one figure, or three separated by commas{', above 0' if positive else ''}")
    return figures
