"""The rows of an image from top to bottom, as libvips decodes them: 8 bits, RGB, and an error if the file is damaged.

Called by `strips` for large images, and by `decode` for TIFF files, of which OpenCV silently makes wrong pictures
(docs/decisions/0012). libvips is imported with the first such image, and only here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.headers import ImageFacts, damaged

Image = NDArray[np.uint8]

_ROWS: Final = 32  # taken from the decoder in one go
_LOADERS: Final = {"JPEG": "jpegload_source", "PNG": "pngload_source", "TIFF": "tiffload_source"}
#: From which severity on a file is refused: libjpeg only warns of missing pixels, but libtiff also of unknown tags.
_FAIL_ON: Final = {"JPEG": "warning", "PNG": "error", "TIFF": "error"}
_SAMPLES: Final = {"uchar": np.uint8, "ushort": np.uint16}
_COLOURS: Final = 3


def read_rows(data: bytes, facts: ImageFacts) -> Iterator[Image]:
    """A JPEG, PNG or TIFF with these `facts` in parts `[h, width, 3]`, from the top; not turned.

    Alpha is dropped, inks become RGB, 16 bits 8. Raises TruncatedImage, also after some parts.
    """
    vips = _vips()
    try:
        source = vips.Source.new_from_memory(data)  # a buffer would be copied
        picture = getattr(vips.Image, _LOADERS[facts.format])(
            source, access="sequential", fail_on=_FAIL_ON[facts.format]
        )
        if (picture.width, picture.height) != (facts.width, facts.height) or picture.format not in _SAMPLES:
            raise damaged(facts)
        region = vips.Region.new(picture)
        for top in range(0, facts.height, _ROWS):
            rows = min(_ROWS, facts.height - top)
            samples = np.frombuffer(region.fetch(0, top, facts.width, rows), _SAMPLES[picture.format])
            shape = (rows, facts.width, picture.bands)
            yield _to_rgb(samples.reshape(shape), inks=picture.interpretation == "cmyk")
    except vips.Error:
        raise damaged(facts) from None


@cache
def _vips() -> Any:
    os.environ.setdefault("VIPS_CONCURRENCY", "1")  # a request has one thread for its decoding
    import pyvips

    pyvips.cache_set_max(0)  # it would keep pictures for the next who asks for the same
    return pyvips


def _to_rgb(samples: NDArray[Any], *, inks: bool) -> Image:
    """Samples `[h, w, bands]` of 8 or 16 bits: grey, RGB or inks, with alpha or without."""
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    if inks:
        paper, black = 255 - samples[..., :3].astype(np.uint16), 255 - samples[..., 3:4].astype(np.uint16)
        return (paper * black // 255).astype(np.uint8)
    if samples.shape[2] < _COLOURS:
        grey: Image = cv2.cvtColor(np.ascontiguousarray(samples[..., 0]), cv2.COLOR_GRAY2RGB)
        return grey
    return np.ascontiguousarray(samples[..., :_COLOURS])
