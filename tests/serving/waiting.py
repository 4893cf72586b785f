"""Waiting for the world without sleeping on hope."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.serving.process import DEADLINE


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds."""
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, f"never: {what}"
        time.sleep(0.01)
