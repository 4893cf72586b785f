"""Cracks: their course, their width, the exact mask and the exact figures. Geometry only; `scene` paints them.

A crack is a list of branches; a branch is a line with a width to its left and to its right at every point. The mask is
the area between the two edges, so length, width and area are known before a pixel is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.rendering.fields import Field, Size

FINEST = 1.5  # pixels: a narrower crack is not a crack in the mask
_SUBPIXELS = 4  # the mask is drawn this much finer, then averaged


@dataclass(frozen=True)
class Branch:
    """A line: `points` [n, 2] as (x, y) pixels; `left` and `right` [n] half widths in pixels."""

    points: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What is known of the cracks inside the frame, in pixels."""

    length: float
    mean_width: float
    maximum_width: float


def figures(branches: list[Branch], size: Size) -> Figures:
    """Exact sums over the segments whose middle lies inside the frame; what branches share is counted for each of them."""
    lengths, widths = [np.zeros(0)], [np.zeros(0)]
    for branch in branches:
        middle = (branch.points[1:] + branch.points[:-1]) / 2
        inside = (middle >= 0).all(1) & (middle[:, 0] < size[1]) & (middle[:, 1] < size[0])
        width = branch.left + branch.right
        lengths.append(np.linalg.norm(np.diff(branch.points, axis=0), axis=1)[inside])
        widths.append(((width[1:] + width[:-1]) / 2)[inside])
    length, width = np.concatenate(lengths), np.concatenate(widths)
    total = float(length.sum())
    mean = float((length * width).sum()) / total if total else 0.0
    return Figures(total, mean, float(width.max(initial=0.0)))


