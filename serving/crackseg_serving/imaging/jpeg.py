"""The pixels of a JPEG, or an error if a part of them is missing: libjpeg's warnings are read instead of ignored.

Called by `decode`. OpenCV and most others silently fill damaged parts with grey, and a measurement of half a picture is wrong.
A file that is whole but looks odd to libjpeg is left to OpenCV, because libjpeg reports only its first warning.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from crackseg_serving.imaging.errors import TruncatedImage, UnsupportedImage
from crackseg_serving.imaging.headers import ImageFacts

#: What libjpeg complains of though all pixels are there: bytes that cameras pad with, and headers that say odd things; and what
#: simplejpeg refuses though libjpeg could. All else means that data are missing, left over, or no code at all.
_WHOLE: Final = re.compile(
    r"Corrupt JPEG data: (\d|1[0-6]) extraneous bytes|Corrupt JPEG data: bad ICC|Unknown Adobe color"
    r"|Warning: |Invalid SOS parameters|.*Could not determine subsampling"
)
_OTHER_SAMPLES: Final = "Unsupported JPEG data precision"
_DAMAGED: Final = (
    "the JPEG file is damaged, and a part of its picture is missing or wrong: send the original file, or, if an image viewer "
    "shows the whole picture, save it again from there"
)


def read_jpeg(data: bytes | bytearray | memoryview, facts: ImageFacts, *, halved: bool) -> NDArray[np.uint8] | None:
    """RGB `[H, W, 3]`, not turned, or at half of even sides; the same values as OpenCV's. None: OpenCV has to do it.

    Raises TruncatedImage and UnsupportedImage.
    """
    height, width = (facts.height // 2, facts.width // 2) if halved else (facts.height, facts.width)
    # Of the size that was allowed: where the decoder finds another one in the file, it refuses, or gives less.
    room = np.empty((height, width, 3), np.uint8)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, buffer=room)
    except ValueError as error:
        said = str(error)
    else:
        return pixels
    if _OTHER_SAMPLES in said:
        raise UnsupportedImage("the JPEG has samples of more than 8 bits: send it with 8, or as PNG")
    if not _WHOLE.match(said):
        raise TruncatedImage(_DAMAGED)
    return None
