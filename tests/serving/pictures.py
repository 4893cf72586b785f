"""Pictures with a drawn crack of known course, encoded; nothing from a camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def cracked(height: int = 256, width: int = 320) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A grey picture with one black line, and where the line is."""
    picture = np.full((height, width, 3), 170, np.uint8)
    course = np.array([[width // 8, height // 4], [width // 2, height // 2], [7 * width // 8, 3 * height // 4]])
    cv2.polylines(picture, [course], isClosed=False, color=(10, 10, 10), thickness=7)
    return picture, picture[..., 0] < 90


def encoded(picture: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    """The picture's file."""
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


def mask_of(png: bytes) -> NDArray[np.bool_]:
    """Where a PNG mask says crack."""
    mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    return mask > 127


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((found & true).sum() / (found | true).sum())
