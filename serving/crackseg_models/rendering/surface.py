"""Bare pavement: asphalt from scattered stones in binder, concrete from paste, pores and a broom. Called by `scene`."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.rendering.fields import Field, Size, fractal_noise, smooth_noise, soft, tint

TILE = 512  # stones are scattered on a square of about this side, and a larger picture is quilted from it


@dataclass(frozen=True)
class Surface:
    """Bare ground: `colour` [H, W, 3] linear 0..1, `grain` the stones' diameter in pixels."""

    colour: Field
    grain: float
    kind: str


def asphalt(rng: np.random.Generator, size: Size, light: float, grain: float) -> Surface:
    """Asphalt whose stones are about `grain` pixels wide, lit from the direction `light` (radians)."""
    drawn = max(grain, 5.0)
    shrink = drawn / grain
    side = int(np.clip(max(size), 96, TILE * (2 if shrink == 1 else 1)) * min(shrink, 2.0))
    colour, height = _stones(rng, side, drawn)
    relief = _relief(height, light, drawn)
    strength = rng.uniform(0.25, 1.1)
    colour = np.clip(colour * (1 + strength * relief[..., None]), 0, 1.5)
    colour = cv2.resize(colour, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    cover = _quilt(rng, colour, size)
    cover += (cover.mean((0, 1)) - cover) * rng.uniform(0, 0.65)
    cover *= (1 + rng.uniform(0.02, 0.1) * fractal_noise(rng, size, max(size) / 3, 4))[..., None]
    cover *= (1 + rng.uniform(0.0, 0.06) * smooth_noise(rng, size, 1.0))[..., None]
    return Surface(np.clip(cover, 0.01, 1.4).astype(np.float32), grain, "asphalt")


def concrete(rng: np.random.Generator, size: Size, light: float) -> Surface:
    """Concrete: pale paste, pores, blotches, sometimes the lines of a broom."""
    tone = rng.uniform(0.32, 0.68)
    field = np.full(size, tone, np.float32)
    field += tone * rng.uniform(0.03, 0.1) * fractal_noise(rng, size, max(size) / 4, 5)
    field += tone * rng.uniform(0.01, 0.06) * fractal_noise(rng, size, rng.uniform(2, 8), 3)
    rough = fractal_noise(rng, size, rng.uniform(2, 6), 3)
    field *= 1 + rng.uniform(0.02, 0.14) * _relief(rough * 0.25, light, 2.0)
    if rng.random() < 0.45:
        field *= 1 + rng.uniform(0.02, 0.08) * _broom(rng, size)
    pores = np.zeros(size, np.uint8)
    for x, y, r in zip(*_scatter(rng, size, int(size[0] * size[1] * 10 ** rng.uniform(-4.6, -3.2))), strict=True):
        cv2.circle(pores, (int(x * 16), int(y * 16)), int(16 * r), 255, -1, cv2.LINE_AA, 4)
    field *= 1 - rng.uniform(0.2, 0.6) * pores.astype(np.float32) / 255
    colour = field[..., None] * tint(rng, 0.05)
    return Surface(np.clip(colour, 0.01, 1.4).astype(np.float32), 2.0, "concrete")


def _stones(rng: np.random.Generator, side: int, grain: float) -> tuple[Field, Field]:
    """Stones of three sizes in binder on a square: colour [side, side, 3] and height [side, side]."""
    binder = rng.uniform(0.06, 0.3)
    pale = binder + rng.uniform(0.03, 0.3)
    palette = [tint(rng, rng.uniform(0.0, 0.1)) for _ in range(5)]
    colour = np.zeros((side, side, 3), np.uint8)
    colour[:] = np.clip(255 * binder * tint(rng, 0.05), 0, 255)
    height = np.zeros((side, side), np.uint8)
    fill, spread = rng.uniform(0.3, 1.0), rng.uniform(0.05, 0.32)
    for part, share in ((0.3, 0.55), (0.55, 0.5), (1.0, 0.55)):
        radius = grain * part / 2
        count = min(int(fill * share * side * side / (np.pi * radius * radius)), int(9000 * (side / TILE) ** 2))
        tones = np.clip(rng.normal(pale if part > 0.5 else (pale + binder) / 2, spread * pale, count), 0.03, 1)
        outlines, owner = _wrapped(_outlines(rng, side, radius, count), side)
        picks = rng.integers(0, len(palette), count)
        heights = np.clip(90 + 100 * part * rng.random(count), 0, 255)
        gap, dark = rng.uniform(1.05, 1.35), 255 * binder * rng.uniform(0.5, 1.0)
        middle = outlines.mean(1, keepdims=True)
        outer = ((outlines - middle) * gap + middle).astype(np.int32)
        inner = outlines.astype(np.int32)
        paints = (255 * tones[:, None] * np.array(palette)[picks])[owner].tolist()
        for around, points, paint, level in zip(outer, inner, paints, heights[owner].tolist(), strict=True):
            cv2.fillPoly(colour, [around], (dark, dark, dark), cv2.LINE_AA, 4)
            cv2.fillPoly(colour, [points], paint, cv2.LINE_AA, 4)
            cv2.fillPoly(height, [points], level, cv2.LINE_AA, 4)
    painted = colour.astype(np.float32) / 255
    painted *= (1 + rng.uniform(0.02, 0.12) * fractal_noise(rng, (side, side), max(1.5, grain / 3), 3))[..., None]
    return painted, height.astype(np.float32) / 255


def _outlines(rng: np.random.Generator, side: int, radius: float, count: int) -> Field:
    """`count` angular stones [count, 7, 2] in sixteenths of a pixel."""
    corners = 7
    turns = np.sort(rng.uniform(0, 2 * np.pi, (count, corners)), axis=1)
    reach = radius * rng.lognormal(0, 0.3, (count, 1)) * rng.uniform(0.75, 1.2, (count, corners))
    x, y = reach * np.cos(turns), reach * np.sin(turns) * rng.uniform(0.5, 1.0, (count, 1))
    lean = rng.uniform(0, np.pi, (count, 1))
    centre = rng.uniform(0, side, (count, 2))
    across = x * np.cos(lean) - y * np.sin(lean) + centre[:, :1]
    down = x * np.sin(lean) + y * np.cos(lean) + centre[:, 1:]
    return (np.stack([across, down], 2) * 16).astype(np.float32)


def _relief(height: Field, light: float, grain: float) -> Field:
    """How much brighter the side towards the light is: about -1..1."""
    bumps = soft(height, grain * 0.08) + 0.5 * soft(height, grain * 0.25)
    slope_y, slope_x = np.gradient(bumps)
    slope = slope_x * np.cos(light) + slope_y * np.sin(light)
    return np.asarray(np.clip(slope / max(3 * float(slope.std()), 3e-4), -1, 1), np.float32)


def _wrapped(outlines: Field, side: int) -> tuple[Field, NDArray[np.intp]]:
    """The stones and their copies beyond the opposite edge, so that the square continues itself; and which is whose copy."""
    everyone, low, high = np.arange(len(outlines)), outlines.min(1), outlines.max(1)
    copies, owners = [], []
    for across in (-1, 0, 1):
        for down in (-1, 0, 1):
            move = np.array([across, down], np.float32) * side * 16
            seen = (high + move > 0).all(1) & (low + move < side * 16).all(1)
            copies.append(outlines[seen] + move)
            owners.append(everyone[seen])
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(copies)[order], owner[order]


def _quilt(rng: np.random.Generator, tile: Field, size: Size) -> Field:
    """The tile over `size`, repeated, and torn into pieces of several turns of it, so that no repetition shows."""
    cover = _repeat(tile, size)
    if max(size) <= min(tile.shape[:2]):
        return cover
    for quarter in (1, 2, 3):
        piece = np.roll(np.rot90(tile, quarter), rng.integers(0, tile.shape[0], 2), (0, 1))
        there = soft((fractal_noise(rng, size, min(tile.shape[:2]) * 0.6, 4) > 0.2).astype(np.float32), 1.0)[..., None]
        cover = np.asarray(cover * (1 - there) + _repeat(piece, size) * there)
    return cover


def _repeat(tile: Field, size: Size) -> Field:
    """The tile beside and below itself until it covers `size`."""
    times = (-(-size[0] // tile.shape[0]), -(-size[1] // tile.shape[1]), 1)
    return np.ascontiguousarray(np.tile(tile, times)[: size[0], : size[1]])


def _broom(rng: np.random.Generator, size: Size) -> Field:
    """Fine parallel lines, slightly wavy, in some direction."""
    height, width = size
    turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = x * np.cos(turn) + y * np.sin(turn) + 3 * smooth_noise(rng, size, max(size) / 3)
    ridge = rng.standard_normal(4096).astype(np.float32)
    position = np.abs(across / rng.uniform(1.5, 5.0)) % 4094
    low = position.astype(np.int32)
    return np.asarray(ridge[low] + (ridge[low + 1] - ridge[low]) * (position - low).astype(np.float32))


def _scatter(rng: np.random.Generator, size: Size, count: int) -> tuple[Field, Field, Field]:
    """Centres and radii of pores."""
    x, y = rng.uniform(0, size[1], count), rng.uniform(0, size[0], count)
    return x.astype(np.float32), y.astype(np.float32), rng.lognormal(0.0, 0.5, count).astype(np.float32)
