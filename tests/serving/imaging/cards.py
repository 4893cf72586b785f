"""Cards with a marker, printed by OpenCV and photographed by a drawn camera: near or far, tilted, out of focus, noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FINE: Final = 4  # a pixel of the photograph is drawn as FINE x FINE and averaged
FOCAL_PIXELS: Final = 1500.0
_PRINTED: Final = 800  # pixels of a marker's side as printed, with a margin of an eighth around


def card(number: int = 7) -> NDArray[np.uint8]:
    """A marker with a white margin."""
    family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    marker = cv2.aruco.generateImageMarker(family, number, _PRINTED)
    margin = _PRINTED // 8
    return cv2.copyMakeBorder(marker, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=255)


@dataclass(frozen=True)
class Shot:
    """How a card is photographed."""

    side: float  # pixels of the marker's side, were it seen from straight above
    middle: tuple[float, float]
    turned: float = 0.0  # degrees, in the plane
    tilted: float = 0.0  # degrees from looking straight down
    towards: float = 0.0  # degrees, the axis of the tilt


def photographed(
    ground: NDArray[np.uint8], *shots: Shot, blur: float = 0.5, noise: float = 2.0, seed: int = 0
) -> NDArray[np.uint8]:
    """The grey ground `[H, W]` with a card for each shot on it, in colours."""
    height, width = ground.shape
    fine = cv2.resize(ground, (width * FINE, height * FINE), interpolation=cv2.INTER_NEAREST)
    for number, shot in enumerate(shots):
        size = (width * FINE, height * FINE)
        cv2.warpPerspective(card(number), _seen(shot), size, fine, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    seen = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    if blur:
        seen = cv2.GaussianBlur(seen, (0, 0), blur)
    seen += np.random.default_rng(seed).normal(0, noise, seen.shape)
    return cv2.cvtColor(np.clip(seen, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def _seen(shot: Shot) -> NDArray[np.float64]:
    """From the card's printed pixels to the finely drawn ones: a pinhole camera over the card's middle."""
    scaled = np.array([[1 / _PRINTED, 0, -0.625], [0, 1 / _PRINTED, -0.625], [0, 0, 1]])
    turn, tilt, axis = np.radians([shot.turned, shot.tilted, shot.towards])
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    tilted = cv2.Rodrigues(tilt * np.array([np.cos(axis), np.sin(axis), 0.0]))[0]
    camera = np.diag([FOCAL_PIXELS, FOCAL_PIXELS, 1.0])
    onto = camera @ np.column_stack([tilted[:, 0], tilted[:, 1], [0, 0, FOCAL_PIXELS / shot.side]])
    placed = np.array([[1, 0, shot.middle[0]], [0, 1, shot.middle[1]], [0, 0, 1]])
    finer = np.array([[FINE, 0, FINE / 2 - 0.5], [0, FINE, FINE / 2 - 0.5], [0, 0, 1]])
    return np.asarray(finer @ placed @ onto @ turned @ scaled, np.float64)
