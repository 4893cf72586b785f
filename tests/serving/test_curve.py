"""The batching that `Auto` finds, from curves as processors and cards show them."""

from __future__ import annotations

import pytest

from crackseg_serving.runtime.curve import Batching, choose_batching


@pytest.mark.parametrize(
    ("seconds", "gain", "size", "delay"),
    [
        pytest.param(
            {n: 0.026 * n for n in (1, 2, 4, 8, 16)}, 1.5, 1, 0.0, id="a processor: each image costs the same"
        ),
        pytest.param({1: 0.026, 2: 0.040, 4: 0.1}, 1.5, 1, 0.0, id="a processor in noise: a little gain is none"),
        pytest.param(
            {1: 0.004, 2: 0.004, 4: 0.0041, 8: 0.005, 16: 0.01}, 1.1, 8, 0.00125, id="a card with a knee at 8"
        ),
        pytest.param(dict.fromkeys((1, 2, 4, 8, 16), 0.004), 1.1, 16, 0.001, id="a card that never has enough"),
        pytest.param({1: 0.004, 2: 0.004, 4: None}, 1.1, 2, 0.001, id="four do not fit into memory"),
        pytest.param({1: 0.09, 2: 0.091, 4: 0.17}, 1.1, 2, 0.02, id="nobody waits longer than 20 ms"),
        pytest.param({1: 0.004, 2: 0.004, 4: 0.0078, 8: 0.001}, 1.1, 2, 0.001, id="growing ends where it does not pay"),
        pytest.param({1: 0.5, 2: 0.5}, 1.1, 1, 0.0, id="a run so long has nothing to gain"),
        pytest.param({1: 0.0}, 1.1, 1, 0.0, id="a clock that did not move"),
    ],
)
def test_the_smallest_size_near_the_best(seconds: dict[int, float | None], gain: float, size: int, delay: float):
    found = choose_batching(lambda count: seconds.get(count, 1000.0), gain)
    assert found.size == size
    assert found.delay == pytest.approx(delay)


def test_a_model_that_cannot_be_measured_runs_one_by_one():
    assert choose_batching(lambda _count: None, 1.1) == Batching(1, 0.0)


def test_sizes_are_not_tried_in_vain():
    tried: list[int] = []

    def measure(count: int) -> float:
        tried.append(count)
        return 0.03 * count

    choose_batching(measure, 1.5)
    assert tried == [1, 2]