def coverage(branches: list[Branch], size: Size) -> Field:
    """How much of each pixel is crack, 0..1 [H, W]."""
    fine = np.zeros((size[0] * _SUBPIXELS, size[1] * _SUBPIXELS), np.uint8)
    for branch in branches:
        for quad in _quads(branch, rim=0.5 / _SUBPIXELS) * _SUBPIXELS - 0.5:
            cv2.fillConvexPoly(fine, np.round(quad * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    small = cv2.resize(fine, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255


def _quads(branch: Branch, rim: float) -> NDArray[np.float64]:
    """The area between the edges as quadrilaterals [n - 1, 4, 2], less the `rim` that drawing adds to each side."""
    direction = np.gradient(branch.points, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-direction[:, 1], direction[:, 0]], 1)
    one, other = (
        branch.points + normal * (branch.left - rim)[:, None],
        branch.points - normal * (branch.right - rim)[:, None],
    )
    return np.stack([one[:-1], one[1:], other[1:], other[:-1]], 1)


def rough(rng: np.random.Generator, count: int, power: float) -> NDArray[np.float64]:
    """A rough line of `count` values, mean 0, spread 1; a larger `power` is smoother."""
    frequency = np.fft.rfftfreq(2 * count)[1:]
    spectrum = (rng.standard_normal(frequency.size) + 1j * rng.standard_normal(frequency.size)) * frequency ** (-power)
    line = np.fft.irfft(np.concatenate([[0], spectrum]), 2 * count)[:count]
    line -= line.mean()
    return np.asarray(line / max(float(line.std()), 1e-9))


@dataclass(frozen=True)
class Style:
    """What the branches of one picture have in common; `grain` is what the crack winds around, in pixels."""

    width: float
    grain: float
    winding: float
    raggedness: float
    taper: float


def course(rng: np.random.Generator, start: Field, end: Field, style: Style) -> Branch:
    """A crack from `start` to `end` that winds, narrows and frays.

    It does not wind finer than half its own width: that is its length's scale, and about what a measured centre line sees.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    length = float(np.linalg.norm(end - start)) + 1e-6
    count = int(np.clip(length / 2.0, 8, 4000))
    along = np.linspace(0, 1, count)
    chord = (end - start) / length
    normal = np.array([-chord[1], chord[0]])
    sway = rough(rng, count, 1.3) * length * style.winding * 0.06
    sway -= sway[0] + (sway[-1] - sway[0]) * along
    jag = rough(rng, count, 0.75) * min(style.grain * 0.4 + 1, length * 0.04)
    jag *= np.sin(np.pi * along) ** 0.25
    points = start + along[:, None] * (end - start) + (sway + jag)[:, None] * normal
    points = points + chord * (rough(rng, count, 0.8) * min(style.grain * 0.2, length * 0.02))[:, None]
    spacing = length / (count - 1)
    points = smoothed(points, max(style.width / 2, FINEST) / spacing)
    swell = np.exp(0.35 * np.clip(rough(rng, count, 1.0), -2, 2))
    ends = 1 - style.taper * (np.abs(2 * along - 1) ** rng.uniform(2, 8))
    half = style.width * swell * np.clip(ends, 0.05, 1) / 2
    left, right = (half * np.exp(_frayed(rng, count, style, spacing)) for _ in range(2))
    thin = np.maximum(FINEST / np.maximum(left + right, 1e-9), 1.0)
    return Branch(points, left * thin, right * thin)


def _frayed(rng: np.random.Generator, count: int, style: Style, spacing: float) -> NDArray[np.float64]:
    """How much one edge bulges along a crack (logarithm): stone by stone, never in teeth finer than a fifth of the width."""
    bulge = np.clip(rough(rng, count, 0.45), -2.5, 2.5) * style.raggedness * min(1.0, (8 / style.width) ** 0.5)
    return smoothed(bulge[:, None], style.width / 5 / spacing)[:, 0]


def smoothed(line: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A line [n, k] low-passed with a Gaussian of `sigma` steps; its ends stay, and what is straight stays as it is."""
    reach = min(int(4 * sigma) + 1, len(line) - 1)
    before, after = 2 * line[:1] - line[reach:0:-1], 2 * line[-1:] - line[-2 : -reach - 2 : -1]
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    long = np.concatenate([before, line, after])
    return np.stack([np.convolve(column, kernel / kernel.sum(), "valid") for column in long.T], 1)


def _edge_point(rng: np.random.Generator, size: Size, side: int) -> Field:
    """A point a little outside one side of the frame (0 left, 1 top, 2 right, 3 bottom)."""
    height, width = size
    share, out = rng.uniform(0.05, 0.95), 0.08
    return np.array(
        [(-out * width, share * height), (share * width, -out * height), ((1 + out) * width, share * height),
         (share * width, (1 + out) * height)][side], np.float32)  # fmt: skip


def single(rng: np.random.Generator, size: Size, style: Style) -> list[Branch]:
    """One crack across the picture, or ending inside it."""
    side = int(rng.integers(0, 4))
    start, end = (
        _edge_point(rng, size, side),
        _edge_point(rng, size, (side + 2) % 4 if rng.random() < 0.7 else (side + 1) % 4),
    )
    if rng.random() < 0.3:
        end = start + (end - start) * rng.uniform(0.3, 0.8)
    return [course(rng, start, end, style)]


def branching(rng: np.random.Generator, size: Size, style: Style) -> list[Branch]:
    """A crack with thinner ones leaving it, and thinner ones leaving those."""
    branches = single(rng, size, style)
    for _ in range(int(rng.integers(1, 6))):
        parent = branches[int(rng.integers(0, len(branches)))]
        at = int(rng.integers(len(parent.points) // 6, max(len(parent.points) * 5 // 6, len(parent.points) // 6 + 1)))
        ahead = parent.points[min(at + 5, len(parent.points) - 1)] - parent.points[max(at - 5, 0)]
        turn = np.arctan2(ahead[1], ahead[0]) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.5)
        reach = rng.uniform(0.15, 0.7) * max(size)
        tip = parent.points[at] + reach * np.array([np.cos(turn), np.sin(turn)])
        width = float((parent.left + parent.right)[at]) * rng.uniform(0.3, 0.9)
        thinner = Style(max(width, FINEST), style.grain, style.winding, style.raggedness, 1.0)
        branches.append(course(rng, parent.points[at], tip, thinner))
    return branches


def parallel(rng: np.random.Generator, size: Size, style: Style) -> list[Branch]:
    """Two to four cracks in about one direction."""
    return [branch for _ in range(int(rng.integers(2, 5))) for branch in single(rng, size, style)]


def mapped(rng: np.random.Generator, size: Size, style: Style) -> list[Branch]:
    """Map cracking: the edges of cells; alligator skin where the cells are small."""
    height, width = size
    cell = max(size) * rng.uniform(0.1, 0.4)
    subdivision = cv2.Subdiv2D((-width, -height, 3 * width, 3 * height))
    step_y, step_x = np.mgrid[-cell : height + cell : cell, -cell : width + cell : cell]
    seeds = np.stack([step_x.ravel(), step_y.ravel()], 1) + rng.uniform(-0.45, 0.45, (step_x.size, 2)) * cell
    for x, y in seeds:
        subdivision.insert((float(x), float(y)))
    facets, _ = subdivision.getVoronoiFacetList([])
    edges = {tuple(sorted([tuple(np.round(a, 1).tolist()), tuple(np.round(b, 1).tolist())]))
             for facet in facets for a, b in zip(facet, np.roll(facet, -1, 0), strict=True)}  # fmt: skip
    centre, reach = rng.uniform(0, 1, 2) * (width, height), max(size) * rng.uniform(0.35, 1.2)
    branches = []
    for a, b in sorted(edges):
        start, end = np.asarray(a, np.float32), np.asarray(b, np.float32)
        far = float(np.linalg.norm((start + end) / 2 - centre))
        seen = -cell < start[0] < width + cell and -cell < start[1] < height + cell
        if seen and far < reach and rng.random() < 0.88 and np.linalg.norm(end - start) > 4:
            vary = Style(
                max(FINEST, style.width * rng.uniform(0.4, 1.3)),
                style.grain,
                style.winding * 0.8,
                style.raggedness,
                0.2,
            )
            branches.append(course(rng, start, end, vary))
    return branches


PATTERNS: dict[str, tuple[float, Callable[[np.random.Generator, Size, Style], list[Branch]]]] = {
    "single": (0.42, single),
    "branching": (0.26, branching),
    "parallel": (0.08, parallel),
    "map": (0.14, mapped),
    "none": (0.10, lambda rng, size, style: []),  # noqa: ARG005 - the pattern of sound pavement
}
