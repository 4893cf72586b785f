"""From the scene's light to a file: lens, exposure, sensor, sharpening, JPEG. Called by `scene`; never moves a pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.rendering.fields import Field, smooth_noise, soft, tint

Picture = NDArray[np.uint8]  # [H, W, 3] RGB


def photograph(rng: np.random.Generator, colour: Field) -> Picture:
    """Scene light [H, W, 3] to an 8-bit picture with the faults of a real camera."""
    height, width = colour.shape[:2]
    light = colour * (1 + rng.uniform(0, 0.15) * smooth_noise(rng, (height, width), max(height, width)))[..., None]
    light = light * vignette(rng, height, width)[..., None] * tint(rng, 0.05)
    light = lens(rng, np.asarray(light, np.float32))
    target = rng.uniform(0.28, 0.62)
    light = np.clip(light, 0, None) ** np.float32(rng.uniform(0.55, 0.95))
    light = light * np.float32(target / max(float(light.mean()), 1e-3))
    contrast = rng.uniform(0.8, 1.3)
    light = (light - target) * contrast + target
    light = sensor(rng, np.asarray(light, np.float32))
    if rng.random() < 0.4:
        light = light + rng.uniform(0.2, 1.0) * (light - soft(light, rng.uniform(0.7, 1.5)))
    picture = np.clip(light * 255, 0, 255).astype(np.uint8)
    return compress(picture, int(rng.uniform(50, 97)))


def vignette(rng: np.random.Generator, height: int, width: int) -> Field:
    """Darker corners, 0..1 [H, W]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    strength = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0
    return np.asarray(1 - strength * (x * x + y * y) / 2, np.float32)


def lens(rng: np.random.Generator, light: Field) -> Field:
    """Defocus, and now and then the hand's or the car's motion."""
    light = soft(light, rng.uniform(0.2, 1.1) if rng.random() < 0.8 else rng.uniform(1.1, 2.2))
    if rng.random() < 0.12:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        ends = (
            ((0, length // 2), (length - 1, length // 2)) if rng.random() < 0.5 else ((0, 0), (length - 1, length - 1))
        )
        cv2.line(kernel, *ends, 1.0)
        light = np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()), np.float32)
    return light


def sensor(rng: np.random.Generator, light: Field) -> Field:
    """Noise that grows with the light, plus a floor; sometimes no colour at all."""
    shot, floor = rng.uniform(0, 0.03), rng.uniform(0, 0.015)
    noise = rng.standard_normal(light.shape).astype(np.float32) * np.sqrt(shot**2 * np.clip(light, 0, 1) + floor**2)
    light = light + noise
    if rng.random() < 0.1:
        light = np.repeat(light.mean(2, keepdims=True), 3, 2)
    return np.asarray(light, np.float32)


def compress(picture: Picture, quality: int) -> Picture:
    """Through JPEG and back."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if again is None:
        raise ValueError("the picture cannot be encoded as JPEG")
    return np.ascontiguousarray(again[..., ::-1], np.uint8)
