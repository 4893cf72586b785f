"""Where the committed samples are, and the photographs of whoever runs the tests."""

import os
from pathlib import Path

import pytest

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
