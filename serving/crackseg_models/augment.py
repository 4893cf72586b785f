"""Crops for the training: other scales, other cameras, other light, so that the network learns cracks and not a city.

Arrays in, arrays out; all chance comes from the caller's generator. Called by `training`.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.rendering import clutter
from crackseg_models.rendering.camera import compress
from crackseg_models.rendering.cracks import PATTERNS, coverage
from crackseg_models.rendering.engraving import engrave
from crackseg_models.rendering.fields import Field, smooth_noise, soft, tint
from crackseg_models.rendering.scene import style

Example: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # picture [H, W, 3] RGB, mask [H, W] 0 or 255

SMALLEST, LARGEST = 0.4, 2.5  # scale of the crop against the photograph
DARKENING = (clutter.joint, clutter.stain, clutter.shadow)  # a crack is still to be seen under these
COVERING = (clutter.cable, clutter.marking, clutter.manhole, clutter.sealant)


def crop(rng: np.random.Generator, example: Example, side: int) -> Example:
    """A square of `side` pixels, turned, flipped, scaled and slightly stretched; a crack is in view more often than not."""
    picture, mask = example
    scale = float(np.clip(np.exp(rng.normal(0.0, 0.4)), SMALLEST, LARGEST))
    scale = max(scale, 0.7 * side / min(mask.shape))
    stretch = np.exp(rng.normal(0, 0.1))
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else rng.integers(0, 4) * np.pi / 2
    flip = rng.choice([-1.0, 1.0])
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [scale * stretch * flip, scale / stretch]
    )
    centre = _centre(rng, mask, side / scale / 2)
    affine = np.column_stack([linear, side / 2 - linear @ centre]).astype(np.float32)
    if scale < 0.8:
        sigma = 0.45 * (1 / scale - 0.6)
        picture, mask = cv2.GaussianBlur(picture, (0, 0), sigma), cv2.GaussianBlur(mask, (0, 0), sigma)
    flags = cv2.INTER_CUBIC if scale > 1.2 else cv2.INTER_LINEAR
    picture = cv2.warpAffine(picture, affine, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.warpAffine(mask, affine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    visible = 0.5 if scale > 0.8 else 0.38  # a hairline must not vanish from the truth when it is made smaller
    return picture, np.where(mask > 255 * visible, 255, 0).astype(np.uint8)


def _centre(rng: np.random.Generator, mask: NDArray[np.uint8], reach: float) -> NDArray[np.float64]:
    """Where the crop looks: near some crack pixel in two of three cases, else anywhere."""
    height, width = mask.shape
    low_x, high_x = min(reach, width / 2) * 0.8, max(width - reach, width / 2) + min(reach, width / 2) * 0.2
    low_y, high_y = min(reach, height / 2) * 0.8, max(height - reach, height / 2) + min(reach, height / 2) * 0.2
    centre = np.array([rng.uniform(low_x, high_x), rng.uniform(low_y, high_y)])
    cracks = np.flatnonzero(mask)
    if cracks.size and rng.random() < 0.6:
        y, x = divmod(int(cracks[rng.integers(0, cracks.size)]), width)
        centre = np.array([x, y]) + rng.uniform(-0.8, 0.8, 2) * reach
    return np.asarray(np.clip(centre, (low_x, low_y), (high_x, high_y)))


def mix(rng: np.random.Generator, one: Example, other: Example) -> Example:
    """Part of another crop beside this one, along a straight seam: a seam is no crack."""
    side = one[1].shape[0]
    y, x = np.mgrid[0:side, 0:side]
    turn = rng.uniform(0, 2 * np.pi)
    away = (x - rng.uniform(0.2, 0.8) * side) * np.cos(turn) + (y - rng.uniform(0.2, 0.8) * side) * np.sin(turn)
    there = away > 0
    return np.where(there[..., None], other[0], one[0]), np.where(there, other[1], one[1])


def dress(rng: np.random.Generator, example: Example) -> Example:
    """Something that is no crack, or a drawn crack, or both: often on sound ground, now and then where a crack is."""
    picture, mask = example
    sound = not mask.any()
    things = DARKENING + COVERING if sound else DARKENING
    light: Field = (picture.astype(np.float32) / 255) ** 2  # about linear, as the renderer's light is
    if rng.random() < (0.4 if sound else 0.15):
        light = things[int(rng.integers(0, len(things)))](rng, light)
    if rng.random() < (0.5 if sound else 0.15):
        grain = float(10 ** rng.uniform(0.2, 1.3))
        pattern = str(rng.choice(list(PATTERNS), p=[share for share, _ in PATTERNS.values()]))
        size = (mask.shape[0], mask.shape[1])
        cover = coverage(PATTERNS[pattern][1](rng, size, style(rng, grain, (512, 512))), size)
        if cover.any():
            light = engrave(rng, light, cover, float(rng.uniform(0, 2 * np.pi)), grain)
        mask = np.where(cover >= 0.5, 255, mask).astype(np.uint8)
    return np.clip(np.sqrt(np.clip(light, 0, 1)) * 255, 0, 255).astype(np.uint8), mask


def recolour(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Another light, another camera, another file; no pixel moves."""
    light: Field = picture.astype(np.float32) / 255
    light = _illuminate(rng, light)
    if rng.random() < 0.8:
        light = np.clip(light, 1e-3, 1) ** np.float32(np.exp(rng.normal(0, 0.3)))
        middle = float(light.mean())
        light = (light - middle) * np.float32(np.exp(rng.normal(0, 0.25))) + np.float32(middle + rng.normal(0, 0.08))
    light = light * tint(rng, 0.06)
    if rng.random() < 0.15:
        light = np.repeat(light @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, 2)
    elif rng.random() < 0.4:
        grey = light.mean(2, keepdims=True)
        light = grey + (light - grey) * np.float32(rng.uniform(0, 1.8))
    if rng.random() < 0.35:
        light = soft(light, 10 ** rng.uniform(-0.5, 0.25))
    elif rng.random() < 0.25:
        light = light + rng.uniform(0.3, 1.5) * (light - soft(light, 1.2))
    if rng.random() < 0.5:
        light = light + rng.standard_normal(light.shape).astype(np.float32) * 10 ** rng.uniform(-2.5, -1.2)
    result = np.clip(light * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        result = compress(result, int(rng.uniform(25, 95)))
    return result


def _illuminate(rng: np.random.Generator, light: Field) -> Field:
    """A gradient, a cloud, or the hard edge of a shadow."""
    size = (light.shape[0], light.shape[1])
    if rng.random() < 0.35:
        light = (
            light * np.exp(rng.uniform(0.05, 0.3) * smooth_noise(rng, size, rng.uniform(0.3, 1.5) * size[0]))[..., None]
        )
    if rng.random() < 0.2:
        edge = smooth_noise(rng, size, rng.uniform(0.3, 1.5) * size[0])
        shade = np.clip((edge - rng.normal(0, 0.7)) * 10 ** rng.uniform(0.3, 1.5), 0, 1)
        light = light * (1 - rng.uniform(0.15, 0.6) * shade)[..., None]
    return np.asarray(light, np.float32)
