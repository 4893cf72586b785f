"""Where the committed samples are, and the photographs of whoever runs the tests."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from crackseg_models.photographs import held_back

SAMPLES = Path(__file__).parents[2] / "deploy" / "samples"


@pytest.fixture
def sample() -> Path:
    return SAMPLES / "pavement-1.0.0.onnx"


@pytest.fixture(scope="session")
def real_photographs() -> Path:
    folder = os.environ.get("CRACKSEG_PHOTOGRAPHS")
    if not folder:
        pytest.skip("CRACKSEG_PHOTOGRAPHS names no folder of real photographs with masks")
    return Path(folder)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Twelve pieces of the sample photographs with their masks, four of them held back by their bytes."""
    folder = tmp_path_factory.mktemp("road")
    for sub in ("images", "masks"):
        (folder / sub).mkdir()
    for number in range(12):
        name = ("branching", "map")[number % 2]
        piece(
            SAMPLES / "photographs" / f"{name}.jpg", folder / "images" / f"{number}.png", number, apart=number % 3 == 0
        )
    return folder


def piece(photograph, out, number, *, apart):
    """A piece of 224 pixels; from where, its bytes decide: they are of those held `apart`, or not."""
    picture, mask = cv2.imread(str(photograph)), cv2.imread(str(photograph.with_suffix(".mask.png")), 0)
    for left in range(40 * (number // 2), picture.shape[1] - 224):
        part = np.s_[160:384, left : left + 224]
        cv2.imwrite(str(out), picture[part])
        if held_back(out) == apart and (mask[part] > 0).sum() > 800:
            cv2.imwrite(str(out.parents[1] / "masks" / out.name), mask[part])
            return
    raise AssertionError(f"{photograph} has no such piece")
