"""Rendered pictures as files: `images/`, `masks/` and `truth/` of one folder, made in parallel, resumed where they stopped.

Called by the `render` and `train` commands. The layout is that of a folder of photographs, so both can be trained on.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from crackseg_models.rendering.fields import Size
from crackseg_models.rendering.scene import render


@dataclass(frozen=True)
class Order:
    """What to render: the pictures of the seeds `seed` to `seed + count - 1`, (height, width) pixels each."""

    count: int
    seed: int
    size: Size
    quality: int = 92


def write_all(order: Order, out: Path, workers: int = 1) -> Iterator[Path]:
    """Render what is not there yet; the paths of all pictures, in order, each as soon as it is there."""
    for sub in ("images", "masks", "truth"):
        (out / sub).mkdir(parents=True, exist_ok=True)
    seeds = range(order.seed, order.seed + order.count)
    if workers == 1:
        yield from map(partial(write, order, out), seeds)
        return
    fresh = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of OpenCV and torch
    with ProcessPoolExecutor(workers, fresh, initializer=partial(cv2.setNumThreads, 1)) as pool:
        yield from pool.map(partial(write, order, out), seeds, chunksize=1)


def write(order: Order, out: Path, seed: int) -> Path:
    """One picture with its mask and truth; the picture comes last and whole, so its presence means all three."""
    image = out / "images" / f"{seed}.jpg"
    if image.exists():
        return image
    scene = render(seed, order.size)
    truth = out / "truth" / f"{seed}.json"
    truth.write_text(json.dumps(scene.truth(), indent=2) + "\n")
    (out / "masks" / f"{seed}.png").write_bytes(_encode(".png", scene.mask, [cv2.IMWRITE_PNG_BILEVEL, 1]))
    part = image.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(_encode(".jpg", scene.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, order.quality]))
    part.replace(image)
    return image


def _encode(ending: str, picture: object, settings: list[int]) -> bytes:
    done, data = cv2.imencode(ending, picture, settings)
    if not done:
        raise ValueError(f"OpenCV cannot encode {ending}")
    return bytes(data)
