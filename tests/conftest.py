"""Order of the layers: what is quick and needs nothing runs first, what needs the real cluster last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # before anything loads ONNX Runtime, which would report to its maker

LAYERS = (
    "unit",
    "golden",
    "properties",
    "contract",
    "packaging",
    "readme",
    "models",
    "serving",
    "browser",
    "bench",
    "api",
    "local",
    "e2e",
)


def _layer(item: pytest.Item) -> int:
    parts = Path(item.path).relative_to(Path(__file__).parent).parts
    return LAYERS.index(parts[0]) if parts[0] in LAYERS else len(LAYERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_layer)
