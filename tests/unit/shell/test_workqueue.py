"""The work queue: each key once, failing keys later and later, timers that replace each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from crackseg_operator.shell.workqueue import WorkQueue, backoff

Queue = WorkQueue[str]


@pytest.fixture
def run() -> Callable[[Callable[[Queue], Coroutine[Any, Any, None]]], None]:
    def runner(scenario: Callable[[Queue], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            await asyncio.wait_for(scenario(WorkQueue(asyncio.get_running_loop().time)), 60)

        asyncio.run(main())

    return runner


def test_a_key_added_many_times_is_handed_out_once(run: Any):
    async def scenario(queue: Queue) -> None:
        for _ in range(3):
            queue.add("a")
        assert await queue.get() == "a"
        assert len(queue) == 0

    run(scenario)


def test_a_key_that_is_worked_on_comes_again_after_not_meanwhile(run: Any):
    async def scenario(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "b"
        queue.done("a")
        assert await queue.get() == "a"

    run(scenario)


def test_a_due_key_comes_by_itself_and_the_last_time_counts(run: Any):
    async def scenario(queue: Queue) -> None:
        queue.due("a", 60)
        queue.due("a", 0.01)
        assert await queue.get() == "a"

    run(scenario)


def test_a_failed_key_comes_again_and_others_do_not_wait_for_it(run: Any):
    async def scenario(queue: Queue) -> None:
        queue.add("a")
        await queue.get()
        assert queue.failed("a") > 0
        queue.add("b")
        assert await queue.get() == "b"
        assert await queue.get() == "a"

    run(scenario)


def test_a_key_that_the_server_told_to_wait_is_not_hastened_by_events(run: Any):
    async def scenario(queue: Queue) -> None:
        loop = asyncio.get_running_loop()
        queue.add("a")
        await queue.get()
        queue.add("a")  # an event while it was worked on
        since = loop.time()
        queue.failed("a", at_least=0.2)
        queue.add("a")
        queue.hasten()
        assert await queue.get() == "a"
        assert loop.time() - since >= 0.2

    run(scenario)


def test_keys_that_wait_after_a_failure_come_when_the_trouble_may_be_over(run: Any):
    async def scenario(queue: Queue) -> None:
        for _ in range(18):
            queue.add("a")
            await queue.get()
            queue.failed("a")  # by now the delay is a minute
        queue.hasten()
        assert await queue.get() == "a"

    run(scenario)


def test_a_forgotten_key_does_not_come(run: Any):
    async def scenario(queue: Queue) -> None:
        queue.due("a", 0.01)
        queue.forget("a")
        queue.due("b", 0.02)
        assert await queue.get() == "b"
        assert len(queue) == 0

    run(scenario)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


ALWAYS, NEVER = float("-inf"), float("inf")


def test_a_long_queue_that_moves_is_old_but_not_stuck():
    clock = Clock()
    queue: Queue = WorkQueue(clock)
    assert (queue.oldest_age(ALWAYS), queue.stuck_for(ALWAYS)) == (0, 0)
    for key in "abc":
        queue.add(key)

    async def work(seconds: float) -> None:
        key = await queue.get()
        clock.now += seconds
        queue.done(key)

    asyncio.run(work(100))
    asyncio.run(work(100))
    assert (queue.oldest_age(ALWAYS), queue.stuck_for(ALWAYS)) == (200, 0)
    clock.now += 50
    assert (queue.oldest_age(ALWAYS), queue.stuck_for(ALWAYS)) == (250, 50)


def test_nothing_is_held_against_who_may_not_work():
    clock = Clock()
    queue: Queue = WorkQueue(clock)
    queue.add("a")
    clock.now += 300
    assert (queue.oldest_age(NEVER), queue.stuck_for(NEVER)) == (0, 0)
    took_over = clock.now
    clock.now += 10
    assert (queue.oldest_age(took_over), queue.stuck_for(took_over)) == (10, 10)


def test_an_idle_queue_is_not_stuck_when_work_comes_at_last():
    clock = Clock()
    queue: Queue = WorkQueue(clock)
    clock.now += 3600
    queue.add("a")
    assert queue.stuck_for(ALWAYS) == 0


def test_work_that_does_not_end_is_told():
    clock = Clock()
    queue: Queue = WorkQueue(clock)
    queue.add("a")
    asyncio.run(queue.get())
    clock.now += 700
    queue.add("b")
    assert queue.longest_work() == 700
    queue.done("a")
    assert queue.longest_work() == 0


def test_backoff_doubles_from_five_milliseconds_to_a_minute():
    assert 0.0025 <= backoff(1) <= 0.005
    assert 0.02 <= backoff(4) <= 0.04
    assert all(30 <= backoff(many) <= 60 for many in (15, 100, 10_000))
