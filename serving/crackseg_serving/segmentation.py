"""From the bytes of an image to the bytes of an answer: decode, cut into tiles, run, blend, then mask, overlay or measurements.

One function, called in a worker thread by `http/segmenting`. Joins imaging with the engine; may not know HTTP. The forms of an
answer are in `answers`, images too large for memory in `large`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.admission import Ticket
from crackseg_serving.answers import Found, Output, answer
from crackseg_serving.engine import Engine, Model
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.large import BYTES_A_CRACK_PIXEL, LARGE, segment_large
from crackseg_serving.tiling import plan_for, run_tiles

#: Bytes per pixel at the peak: the image, its probabilities and its mask; then what measuring adds. Per pixel of crack,
#: BYTES_A_CRACK_PIXEL more for centre lines, widths and outlines. Measured: 24 bytes per pixel in all, and up to 257 per pixel of
#: crack (a mask of nothing but dashes; long hairlines 141, photographs less).
_BYTES_A_PIXEL: Final = 16
_BYTES_A_MEASURED_PIXEL: Final = 8
_REMEDY: Final = "ask for the mask or for measurements, which are made strip by strip, cut it"

__all__ = ["Output", "segment"]


def segment(
    engine: Engine,
    data: bytes,
    output: Output,
    scale: imaging.Scale | imaging.MarkerSize | None,
    ticket: Ticket,
    placement: imaging.Placement | None = None,
) -> bytes:
    """The answer for the encoded image `data`. Raises Refused.

    `scale` and `placement` are given by its sender; with a MarkerSize, the scale has to be found from markers in the image.
    """
    limits = imaging.DecodeLimits(max_pixels=engine.settings.max_pixels)
    with _refusing():
        facts = imaging.read_facts(data)
        limits.check(facts)
    marker = scale if isinstance(scale, imaging.MarkerSize) else None  # is searched for in the whole image at full size
    found = Found(data, facts, None if isinstance(scale, imaging.MarkerSize) else scale, placement)
    if facts.width * facts.height > LARGE and not engine.model.whole and not output.drawn and marker is None:
        with _refusing():
            return segment_large(engine, found, output, ticket)
    return _segment_in_one(engine, found, output, marker, ticket)


def _segment_in_one(
    engine: Engine, found: Found, output: Output, marker: imaging.MarkerSize | None, ticket: Ticket
) -> bytes:
    """The answer for an image that is decoded as a whole; `found` has everything except its pixels and results."""
    model, metrics, facts = engine.model, engine.metrics, found.facts
    size = facts.width * facts.height * _BYTES_A_PIXEL
    with engine.admission.image(size, ticket, _REMEDY if output.drawn else "cut it"):
        with metrics.stage("decode"), _refusing():
            limits = imaging.DecodeLimits(max_pixels=engine.settings.max_pixels)
            halved = model.whole and not output.drawn and marker is None and _is_twice(facts, model.tile)
            found.pixels = pixels = imaging.decode(found.data, limits, facts=facts, halved=halved).pixels
            if marker is not None:
                found.scale = imaging.find_scale(pixels, marker)
        with metrics.stage("inference"):
            probabilities = _probabilities(engine, model, pixels, ticket)
        with metrics.stage("encode"):
            shape = facts.upright
            if found.scale is not None:
                imaging.blacken_cards(probabilities, found.scale, shape)
            if model.whole and output.measured:
                probabilities = imaging.scale_map(probabilities, shape)
            found.probabilities, found.mask = probabilities, _mask(probabilities, model, shape)
            if not output.measured:
                return answer(model, found, output)
            cracked = int(np.count_nonzero(found.mask)) * BYTES_A_CRACK_PIXEL
            with engine.admission.more(found.mask.size * _BYTES_A_MEASURED_PIXEL + cracked, held=size):
                return answer(model, found, output)


def _probabilities(engine: Engine, model: Model, pixels: NDArray[np.uint8], ticket: Ticket) -> NDArray[np.uint8]:
    """The probability map of an image: through tiles, or in one run at the model's own size."""
    if not model.whole:
        plan = plan_for(engine, *pixels.shape[:2])
        return run_tiles(engine, plan, (pixels[top : top + plan.tile_height] for top in plan.tops), ticket)
    form = model.signature
    tensor = imaging.to_tensor([imaging.scale_picture(pixels, model.tile)], form.input_format)
    output = engine.wait(engine.submit(tensor, ticket), ticket, deque())
    return imaging.to_map(imaging.to_probabilities(output, form.output_format, model.tile)[0])


def _is_twice(facts: imaging.ImageFacts, size: tuple[int, int]) -> bool:
    """Whether an image is a JPEG of exactly twice `size`: then its decoder can give it at half size, which saves the scaling.

    Measured with 38 photographs of pavement: 0.006 % of the masks' pixels differ, 0.02 % at worst. With other sizes up to 0.3 %
    would differ, so they are decoded at full size.
    """
    return facts.format == "JPEG" and facts.upright == (2 * size[0], 2 * size[1])


def _mask(probabilities: NDArray[np.uint8], model: Model, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask for a picture of `shape`."""
    if probabilities.shape == shape:
        return imaging.threshold(probabilities, model.threshold_percent)
    return imaging.scaled_mask(probabilities, model.threshold_percent, shape)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn the errors of imaging into refusals."""
    try:
        yield
    except imaging.TooManyPixels as error:
        raise Refused(Cause.TOO_MANY_PIXELS, str(error)) from None
    except imaging.TruncatedImage as error:
        raise Refused(Cause.TRUNCATED_IMAGE, str(error)) from None
    except imaging.CalibrationFailed as error:
        raise Refused(Cause.CALIBRATION_FAILED, str(error)) from None
    except imaging.ImageError as error:
        raise Refused(Cause.NOT_AN_IMAGE, str(error)) from None
