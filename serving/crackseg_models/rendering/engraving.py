"""Painting cracks into ground: their depth, what lies in them, their lips. Called by `scene` and by the training's crops.

Colour in, colour out; where the cracks are is the caller's knowledge.
"""

import cv2
import numpy as np

from crackseg_models.rendering.fields import Field, fractal_noise, smooth_noise, soft


def engrave(rng: np.random.Generator, colour: Field, cover: Field, light: float, grain: float) -> Field:
    """Darken the crack: deep in the middle, earth and gravel where it is wide, a lit and a shaded lip."""
    size = (colour.shape[0], colour.shape[1])
    depth = np.clip(rng.uniform(0.7, 1.0) + rng.uniform(0, 0.2) * smooth_noise(rng, size, max(size) / 6), 0.2, 0.98)
    wide = np.clip(_far(cover) / rng.uniform(2, 8), 0, 1)
    gravel = fractal_noise(rng, size, max(1.5, grain / 3), 3) * rng.uniform(0.15, 0.6)
    earth = np.array([1.0, 0.9, 0.78], np.float32) if rng.random() < 0.35 else np.ones(3, np.float32)
    level = float(np.percentile(colour, 20)) * rng.uniform(0.05, 0.5)
    fill = np.clip(level * (1 + gravel * (0.3 + wide))[..., None] * earth, 0.005, 1)
    middle = np.clip(
        0.25 + _far(cover) / rng.uniform(1.5, 5), rng.uniform(0.45, 1.0), 1
    )  # walls are lighter than the depth
    inside = soft(cover, 0.35)[..., None] * (depth * middle)[..., None]
    colour = colour * (1 - inside) + fill * inside
    step = max(1.0, min(3.0, grain * 0.15))
    shift = np.array([[1, 0, step * np.cos(light)], [0, 1, step * np.sin(light)]], np.float32)
    moved = cv2.warpAffine(cover, shift, size[::-1])
    lip = np.clip(moved - cover, 0, 1) * rng.uniform(0, 0.4)
    halo = np.clip(soft(cover, grain * 0.4 + 1) - cover, 0, 1) * rng.uniform(-0.15, 0.35)
    return _visible(np.clip(colour * (1 + lip[..., None] - halo[..., None]), 0.005, 1.4), cover)


def _far(cover: Field) -> Field:
    """How many pixels it is to the crack's edge, inside; 0 outside."""
    return np.asarray(cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _visible(colour: Field, cover: Field) -> Field:
    """Deepen a crack that nobody could see beside the stones: what cannot be seen must not be in the truth."""
    inside = cover > 0.5
    near = cv2.dilate(inside.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    around = near & (cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    if not inside.any() or not around.any():
        return colour
    tone = soft(colour.mean(2), 1.5)
    width = 2 * float(_far(cover)[inside].mean())
    wanted = (1 + 2 / width**0.5) * float(tone[around].std())
    lacking = wanted - (float(tone[around].mean()) - float(tone[inside].mean()))
    keep = float(np.clip(1 - lacking / max(float(tone[inside].mean()), 1e-3), 0.15, 1))
    return np.asarray(colour * (1 - (1 - keep) * soft(cover, 0.35)[..., None]), np.float32)
