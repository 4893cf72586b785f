"""Whose turn it is in the model's queue, who gets all cores, and what is not run because nobody wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest
from tests.serving.waiting import until

from crackseg_serving.admission import Ticket
from crackseg_serving.batching import Array, Batcher, Run, Wide

DEADLINE = 120.0


class Model:
    """Remembers what it ran, in order, and whether on all cores; waits at a gate while that is closed."""

    def __init__(self) -> None:
        self.ran: list[tuple[float, bool]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.company = 0  # other requests inside

    def run(self, items: Array, *, wide: bool = False) -> Array:
        self.ran.append((float(items.flat[0]), wide))
        self.entered.release()
        assert self.gate.wait(DEADLINE)
        return items

    def run_wide(self, items: Array) -> Array:
        return self.run(items, wide=True)

    def enter(self, count: int = 1) -> None:
        """Wait until so many runs have begun."""
        for _ in range(count):
            assert self.entered.acquire(timeout=DEADLINE)

    @property
    def values(self) -> list[float]:
        return [value for value, _ in self.ran]


@pytest.fixture
def model() -> Model:
    return Model()


def start(
    model: Model, *, runners: int = 1, wide: bool = False, size: int = 1, runs: list[Run] | None = None
) -> Batcher:
    observe = (lambda _run: None) if runs is None else runs.append
    way = Wide(model.run_wide, lambda: model.company == 0) if wide else None
    return Batcher(model.run, size=size, delay=0, runners=runners, wide=way, observe=observe)


@pytest.fixture
def one(model: Model) -> Iterator[Batcher]:
    """One runner that is held at the gate with a first run, so that what is submitted waits."""
    batcher = start(model)
    batcher.submit(tile(0))
    model.enter()
    yield batcher
    model.gate.set()
    batcher.close()


@pytest.fixture
def two(model: Model) -> Iterator[Batcher]:
    """Two runners that may run wide."""
    batcher = start(model, runners=2, wide=True)
    yield batcher
    model.gate.set()
    batcher.close()


def tile(value: float) -> Array:
    return np.full((1, 4), value, np.float32)


def ticket(seconds: float = DEADLINE) -> Ticket:
    return Ticket(time.monotonic() + seconds)


def finish(model: Model, *futures: Future[Array]) -> None:
    model.gate.set()
    for future in futures:
        future.result(DEADLINE)


def test_a_small_image_waits_for_one_tile_of_a_big_one_and_not_for_all(one: Batcher, model: Model):
    big, small = ticket(), ticket()
    futures = [one.submit(tile(10 + number), big) for number in range(400)]
    futures.append(one.submit(tile(1), small))
    finish(model, *futures)
    assert model.values.index(1) <= 2
    assert model.values[2:5] == [1, 11, 12]


def test_three_images_take_turns(one: Batcher, model: Model):
    tickets = [ticket() for _ in range(3)]
    futures = [one.submit(tile(100 * (who + 1) + number), tickets[who]) for who in range(3) for number in range(3)]
    finish(model, *futures)
    assert model.values[1:] == [100, 200, 300, 101, 201, 301, 102, 202, 302]


def test_a_batch_is_filled_in_turns_too(model: Model):
    batcher = start(model, size=4)
    first = batcher.submit(tile(0))
    model.enter()
    big, small = ticket(), ticket()
    futures = [batcher.submit(tile(10 + number), big) for number in range(6)]
    futures.append(batcher.submit(tile(1), small))
    finish(model, first, *futures)
    batcher.close()
    assert model.values == [0, 10, 13], "the second run has 10, 1, 11 and 12"


def test_tiles_of_a_client_that_left_are_not_run(one: Batcher, model: Model):
    gone, there = ticket(), ticket()
    unwanted = [one.submit(tile(7), gone) for _ in range(20)]
    wanted = one.submit(tile(1), there)
    gone.cancel()
    finish(model, wanted)
    until(lambda: one.depth == 0, "an empty queue")
    assert model.values == [0, 1]
    for future in unwanted:
        with pytest.raises(CancelledError):
            future.result(DEADLINE)


def test_tiles_whose_deadline_has_passed_are_not_run(one: Batcher, model: Model):
    late = one.submit(tile(7), ticket(0))
    finish(model, one.submit(tile(1), ticket()))
    with pytest.raises(CancelledError):
        late.result(DEADLINE)
    assert model.values == [0, 1]


def test_what_is_alone_has_all_cores(two: Batcher, model: Model):
    finish(model, two.submit(tile(1), ticket()))
    finish(model, two.submit(tile(2), ticket()))
    assert model.ran == [(1, True), (2, True)]


def test_what_comes_during_a_run_on_all_cores_waits_for_its_end_and_then_has_one_each(two: Batcher, model: Model):
    first = two.submit(tile(1), ticket())
    model.enter()
    model.company = 2
    others = [two.submit(tile(2), ticket()), two.submit(tile(3), ticket())]
    assert two.depth == 2
    assert len(two.under_way) == 1
    finish(model, first, *others)
    assert sorted(model.ran) == [(1, True), (2, False), (3, False)]


def test_with_another_request_inside_a_run_has_one_core(two: Batcher, model: Model):
    model.company = 1
    finish(model, two.submit(tile(1), ticket()))
    assert model.ran == [(1, False)]


def test_beside_another_run_a_run_has_one_core(two: Batcher, model: Model):
    model.company = 1
    first = two.submit(tile(1), ticket())
    model.enter()
    model.company = 0
    second = two.submit(tile(2), ticket())
    model.enter()
    finish(model, first, second)
    assert model.ran == [(1, False), (2, False)]


def test_the_first_of_several_tiles_leaves_cores_to_the_others(two: Batcher, model: Model):
    image = ticket()
    first = two.submit(tile(1), image, more=True)
    model.enter()
    second = two.submit(tile(2), image)
    model.enter()
    finish(model, first, second)
    assert model.ran == [(1, False), (2, False)]


def test_without_a_way_to_run_on_all_cores_everything_has_one(model: Model):
    batcher = start(model, runners=2)
    finish(model, batcher.submit(tile(1), ticket()))
    batcher.close()
    assert model.ran == [(1, False)]


def test_runs_under_way_are_told_with_their_time_and_size(one: Batcher, model: Model):
    ((seconds, elements),) = one.under_way
    assert elements == 4
    until(lambda: one.under_way[0][0] > seconds, "time to pass")
    model.gate.set()
    until(lambda: one.under_way == [], "the run to end")


def test_a_run_that_ended_is_told_with_its_size_and_kind(model: Model):
    runs: list[Run] = []
    batcher = start(model, wide=True, runs=runs)
    finish(model, batcher.submit(tile(1), ticket()))
    batcher.close()
    ((size, wide),) = [(run.size, run.wide) for run in runs]
    assert (size, wide) == (1, True)


def test_many_threads_with_turns_and_wide_runs_each_get_their_own(two: Batcher, model: Model):
    model.gate.set()
    wrong: list[float] = []

    def client(number: int) -> None:
        for _ in range(50):
            image = ticket()
            futures = [two.submit(tile(number), image, more=more) for more in (True, True, False)]
            wrong.extend(value for future in futures if (value := float(future.result(DEADLINE)[0, 0])) != number)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(DEADLINE)
    assert not wrong
    assert len(model.ran) == 6 * 50 * 3
    assert two.depth == 0
