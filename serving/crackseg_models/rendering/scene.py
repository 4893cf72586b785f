"""One rendered photograph with its truth: ground, clutter, cracks, light, camera, in this order.

Called by the `render` command, the training and the tests. The same seed and size give the same picture, byte for byte.
"""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.rendering import camera, clutter
from crackseg_models.rendering.cracks import FINEST, PATTERNS, Branch, Figures, Style, coverage, figures
from crackseg_models.rendering.engraving import engrave
from crackseg_models.rendering.fields import Field, Size, soft
from crackseg_models.rendering.surface import Surface, asphalt, concrete

NARROW, WIDE = 2.0, 12.0  # pixels: widths of cracks in a picture of 512 pixels, before they narrow, swell and fray


@dataclass(frozen=True)
class Rendered:
    """`picture` [H, W, 3] RGB, `mask` [H, W] 0 or 255, and what is known about the cracks; `area` in pixels."""

    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    seed: int
    surface: str
    pattern: str
    figures: Figures
    area: float

    def truth(self) -> dict[str, object]:
        """The truth as it is written beside the picture (pixels)."""
        height, width = self.mask.shape
        exact = {key: round(value, 3) for key, value in (asdict(self.figures) | {"area": self.area}).items()}
        return {
            "seed": self.seed,
            "width": width,
            "height": height,
            "surface": self.surface,
            "pattern": self.pattern,
            **exact,
        }


def render(seed: int, size: Size = (512, 512)) -> Rendered:
    """The picture of this seed; `size` is (height, width), at least 64 pixels each."""
    rng = np.random.default_rng(seed)
    light = float(rng.uniform(0, 2 * np.pi))
    ground = _ground(rng, size, light)
    pattern = str(rng.choice(list(PATTERNS), p=[share for share, _ in PATTERNS.values()]))
    plane = _plane(rng, size)
    branches = [_seen(branch, plane) for branch in PATTERNS[pattern][1](rng, size, style(rng, ground.grain, size))]
    colour = cv2.warpPerspective(
        ground.colour, plane, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    colour = _dress(rng, np.asarray(colour, np.float32), ground, light)
    cover = coverage(branches, size)
    if branches:
        colour = engrave(rng, colour, cover, light, ground.grain)
    mask = np.where(cover >= 0.5, 255, 0).astype(np.uint8)
    colour = _light(rng, colour, cover)
    return Rendered(
        camera.photograph(rng, colour), mask, seed, ground.kind, pattern, figures(branches, size), float(cover.sum())
    )


def _ground(rng: np.random.Generator, size: Size, light: float) -> Surface:
    if rng.random() < 0.2:
        return concrete(rng, size, light)
    return asphalt(rng, size, light, float(10 ** rng.uniform(0.15, 1.45)))


def style(rng: np.random.Generator, grain: float, size: Size) -> Style:
    """Widths from hairlines to gaps, as many of each octave; among coarse stones the camera is near, and cracks are wider."""
    near = np.clip(grain / 6, 0.7, 2.0) ** 0.5
    width = NARROW * (WIDE / NARROW) ** rng.random() * near * min(max(size) / 512, 2.0)
    width = float(np.clip(width, FINEST, max(size) * 0.05))
    return Style(width, grain, float(rng.uniform(0.2, 1.0)), float(rng.uniform(0.1, 0.5)), float(rng.uniform(0, 1)))


def _plane(rng: np.random.Generator, size: Size) -> NDArray[np.float64]:
    """The camera's view of flat ground: from straight above to leaning."""
    height, width = size
    lean = rng.uniform(0, 0.35) * width if rng.random() < 0.4 else 0.0
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = flat + np.array([[0, 0], [0, 0], [lean, 0], [-lean, 0]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(flat, seen), np.float64)


def _seen(branch: Branch, plane: NDArray[np.float64]) -> Branch:
    """A branch on the ground as the camera sees it: moved, and as much wider as the ground is enlarged there."""
    points = cv2.perspectiveTransform(branch.points[None], plane)[0]
    before = np.linalg.norm(np.diff(branch.points, axis=0), axis=1)
    after = np.linalg.norm(np.diff(points, axis=0), axis=1)
    scale = soft((after / np.maximum(before, 1e-9)).astype(np.float32)[None], 4.0)[0].astype(np.float64)
    scale = np.append(scale, scale[-1])
    return Branch(points, branch.left * scale, branch.right * scale)


def _dress(rng: np.random.Generator, colour: Field, ground: Surface, light: float) -> Field:
    """Everything that lies on the ground before it cracks."""
    size = (colour.shape[0], colour.shape[1])
    if rng.random() < 0.1:
        colour = clutter.patch(rng, colour, asphalt(rng, size, light, float(10 ** rng.uniform(0.15, 1.0))).colour)
    for chance, change in (
        (0.15, clutter.marking),
        (0.35 if ground.kind == "concrete" else 0.06, clutter.joint),
        (0.05, clutter.sealant),
        (0.05, clutter.manhole),
        (0.3, clutter.stain),
        (0.15, clutter.tyre),
        (0.12, clutter.water),
        (0.08, clutter.cable),
    ):
        if rng.random() < chance:
            colour = change(rng, colour)
    return np.clip(colour, 0.01, 1.4)


def _light(rng: np.random.Generator, colour: Field, cover: Field) -> Field:
    """Litter on top, then shadows over all."""
    if rng.random() < 0.2:
        near = cv2.dilate(cover, np.ones((7, 7), np.uint8))
        colour = clutter.litter(rng, colour, np.asarray(near, np.float32))
    if rng.random() < 0.25:
        colour = clutter.shadow(rng, colour)
    return colour
