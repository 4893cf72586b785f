"""The batcher, with functions in place of models: what meets in a run, what does not, and who hears of failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait

import numpy as np
import pytest

from crackseg_serving.batching import Array, Batcher

DEADLINE = 120.0


class Model:
    """Adds one; remembers its runs; waits at a gate where a test wants to see a queue."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, items: Array) -> Array:
        self.runs.append(items.shape)
        self.entered.release()
        assert self.gate.wait(DEADLINE)
        if (items < 0).any():
            raise ValueError("negative")
        return items + 1

    def hold(self) -> None:
        """Let runs begin, and not end."""
        self.gate.clear()


@pytest.fixture
def model() -> Model:
    return Model()


Make = Callable[..., Batcher]


@pytest.fixture
def make(model: Model) -> Iterator[Make]:
    made: list[Batcher] = []

    def start(run: Callable[[Array], Array] = model, *, size: int = 8, delay: float = 0.0, runners: int = 1) -> Batcher:
        made.append(Batcher(run, size=size, delay=delay, runners=runners))
        return made[-1]

    yield start
    model.gate.set()
    for one in made:
        one.close()


def item(value: float, *shape: int) -> Array:
    return np.full(shape or (1, 4), value, np.float32)


def results(futures: list[Future[Array]]) -> list[float]:
    return [float(future.result(DEADLINE).flat[0]) for future in futures]


def queued(model: Model, batcher: Batcher, *items: Array) -> list[Future[Array]]:
    """Submit `items` while a first run is held up, so that they wait together."""
    model.hold()
    first = batcher.submit(item(0))
    assert model.entered.acquire(timeout=DEADLINE)
    futures = [batcher.submit(one) for one in items]
    assert batcher.depth == sum(len(one) for one in items)
    model.gate.set()
    assert first.result(DEADLINE)[0, 0] == 1
    return futures


def test_a_lone_item_runs_at_once_and_alone(make: Make, model: Model):
    assert results([make().submit(item(4))]) == [5]
    assert model.runs == [(1, 4)]


def test_what_waits_together_runs_together_and_comes_back_in_order(make: Make, model: Model):
    futures = queued(model, make(), *(item(value) for value in range(5)))
    assert results(futures) == [1, 2, 3, 4, 5]
    assert model.runs == [(1, 4), (5, 4)]


def test_no_run_is_larger_than_the_size(make: Make, model: Model):
    results(queued(model, make(size=3), *(item(value) for value in range(7))))
    assert [shape[0] for shape in model.runs] == [1, 3, 3, 1]


def test_items_of_several_count_with_all_of_them(make: Make, model: Model):
    futures = queued(model, make(size=4), item(1, 3, 4), item(2, 2, 4), item(3, 1, 4))
    assert [len(future.result(DEADLINE)) for future in futures] == [3, 2, 1]
    assert [shape[0] for shape in model.runs] == [1, 4, 2]


def test_other_shapes_and_types_run_apart(make: Make, model: Model):
    other = np.zeros((1, 4), np.float64)
    results(queued(model, make(), item(1), item(1, 1, 9), item(2), other))
    assert model.runs == [(1, 4), (2, 4), (1, 9), (1, 4)]


def test_free_runners_share_the_queue(make: Make, model: Model):
    batcher = make(runners=2)
    model.hold()
    held = [batcher.submit(item(0)) for _ in range(2)]
    for _ in held:
        assert model.entered.acquire(timeout=DEADLINE)
    futures = [batcher.submit(item(value)) for value in range(4)]
    model.gate.set()
    results([*held, *futures])
    assert max(shape[0] for shape in model.runs) <= 4
    assert sum(shape[0] for shape in model.runs) == 6


def test_a_failed_run_fails_everyone_in_it_and_nobody_else(make: Make, model: Model):
    batcher = make()
    good, bad = queued(model, batcher, item(1), item(-1))
    for future in (good, bad):
        with pytest.raises(ValueError, match="negative"):
            future.result(DEADLINE)
    assert results([batcher.submit(item(1))]) == [2]


def test_a_run_that_returns_too_little_is_a_failure(make: Make):
    with pytest.raises(ValueError, match="1 results for 2"):
        make(lambda items: items[:1]).submit(item(1, 2, 4)).result(DEADLINE)


def test_a_cancelled_item_is_not_run(make: Make, model: Model):
    batcher = make()
    model.hold()
    first = batcher.submit(item(0))
    assert model.entered.acquire(timeout=DEADLINE)
    gone, kept = batcher.submit(item(1)), batcher.submit(item(2))
    assert gone.cancel()
    model.gate.set()
    assert results([first, kept]) == [1, 3]
    assert model.runs == [(1, 4), (1, 4)]


def test_a_delay_gathers_until_the_size_is_reached(make: Make, model: Model):
    batcher = make(size=4, delay=DEADLINE)
    assert results([batcher.submit(item(value)) for value in range(4)]) == [1, 2, 3, 4]
    assert model.runs == [(4, 4)]


def test_a_delay_that_has_passed_runs_what_is_there(make: Make, model: Model):
    assert results([make(size=100, delay=0.02).submit(item(1))]) == [2]
    assert model.runs == [(1, 4)]


def test_closing_finishes_what_waits_and_takes_no_more(make: Make, model: Model):
    batcher = make(size=2, delay=DEADLINE)
    future = batcher.submit(item(1))
    batcher.close()
    assert results([future]) == [2]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(item(1))


def test_many_threads_each_get_their_own(make: Make):
    batcher = make(runners=3, size=4)
    futures: dict[int, Future[Array]] = {}

    def submit(start: int) -> None:
        for value in range(start, start + 50):
            futures[value] = batcher.submit(item(value))

    threads = [threading.Thread(target=submit, args=(start,)) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait(futures.values(), DEADLINE)
    assert {value: future.result()[0, 0] for value, future in futures.items()} == {
        value: value + 1 for value in range(400)
    }
