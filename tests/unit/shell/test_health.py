"""What the liveness probe is told."""

from __future__ import annotations

import pytest

from crackseg_operator.shell.telemetry import Health


@pytest.mark.parametrize(
    ("stuck", "longest", "stale", "words"),
    [
        pytest.param(0.0, 0.0, [], "", id="at rest"),
        pytest.param(119.0, 500.0, [], "", id="busy on a slow cluster"),
        pytest.param(121.0, 0.0, [], "none was begun or ended", id="models wait and nothing moves"),
        pytest.param(0.0, 601.0, [], "worked on for 601 s", id="work that does not end"),
        pytest.param(0.0, 0.0, ["pods"], "pods", id="a watch that nobody opens"),
    ],
)
def test_alive_says_what_is_stuck(stuck: float, longest: float, stale: list[str], words: str):
    verdict = Health(lambda: stuck, lambda: longest, lambda: stale).alive()
    assert words in verdict
    assert bool(verdict) == bool(words)
