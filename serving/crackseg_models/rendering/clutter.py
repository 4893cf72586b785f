"""What lies on pavement and is no crack: markings, joints, iron, cables, stains, water, shadows, leaves. Called by `scene`.

Each function changes a colour field [H, W, 3] and returns it; none touches the mask.
"""

import cv2
import numpy as np

from crackseg_models.rendering.fields import Field, Size, blob, fractal_noise, smooth_noise, soft, tint


def band(rng: np.random.Generator, size: Size, width: float, turn: float | None = None) -> Field:
    """A straight band of `width` pixels across the picture, 0 or 1 with a one-pixel edge."""
    height, columns = size
    turn = rng.uniform(0, np.pi) if turn is None else turn
    y, x = np.mgrid[0:height, 0:columns].astype(np.float32)
    away = (x - rng.uniform(0, columns)) * np.sin(turn) - (y - rng.uniform(0, height)) * np.cos(turn)
    return np.asarray(np.clip(width / 2 - np.abs(away) + 0.5, 0, 1), np.float32)


def upright(rng: np.random.Generator) -> float:
    """A direction along or across the road, give or take."""
    return float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.12))


def marking(rng: np.random.Generator, colour: Field) -> Field:
    """A worn line of paint."""
    size = (colour.shape[0], colour.shape[1])
    stripe = band(rng, size, rng.uniform(0.06, 0.35) * max(size), upright(rng))
    worn = fractal_noise(rng, size, rng.uniform(3, 30), 4) > rng.uniform(-2.5, 0.2)
    cover = (stripe * soft(worn.astype(np.float32), 0.6) * rng.uniform(0.5, 0.95))[..., None]
    paint = np.array([1, 1, 1] if rng.random() < 0.75 else [1.0, 0.8, 0.3], np.float32) * rng.uniform(0.6, 0.95)
    texture = colour / max(float(colour.mean()), 1e-3)
    return np.asarray(colour * (1 - cover) + cover * paint * (0.75 + 0.25 * texture))


def joint(rng: np.random.Generator, colour: Field) -> Field:
    """A sawn or formed joint: straight, of one width, dark or filled."""
    size = (colour.shape[0], colour.shape[1])
    for turn in [upright(rng)] if rng.random() < 0.7 else [0.0, np.pi / 2]:
        line = soft(band(rng, size, rng.uniform(1.5, 12), turn), rng.uniform(0.3, 1.0))[..., None]
        colour = colour * (1 - line * rng.uniform(0.25, 0.8))
    return colour


