"""Random fields: the noise that everything else is made of. Arrays in, arrays out; all chance comes from the caller's generator."""

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.floating[Any]]  # [H, W], or [H, W, 3] for colour
Size: TypeAlias = tuple[int, int]  # height, width in pixels


def smooth_noise(rng: np.random.Generator, size: Size, scale: float) -> Field:
    """Noise of mean 0 and spread about 1 whose hills are `scale` pixels wide."""
    height, width = size
    rows, columns = max(2, int(height / scale) + 3), max(2, int(width / scale) + 3)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    large = cv2.resize(
        grid, (max(width, int(columns * scale)), max(height, int(rows * scale))), interpolation=cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(large[:height, :width]) * np.float32(1.3)


def fractal_noise(rng: np.random.Generator, size: Size, scale: float, octaves: int = 4, gain: float = 0.55) -> Field:
    """Noise with detail at every size from `scale` pixels down."""
    total, weight = np.zeros(size, np.float32), 1.0
    for octave in range(octaves):
        total += np.float32(weight) * smooth_noise(rng, size, max(1.0, scale / 2**octave))
        weight *= gain
    return total / np.float32(max(float(total.std()), 1e-6))


def blob(rng: np.random.Generator, size: Size, radius: float, roughness: float = 0.5) -> Field:
    """One irregular patch, 0 to 1, soft at the edge, somewhere in the picture; `radius` in pixels."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    centre_y, centre_x = rng.uniform(0, height), rng.uniform(0, width)
    stretch, turn = rng.uniform(0.5, 2.0), rng.uniform(0, np.pi)
    along = (x - centre_x) * np.cos(turn) + (y - centre_y) * np.sin(turn)
    across = (y - centre_y) * np.cos(turn) - (x - centre_x) * np.sin(turn)
    distance = np.sqrt((along / stretch) ** 2 + (across * stretch) ** 2) / radius
    ragged = distance + roughness * 0.35 * fractal_noise(rng, size, max(4.0, radius), 4)
    return np.asarray(np.clip((1.0 - ragged) / rng.uniform(0.08, 0.5), 0, 1), np.float32)


def tint(rng: np.random.Generator, strength: float) -> Field:
    """A colour near white `[3]`: mostly along warm and cold, a little along green."""
    warm, green = rng.normal(0, strength), rng.normal(0, strength * 0.4)
    return np.array([1 + warm, 1 + green, 1 - warm], np.float32)


def soft(field: Field, sigma: float) -> Field:
    """Gaussian blur; `sigma` in pixels, nothing below a quarter."""
    return field if sigma < 0.25 else np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)
