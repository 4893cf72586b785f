"""Folders of photographs and masks: reading pairs, and keeping some of them apart from the training for ever.

A folder has `images/` and `masks/` with the same file names (any ending). Which photographs are held back follows from
their bytes, so the rule holds for every folder and needs no list; called by the training and by the report.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HELD_BACK_ONE_IN = 5  # photographs whose SHA-256 begins with a byte divisible by this are never trained on


def held_back(image: Path) -> bool:
    """Whether a photograph is kept apart: it follows from its bytes."""
    return hashlib.sha256(image.read_bytes()).digest()[0] % HELD_BACK_ONE_IN == 0


@dataclass(frozen=True)
class Pair:
    """One photograph and its mask, as files."""

    image: Path
    mask: Path

    @property
    def held_back(self) -> bool:
        """Whether the training may not see it."""
        return held_back(self.image)

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The picture [H, W, 3] RGB and the mask [H, W] 0 or 255; ValueError names a file that is no picture."""
        image = cv2.imread(str(self.image), cv2.IMREAD_COLOR)
        mask = cv2.imread(str(self.mask), cv2.IMREAD_GRAYSCALE)
        if image is None or mask is None:
            raise ValueError(f"{self.mask if mask is None else self.image} is not a picture that OpenCV can read")
        if image.shape[:2] != mask.shape:
            raise ValueError(f"{self.image} is {image.shape[:2]} pixels, but its mask {self.mask} is {mask.shape}")
        return np.ascontiguousarray(image[..., ::-1]), np.where(mask > 127, 255, 0).astype(np.uint8)


def pairs(images: Path, masks: Path) -> list[Pair]:
    """The photographs of one folder that have a mask, by name; ValueError where there is none."""
    if not images.is_dir() or not masks.is_dir():
        raise ValueError(f"{images} and {masks} must both be folders")
    by_stem = {path.stem: path for path in masks.iterdir() if path.is_file()}
    found = [
        Pair(path, by_stem[path.stem])
        for path in sorted(images.iterdir())
        if path.is_file() and path.stem in by_stem and not path.name.startswith(".")
    ]
    if not found:
        raise ValueError(f"no file in {images} has a mask of the same name in {masks}")
    return found


def collections(folder: Path) -> dict[str, list[Pair]]:
    """The sub-folders of `folder` that hold `images/` and `masks/`, by name; ValueError where there is none."""
    found = {
        sub.name: pairs(sub / "images", sub / "masks")
        for sub in sorted(folder.iterdir())
        if (sub / "images").is_dir() and (sub / "masks").is_dir()
    }
    if not found:
        raise ValueError(f"{folder} has no sub-folder with images/ and masks/ in it")
    return found