def sealant(rng: np.random.Generator, colour: Field) -> Field:
    """A band of bitumen poured over something: smooth, black, wandering."""
    size = (colour.shape[0], colour.shape[1])
    height, width = size
    y = np.linspace(-10, height + 10, 60)
    sway = (
        rng.uniform(0, width)
        + np.cumsum(rng.normal(0, width * 0.008, y.size))
        + np.linspace(0, rng.normal(0, width / 3), 60)
    )
    line = np.stack([sway, y], 1)
    cover = np.zeros(size, np.uint8)
    cv2.polylines(cover, [np.round(line * 16).astype(np.int32)], False, 255, int(rng.uniform(8, 40)), cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        cover = np.ascontiguousarray(cv2.resize(cover.T, (width, height)))
    mask = soft(cover.astype(np.float32) / 255, 0.8)[..., None]
    black = (0.05 + 0.01 * fractal_noise(rng, size, 8, 3))[..., None]
    return np.asarray(colour * (1 - mask) + mask * np.clip(black, 0.02, 0.2), np.float32)


def cable(rng: np.random.Generator, colour: Field) -> Field:
    """A cable or hose across the ground: smooth, of one width, lit along its back, with a shadow beside it."""
    size = (colour.shape[0], colour.shape[1])
    height, width = size
    start, bend, end = rng.uniform(-0.2, 1.2, (3, 2)) * (width, height)
    along = np.linspace(-0.3, 1.3, 80)[:, None]
    line = start * (1 - along) ** 2 + 2 * bend * along * (1 - along) + end * along**2
    thick = max(2, round(float(rng.uniform(0.004, 0.025)) * max(size)))
    cover = np.zeros(size, np.uint8)
    cv2.polylines(cover, [np.round(line * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)
    inside = soft(cover.astype(np.float32) / 255, 0.4)
    shift = np.array([[1, 0, thick * rng.uniform(-0.7, 0.7)], [0, 1, thick * rng.uniform(-0.7, 0.7)]], np.float32)
    shade = soft(np.asarray(cv2.warpAffine(inside, shift, (width, height)), np.float32), thick * 0.2)
    back = cv2.distanceTransform((cover > 127).astype(np.uint8), cv2.DIST_L2, 5) / max(thick / 2, 1)
    paint = rng.uniform(0.02, 0.25) * (1 + rng.uniform(0, 2.5) * np.clip(back, 0, 1) ** 2)[..., None]
    colour = colour * (1 - rng.uniform(0.2, 0.6) * shade[..., None])
    return np.asarray(colour * (1 - inside[..., None]) + inside[..., None] * paint * tint(rng, 0.08), np.float32)


def manhole(rng: np.random.Generator, colour: Field) -> Field:
    """An iron cover in its frame: a dark ring, and a pattern of bars or knobs."""
    size = (colour.shape[0], colour.shape[1])
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    x, y = x - rng.uniform(0, size[1]), y - rng.uniform(0, size[0])
    far, radius = np.hypot(x, y), max(size) * rng.uniform(0.15, 0.5)
    gap = max(1.5, radius * rng.uniform(0.01, 0.04))
    iron = soft((far < radius).astype(np.float32), 0.6)[..., None]
    ring = np.clip(gap / 2 - np.abs(far - radius * rng.uniform(0.85, 0.95)) + 0.5, 0, 1)
    ring = np.maximum(ring, np.clip(gap / 2 - np.abs(far - radius) + 0.5, 0, 1))[..., None]
    turn, step = rng.uniform(0, np.pi), 2 * np.pi / (radius * rng.uniform(0.06, 0.2))
    knobs = np.sin(step * (x * np.cos(turn) + y * np.sin(turn))) * np.sin(step * (y * np.cos(turn) - x * np.sin(turn)))
    rust = 1 + 0.15 * fractal_noise(rng, size, 12, 4) + rng.uniform(0.1, 0.4) * np.clip(3 * knobs, -1, 1)
    plate = rng.uniform(0.08, 0.35) * rust[..., None] * np.array([1.05, 1.0, 0.95], np.float32)
    colour = colour * (1 - iron) + iron * np.clip(plate, 0.01, 1)
    return np.asarray(colour * (1 - rng.uniform(0.4, 0.85) * ring), np.float32)


def patch(rng: np.random.Generator, colour: Field, other: Field) -> Field:
    """A repaired area of another surface, with a thin seam."""
    size = (colour.shape[0], colour.shape[1])
    turn, cover = upright(rng), np.ones(size, np.float32)
    for quarter in range(2):
        cover *= band(rng, size, rng.uniform(0.3, 0.9) * max(size), turn + quarter * np.pi / 2)
    edge = np.clip(soft(cover, 1.2) * (1 - soft(cover, 1.2)) * 4, 0, 1)
    mixed = colour * (1 - cover[..., None]) + other * cover[..., None]
    return mixed * (1 - rng.uniform(0, 0.6) * edge[..., None])


def stain(rng: np.random.Generator, colour: Field) -> Field:
    """Oil, rust or dirt."""
    size = (colour.shape[0], colour.shape[1])
    for _ in range(int(rng.integers(1, 5))):
        spot = blob(rng, size, max(size) * rng.uniform(0.01, 0.25))[..., None]
        tone = np.array([1.0, 0.97, 0.92], np.float32) * rng.uniform(0.4, 0.95)
        colour = colour * (1 - spot * (1 - tone))
    return colour


def water(rng: np.random.Generator, colour: Field) -> Field:
    """Damp ground: darker, smoother, glossy in places."""
    size = (colour.shape[0], colour.shape[1])
    wet = blob(rng, size, max(size) * rng.uniform(0.1, 0.6), 0.8)[..., None]
    damp = soft(colour, rng.uniform(0.3, 1.5)) * rng.uniform(0.4, 0.75)
    gloss = np.clip(smooth_noise(rng, size, max(size) / 5) - 0.8, 0, 1)[..., None] * rng.uniform(0, 0.15)
    return np.asarray(colour * (1 - wet) + wet * (damp + gloss), np.float32)


def tyre(rng: np.random.Generator, colour: Field) -> Field:
    """A wheel's mark: broad, faint, soft."""
    size = (colour.shape[0], colour.shape[1])
    track = soft(band(rng, size, rng.uniform(0.05, 0.25) * max(size)), rng.uniform(2, 12))
    return np.asarray(colour * (1 - rng.uniform(0.08, 0.3) * track[..., None]), np.float32)


def shadow(rng: np.random.Generator, colour: Field) -> Field:
    """The shadow of a pole, a wall or a tree."""
    size = (colour.shape[0], colour.shape[1])
    kind = rng.random()
    if kind < 0.35:
        shade = band(rng, size, rng.uniform(0.01, 0.2) * max(size))
    elif kind < 0.65:
        shade = band(rng, size, rng.uniform(1.0, 2.0) * max(size))
    else:
        shade = (fractal_noise(rng, size, max(size) * rng.uniform(0.1, 0.5), 5) > rng.uniform(-0.5, 0.8)).astype(
            np.float32
        )
    shade = soft(shade, 10 ** rng.uniform(-0.2, 1.1))[..., None]
    deep = np.array([1.0, 1.02, 1.06], np.float32) * rng.uniform(0.3, 0.75)
    return np.asarray(colour * (1 - shade * (1 - deep)))


def litter(rng: np.random.Generator, colour: Field, keep_clear: Field) -> Field:
    """Leaves, pebbles and twigs, with small shadows; never on a crack (`keep_clear` > 0), so that the mask stays true."""
    height, width = colour.shape[:2]
    for _ in range(int(10 ** rng.uniform(0, 1.6))):
        cover = np.zeros((height, width), np.uint8)
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        reach, turn = max(height, width) * 10 ** rng.uniform(-2.3, -1.3), rng.uniform(0, np.pi)
        slim = rng.choice([0.05, 0.35, 0.6, 0.9])
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        reaches = reach * rng.uniform(0.7, 1.1, 12)
        x, y = reaches * np.cos(angles), reaches * np.sin(angles) * slim
        outline = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1) + centre
        cv2.fillPoly(cover, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        if (keep_clear[cover > 0] > 0).any():
            continue
        mask = soft(cover.astype(np.float32) / 255, 0.5)[..., None]
        dark = np.roll(soft(mask[..., 0], reach * 0.15), (int(reach * 0.2) + 1, int(reach * 0.1) + 1), (0, 1))[
            ..., None
        ]
        dark = dark * (keep_clear[..., None] == 0)
        paint = rng.choice(
            np.array([[0.5, 0.4, 0.15], [0.3, 0.2, 0.1], [0.25, 0.35, 0.1], [0.6, 0.6, 0.58]], np.float32)
        )
        colour = colour * (1 - 0.35 * dark)
        colour = colour * (1 - mask) + mask * paint * rng.uniform(0.6, 1.3)
    return np.asarray(colour, np.float32)
