"""What holds for all tests: the order of the layers, and how hard properties are searched.

What is quick and needs nothing runs first, what needs the real cluster last. Properties are asked of the same examples every time,
so that a change fails a test and not chance; `HYPOTHESIS_PROFILE=long` searches anew, and for a night.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # before anything loads ONNX Runtime, which would report to its maker

_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("short", max_examples=30, stateful_step_count=30, derandomize=True, **_COMMON)
settings.register_profile("long", max_examples=2000, stateful_step_count=60, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

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
