"""Places for work: how many at once, who steps aside for whom, and what is not begun."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from tests.serving.waiting import until

from crackseg_serving.admission import Ticket
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.workers import Workers

DEADLINE = 120.0


def ticket(seconds: float = DEADLINE) -> Ticket:
    return Ticket(time.monotonic() + seconds)


def make(places: int = 1, observe: Callable[[float, float], None] = lambda _waited, _took: None) -> Workers:
    return Workers(places, 8, observe)


class Held:
    """Work that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.free.wait(DEADLINE)
        return "done"


def test_work_beyond_the_places_waits_in_order():
    workers, held, order = make(), Held(), list[int]()
    first = workers.start(held, ticket())
    others = [workers.start(lambda number=number: order.append(number), ticket()) for number in range(5)]
    assert held.begun.wait(DEADLINE)
    assert (workers.waiting, workers.busy, order) == (5, 6, [])
    held.free.set()
    for future in (first, *others):
        future.result(DEADLINE)
    assert order == [0, 1, 2, 3, 4]
    until(lambda: workers.busy == 0, "nothing to do")


def test_long_work_steps_aside_and_goes_on():
    workers, held = make(), Held()

    def long() -> str:
        workers.step_aside()
        workers.step_aside()
        return held()

    first = workers.start(long, ticket())
    assert workers.start(lambda: "small", ticket()).result(DEADLINE) == "small"
    assert not first.done()
    held.free.set()
    assert first.result(DEADLINE) == "done"
    # One place again, and no more: stepping aside twice gave one place away, not two.
    blocked, waiting = Held(), Held()
    workers.start(blocked, ticket())
    last = workers.start(waiting, ticket())
    assert blocked.begun.wait(DEADLINE)
    assert workers.waiting == 1
    blocked.free.set()
    waiting.free.set()
    assert last.result(DEADLINE) == "done"


def test_stepping_aside_elsewhere_does_nothing():
    workers = make()
    workers.step_aside()
    held = Held()
    workers.start(held, ticket())
    workers.start(held, ticket())
    assert held.begun.wait(DEADLINE)
    assert workers.waiting == 1
    held.free.set()


@pytest.mark.parametrize("cause", [Cause.CLIENT_GONE, Cause.TIMED_OUT])
def test_work_that_nobody_wants_any_more_is_not_begun(cause: Cause):
    workers, held, begun, gone = make(), Held(), list[int](), cause == Cause.CLIENT_GONE
    workers.start(held, ticket())
    unwanted = ticket(DEADLINE if gone else 0)
    future = workers.start(lambda: begun.append(1), unwanted)
    if gone:
        unwanted.cancel()
    held.free.set()
    with pytest.raises(Refused) as refused:
        future.result(DEADLINE)
    assert refused.value.cause == cause
    assert not begun


def test_a_failure_is_its_own_and_the_place_is_free_again():
    workers = make()
    with pytest.raises(ZeroDivisionError):
        workers.start(lambda: 1 // 0, ticket()).result(DEADLINE)
    assert workers.start(lambda: 5, ticket()).result(DEADLINE) == 5


def test_the_end_of_work_is_told_with_what_it_waited_and_took():
    told: list[tuple[float, float]] = []
    workers = make(observe=lambda waited, took: told.append((waited, took)))
    held, began = Held(), time.perf_counter()
    first = workers.start(held, ticket())
    assert held.begun.wait(DEADLINE)
    second = workers.start(lambda: None, ticket())
    both = time.perf_counter()
    until(lambda: time.perf_counter() > both + 0.02, "time to pass")
    freed = time.perf_counter()
    held.free.set()
    for future in (first, second):
        future.result(DEADLINE)
    until(lambda: len(told) == 2, "both to be told")
    ended = time.perf_counter()
    (waited_first, took_first), (waited_second, took_second) = told
    assert min(waited_second, took_first) >= freed - both
    assert waited_first <= both - began
    assert took_second <= ended - freed


def test_long_work_is_told_when_it_steps_aside_with_the_time_that_it_held_its_place():
    told: list[float] = []
    workers, held = make(observe=lambda _waited, had: told.append(had)), Held()

    def long() -> str:
        workers.step_aside()
        return held()

    future = workers.start(long, ticket())
    until(lambda: len(told) == 1, "to be told")
    assert not future.done()
    held.free.set()
    assert future.result(DEADLINE) == "done"
    until(lambda: workers.busy == 0, "nothing to do")
    assert len(told) == 1
