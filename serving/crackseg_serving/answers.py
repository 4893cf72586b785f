"""The forms that an answer to an image can have: mask, overlay, run lengths, table, GeoJSON, measurements.

Called by the segmentation in a worker thread, once the mask is there. Knows imaging and the model's name; may not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.engine import Model

Image = NDArray[np.uint8]


class Output(StrEnum):
    """What a request asks for."""

    MASK = "mask"  # PNG, one bit a pixel
    OVERLAY = "overlay"  # PNG, the photograph with its cracks drawn in
    OVERLAY_JPEG = "overlay-jpeg"  # the same as JPEG
    RLE = "rle"  # JSON: the mask as COCO's run lengths
    MEASUREMENTS = "json"  # polygons and measurements
    GEOJSON = "geojson"  # the same as features for a map
    TABLE = "csv"  # the same without polygons, one row a crack

    @property
    def drawn(self) -> bool:
        """Whether the photograph itself is in the answer."""
        return self in {Output.OVERLAY, Output.OVERLAY_JPEG}

    @property
    def measured(self) -> bool:
        """Whether cracks are measured for it."""
        return self in {Output.MEASUREMENTS, Output.GEOJSON, Output.TABLE}

    @property
    def in_json(self) -> bool:
        """Whether it can be part of a JSON document."""
        return self in {Output.MEASUREMENTS, Output.GEOJSON, Output.RLE}


@dataclass(slots=True)
class Found:
    """An image and what the model found in it. A large image is never whole in memory, and comes here measured."""

    data: bytes  # the file
    facts: imaging.ImageFacts
    scale: imaging.Scale | None
    placement: imaging.Placement | None
    pixels: Image | None = None  # [H, W, 3], RGB; half as large where the answer does not draw them
    probabilities: Image | None = None  # [H, W], 0..255; at the model's size if nothing is measured
    mask: Image | imaging.BitMask | None = None  # [H, W], 0 or 255
    measurements: imaging.Measurements | None = None


def answer(model: Model, found: Found, output: Output) -> bytes:
    """The answer's bytes."""
    return _ANSWERS[output](model, found)


def _described(model: Model, found: Found) -> dict[str, Any]:
    height, width = found.facts.upright
    return {
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
        "image": {"width": width, "height": height, "format": found.facts.format},
        "thresholdPercent": model.threshold_percent,
    }


def _measured(model: Model, found: Found) -> imaging.Measurements:
    if found.measurements is not None:
        return found.measurements
    assert isinstance(found.mask, np.ndarray)
    return imaging.measure(
        found.mask,
        found.probabilities,
        threshold_percent=model.threshold_percent,
        scale=found.scale,
    )


def _measurements(model: Model, found: Found) -> bytes:
    placement, position = _placed(found)
    document = {
        **_described(model, found),
        "placement": {"kind": placement.kind, "note": placement.note, "x": placement.x, "y": placement.y},
        "cameraPosition": position and position.to_dict(),
        "measurements": _measured(model, found).to_dict(),
    }
    return orjson.dumps(document)


def _rle(model: Model, found: Found) -> bytes:
    assert found.mask is not None
    return orjson.dumps({**_described(model, found), "segmentation": imaging.to_rle(found.mask)})


def _mask(_: Model, found: Found) -> bytes:
    assert found.mask is not None
    return imaging.mask_png(found.mask)


def _drawn(found: Found, draw: Callable[[Image, Image], bytes]) -> bytes:
    assert found.pixels is not None
    assert isinstance(found.mask, np.ndarray)
    return draw(found.pixels, found.mask)


def _geojson(model: Model, found: Found) -> bytes:
    collection = imaging.to_geojson(_measured(model, found), *_placed(found))
    return orjson.dumps({**collection, **_described(model, found)})


def _placed(found: Found) -> tuple[imaging.Placement, imaging.Position | None]:
    """Where the image lies (according to its sender, else to the camera, else in pixels), and where the camera was."""
    position = imaging.read_position(found.data) if found.facts.format == "JPEG" else None
    placement = found.placement
    if placement is None and position is not None:
        known = None if found.scale is None else found.scale.millimetres_per_pixel
        placement = imaging.from_camera(position, found.facts.upright, known)
    return placement or imaging.PIXELS, position


_ANSWERS: Final[dict[Output, Callable[[Model, Found], bytes]]] = {
    Output.MASK: _mask,
    Output.OVERLAY: lambda _, found: _drawn(found, imaging.overlay_png),
    Output.OVERLAY_JPEG: lambda _, found: _drawn(found, imaging.overlay_jpeg),
    Output.RLE: _rle,
    Output.MEASUREMENTS: _measurements,
    Output.GEOJSON: _geojson,
    Output.TABLE: lambda model, found: imaging.to_csv(_measured(model, found)).encode(),
}
