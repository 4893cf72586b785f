"""How good the sample models are: IoU and F1 on pictures that no training saw. Called by the `report` command; no torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_models.metrics import Score, count, score
from crackseg_models.photographs import collections
from crackseg_models.prediction import Model
from crackseg_models.rendering.scene import render

Example: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]

FIRST_SEED = 9_000_000  # pictures from here on are never rendered for a training


def rendered(number: int) -> list[Example]:
    """Freshly rendered pictures, always the same ones."""
    return [(scene.picture, scene.mask) for scene in (render(FIRST_SEED + i) for i in range(number))]


def kept_apart(folder: Path, *, everything: bool) -> dict[str, list[Example]]:
    """The photographs that were held back, by sub-folder; all of them where the folder is not the training's."""
    return {
        name: [pair.read() for pair in found if everything or pair.held_back]
        for name, found in collections(folder).items()
    }


def scaled(examples: list[Example], scale: float) -> list[Example]:
    """The same pictures, larger or smaller; hairlines survive in the mask."""
    return [_scaled(*example, scale) for example in examples]


def _scaled(picture: NDArray[np.uint8], mask: NDArray[np.uint8], scale: float) -> Example:
    if scale == 1:
        return picture, mask
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    larger = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)
    soft = cv2.resize(
        mask, (larger.shape[1], larger.shape[0]), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return larger, np.where(soft > (0.38 if scale < 1 else 0.5) * 255, 255, 0).astype(np.uint8)


def judge(model: Model, examples: list[Example]) -> Score:
    """One model on one set of pictures."""
    return score(count(model.mask(picture), mask > 0) for picture, mask in examples)


def rows(models: list[Path], sets: dict[str, list[Example]], scales: list[float]) -> Iterator[dict[str, object]]:
    """One row of figures for every model, set and scale."""
    for path in models:
        model = Model(path)
        for name, examples in sets.items():
            for scale in scales:
                figures = judge(model, scaled(examples, scale)).rounded()
                yield {"model": path.stem, "set": name, "scale": scale, **figures}


def table(found: Iterator[dict[str, object]]) -> Iterator[str]:
    """The rows as lines of text, each as soon as it is known."""
    yield f"{'model':<18}{'set':<12}{'scale':>6}{'pictures':>10}{'IoU':>8}{'F1':>8}{'F1 2px':>8}{'mean IoU':>10}{'mean F1':>9}"
    for row in found:
        yield (
            f"{row['model']:<18}{row['set']:<12}{row['scale']:>6}{row['pictures']:>10}{row['iou']:>8.3f}{row['f1']:>8.3f}"
            f"{row['f1_2px']:>8.3f}{row['mean_iou']:>10.3f}{row['mean_f1']:>9.3f}"
        )


def lines(found: Iterator[dict[str, object]]) -> Iterator[str]:
    """The rows as JSON, one object a line."""
    return (json.dumps(row) for row in found)
